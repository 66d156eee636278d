"""Measurements of what Noren promises: plain programs, each prints one table."""
