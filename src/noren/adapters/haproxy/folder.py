"""The proxy's folder in the state directory: names of its files, writing them whole, and short socket paths.

Used by everything in this package. A socket path may have 107 bytes only, state directories may be deeper:
HAProxy runs inside the folder and uses bare names, the daemon goes through an open descriptor of it.
"""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

from noren.adapters.durable import made, written
from noren.core.errors import StateError

_log = logging.getLogger(__name__)

CONFIG = "haproxy.cfg"
OUTPUT = "haproxy.log"
TOKEN = "token.acl"
IDENTITY = "identity.json"
REPLACED = "replaced.json"
TABLE = "table.json"
COUNTERS = "slots.json"
ADMIN = "admin.sock"
LISTENERS = "listeners.sock"
EVENTS = "events.sock"
HOOKS = "hooks.sock"
SUCCESSOR = "successor.sock"


class Folder:
    """A folder that only its owner may read; ``close`` gives the descriptor back."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        made(self.path)
        self._descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def socket(self, name: str) -> str:
        """A path of a socket in the folder that is short wherever the folder lies."""
        return f"/proc/self/fd/{self._descriptor}/{name}"

    def read(self, name: str) -> str | None:
        """The text of a file, None when there is none."""
        try:
            return (self.path / name).read_text(errors="replace")
        except FileNotFoundError:
            return None

    def kept(self, name: str) -> str | None:
        """The text that ``keep`` wrote; None, and the file put aside, when that is not what it holds."""
        text = self.read(name)
        if text is None or text.startswith("{"):  # as an older Noren wrote it, without a digest
            return text
        digest, _, body = text.partition("\n")
        if hashlib.sha256(body.encode()).hexdigest() == digest:
            return body
        _log.error("%s is damaged and was put aside", self.path / name)
        self.note(f"{name}.damaged", text)
        self.remove(name)
        return None

    def write(self, name: str, text: str, *, durable: bool = True) -> None:
        """Replace a file whole: a crash leaves the old or the new text. Raises StateError, the old one stays.

        ``durable``: also when the machine crashes.
        """
        try:
            written(self.path / name, text.encode(), durable=durable)
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

    def keep(self, name: str, text: str) -> None:
        """As ``note``, with a digest, for what the next daemon goes on from."""
        self.note(name, f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}")

    def remove(self, name: str) -> None:
        """Remove a file; none is no error."""
        (self.path / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._descriptor)
