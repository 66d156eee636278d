"""The proxy's folder in the state directory: names of its files, writing them whole, and short socket paths.

Used by everything in this package. A socket path may have 107 bytes only, state directories may be deeper:
HAProxy runs inside the folder and uses bare names, the daemon goes through an open descriptor of it.
"""

from __future__ import annotations

import os
from pathlib import Path

CONFIG = "haproxy.cfg"
OUTPUT = "haproxy.log"
TOKEN = "token.acl"
IDENTITY = "identity.json"
TABLE = "table.json"
COUNTERS = "slots.json"
ADMIN = "admin.sock"
LISTENERS = "listeners.sock"
EVENTS = "events.sock"


class Folder:
    """A folder that only its owner may read; ``close`` gives the descriptor back."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def socket(self, name: str) -> str:
        """A path of a socket in the folder that is short wherever the folder lies."""
        return f"/proc/self/fd/{self._descriptor}/{name}"

    def read(self, name: str) -> str | None:
        """The text of a file, None when there is none."""
        try:
            return (self.path / name).read_text()
        except FileNotFoundError:
            return None

    def write(self, name: str, text: str) -> None:
        """Replace a file whole and durably: a crash leaves the old or the new text."""
        beside = self.path / f"{name}.new"
        beside.touch(mode=0o600)
        with beside.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path / name)
        os.fsync(self._descriptor)

    def render(self, name: str, text: str) -> None:
        """Write a file that is made anew before each start of HAProxy: no fsync needed."""
        (self.path / name).touch(mode=0o600)
        (self.path / name).write_text(text)

    def remove(self, name: str) -> None:
        """Remove a file; none is no error."""
        (self.path / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._descriptor)
