"""What serves, beside the ledger: for each app a file of its living records with their digest.

Written whole with each commit that changes them, before anything is acted on; read when the ledger is damaged,
lost, or older than these. All but the receipts, the history, the releases that nothing can go back to, and the
webhooks that were taken: one that comes again does no harm, and a thousand a second are not to be written twice.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from noren.adapters.database import SCHEMA_VERSION
from noren.adapters.durable import made, written

_log = logging.getLogger(__name__)
_LIVING = """
SELECT type, key, body FROM record WHERE app = ? AND type NOT IN ('receipt', 'delivery') AND (type != 'release'
  OR json_extract(body, '$.artifact') IS NOT NULL OR json_extract(body, '$.outcome') IS NULL)
ORDER BY type, key
"""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The living records of one app as (type, key, body), and how many commits the ledger had had by then."""

    app: str
    commits: int
    records: tuple[tuple[str, str, str], ...]


class Snapshots:
    """The files in one folder, which is made by the first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: dict[str, str] = {}

    def load(self) -> tuple[list[Snapshot], list[str]]:
        """All that are whole, and the names of apps whose file is not."""
        found: list[Snapshot] = []
        broken: list[str] = []
        for file in sorted(self._folder.glob("*.json")):
            try:
                found.append(_parsed(file.read_text()))
            except (OSError, ValueError, KeyError, TypeError):
                broken.append(file.stem)
        return found, broken

    def keep(self, db: sqlite3.Connection, app: str, commits: int) -> None:
        """Write the file of an app if its records have changed; a disk that refuses is told, and costs no commit."""
        records = json.dumps(db.execute(_LIVING, (app,)).fetchall())
        if self._kept.get(app) == (digest := _digest(records)):
            return
        text = json.dumps({"app": app, "schema": SCHEMA_VERSION, "commits": commits, "records": records})
        try:
            self._write(f"{app}.json", f"{_digest(text)}\n{text}\n")
        except OSError as exc:
            _log.error("the snapshot of %s could not be written: %s", app, exc)
        else:
            self._kept[app] = digest

    def drop(self, app: str) -> None:
        """Remove the file of an app that will not come back. Raises OSError."""
        self._kept.pop(app, None)
        (self._folder / f"{app}.json").unlink(missing_ok=True)

    def forget(self) -> None:
        """Write each anew at the next chance."""
        self._kept.clear()

    def _write(self, name: str, text: str) -> None:
        made(self._folder)
        written(self._folder / name, text.encode())


def _parsed(text: str) -> Snapshot:
    """Raises ValueError, KeyError or TypeError when it is not what was written."""
    digest, _, body = text.partition("\n")
    if body[-1:] != "\n" or _digest(body[:-1]) != digest:
        raise ValueError("its digest is another")
    data = json.loads(body)
    if data["schema"] != SCHEMA_VERSION:
        raise ValueError(f"it has schema {data['schema']}")
    records = tuple((kind, key, text) for kind, key, text in json.loads(data["records"]))
    return Snapshot(data["app"], data["commits"], records)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
