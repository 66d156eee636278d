"""``noren init``: looks at a repository and writes a first noren.toml for it."""

from noren.init.first import first_settings

__all__ = ["first_settings"]
