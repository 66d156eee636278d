"""Who tests the tests: faults put into Noren's source on purpose, which the harness must find.

Each ``*.patch`` says in its head what the fault is, which scenario must fail by it, and with which words.
"""
