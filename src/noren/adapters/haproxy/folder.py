"""The proxy's folder in the state directory: names of its files, writing them whole, and short socket paths.

Used by everything in this package. A socket path may have 107 bytes only, state directories may be deeper:
HAProxy runs inside the folder and uses bare names, the daemon goes through an open descriptor of it.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from noren.core.errors import StateError

_log = logging.getLogger(__name__)

CONFIG = "haproxy.cfg"
OUTPUT = "haproxy.log"
TOKEN = "token.acl"
IDENTITY = "identity.json"
TABLE = "table.json"
COUNTERS = "slots.json"
ADMIN = "admin.sock"
LISTENERS = "listeners.sock"
EVENTS = "events.sock"
HOOKS = "hooks.sock"


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

    def write(self, name: str, text: str, *, durable: bool = True) -> None:
        """Replace a file whole: a crash leaves the old or the new text. Raises StateError, the old one stays.

        ``durable``: also when the machine crashes.
        """
        beside = self.path / f"{name}.new"
        try:
            beside.touch(mode=0o600)
            with beside.open("w") as file:
                file.write(text)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            beside.replace(self.path / name)
            if durable:
                os.fsync(self._descriptor)
        except OSError as exc:
            raise StateError(
                f"{self.path / name} cannot be written",
                seen=str(exc),
                hint="check the disk and the owner of the folder",
            ) from exc

    def note(self, name: str, text: str) -> None:
        """Write what traffic can do without: a full disk must not stop a rollback or a restart of HAProxy."""
        try:
            self.write(name, text)
        except StateError as exc:
            _log.error("%s", exc)

    def remove(self, name: str) -> None:
        """Remove a file; none is no error."""
        (self.path / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._descriptor)
