"""The campaign behind `make prove` and `make prove-night`: many rollouts of several apps, good and bad, under load,
while the daemon is killed again and again. Nothing may be lost, nothing executed twice.

python -m tests.campaign --requests 300000 --rollouts 200
"""
