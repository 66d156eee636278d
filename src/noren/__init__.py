"""Noren upgrades web sites and API services without downtime."""

__version__ = "0.1.0"
