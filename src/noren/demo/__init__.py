"""``noren demo``: the sample team, its commits and a visible load."""
