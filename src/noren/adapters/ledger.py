"""The ledger on SQLite: one file, one process, one writing connection in one thread.

Implements the engine's ``Ledger`` port. Records are JSON documents under (app, type, key);
history lines are chained by digest, so that a changed line is noticed (``verify``). WAL with
``synchronous=FULL``: a commit is on the disk when it returns (https://www.sqlite.org/wal.html).
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from noren.core.errors import StateError
from noren.core.record import (
    AppRecord,
    DeliveryRecord,
    MessageRecord,
    Note,
    QuarantineRecord,
    ReceiptRecord,
    Record,
    ReleaseRecord,
    RetiringRecord,
    RolloutRecord,
)

T = TypeVar("T")
SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE record (app TEXT, type TEXT, key TEXT, body TEXT NOT NULL, PRIMARY KEY (app, type, key)) WITHOUT ROWID;
CREATE TABLE note (
  seq INTEGER PRIMARY KEY, app TEXT NOT NULL, at TEXT NOT NULL, rollout INTEGER, phase TEXT,
  kind TEXT NOT NULL, text TEXT NOT NULL, digest TEXT NOT NULL
);
CREATE INDEX note_app ON note (app, seq);
"""
_TYPES: dict[str, type[Any]] = {
    "app": AppRecord,
    "release": ReleaseRecord,
    "rollout": RolloutRecord,
    "retiring": RetiringRecord,
    "quarantine": QuarantineRecord,
    "receipt": ReceiptRecord,
    "delivery": DeliveryRecord,
    "message": MessageRecord,
}
_NAMES = {kind: name for name, kind in _TYPES.items()}


@cache
def _decoder(kind: type[Any]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def _decoded(name: str, body: str) -> Any:
    try:
        return _decoder(_TYPES[name]).decode(body)
    except (KeyError, msgspec.MsgspecError) as exc:
        raise StateError(
            f"a record of type {name} in the state cannot be read", seen=str(exc), hint="restore a copy of the state"
        ) from exc


class SqliteLedger:
    """``state_dir``/noren.db, locked against a second daemon for as long as it is open."""

    def __init__(self, state_dir: Path) -> None:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = state_dir / "noren.db"
        self._lock = _lock(state_dir / "lock")
        self._thread = ThreadPoolExecutor(1, "ledger")
        try:
            self._db = self._thread.submit(_open, self._path).result()
        except StateError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file and give up the lock."""
        if hasattr(self, "_db"):
            self._thread.submit(self._db.close).result()
        self._thread.shutdown()
        os.close(self._lock)

    async def load(self, app: str) -> Sequence[Record]:
        """Every record of an app but its receipts."""
        sql = "SELECT type, body FROM record WHERE app = ? AND type != 'receipt'"
        rows = await self._run(lambda db: db.execute(sql, (app,)).fetchall())
        return [_decoded(kind, body) for kind, body in rows]

    async def apps(self) -> list[str]:
        """The names of all apps that have records, also of those no longer in the settings."""
        rows = await self._run(lambda db: db.execute("SELECT DISTINCT app FROM record ORDER BY app").fetchall())
        return [name for (name,) in rows]

    async def commit(
        self, app: str, put: Sequence[Record], *, drop: Sequence[Record] = (), notes: Sequence[Note] = ()
    ) -> None:
        """Write, remove and append in one durable transaction."""
        rows = [(app, _NAMES[type(r)], r.key, msgspec.json.encode(r).decode()) for r in put]
        gone = [(app, _NAMES[type(r)], r.key) for r in drop]

        def write(db: sqlite3.Connection) -> None:
            with db:
                db.execute("BEGIN IMMEDIATE")
                db.executemany("DELETE FROM record WHERE app = ? AND type = ? AND key = ?", gone)
                db.executemany("INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?)", rows)
                for note in notes:
                    _append(db, app, note)

        await self._run(write)

    async def notes(self, app: str | None, after: int, limit: int) -> Sequence[dict[str, Any]]:
        """History lines after a ``seq``, or the newest ``-after``; oldest first."""
        columns = "seq, app, at, rollout, phase, kind, text"
        where = "(? IS NULL OR app = ?)"
        if after < 0:
            sql = f"SELECT * FROM (SELECT {columns} FROM note WHERE {where} ORDER BY seq DESC LIMIT ?) ORDER BY seq"
            values: tuple[Any, ...] = (app, app, -after)
        else:
            sql = f"SELECT {columns} FROM note WHERE {where} AND seq > ? ORDER BY seq LIMIT ?"
            values = (app, app, after, limit)
        rows = await self._run(lambda db: db.execute(sql, values).fetchall())
        return [dict(zip(columns.split(", "), row, strict=True)) for row in rows]

    async def receipt(self, app: str, rollout: int | None) -> str | None:
        """The JSON text of one receipt, or of the newest."""
        sql = "SELECT body FROM record WHERE app = ? AND type = 'receipt' AND (? IS NULL OR key = ?)"
        sql += " ORDER BY CAST(key AS INTEGER) DESC LIMIT 1"
        key = None if rollout is None else str(rollout)
        row = await self._run(lambda db: db.execute(sql, (app, key, key)).fetchone())
        return None if row is None else _decoded("receipt", row[0]).body

    async def verify(self) -> int | None:
        """The ``seq`` of the first history line that was changed after it was written, None when all are whole."""
        return await self._run(_first_broken)

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, work, self._db)
        except sqlite3.Error as exc:
            raise StateError(
                f"the state in {self._path} cannot be used", seen=str(exc), hint="free disk space, check the disk"
            ) from exc


def _lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(descriptor)
        raise StateError(
            f"another Noren works with {path.parent}", hint="use that one (noren status), or stop it first"
        ) from exc
    return descriptor


def _open(path: Path) -> sqlite3.Connection:
    try:
        db = sqlite3.connect(path, isolation_level=None)
        path.chmod(0o600)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute(
            "PRAGMA cache_size=-512"
        )  # kB; the default of 2 MB is much for a file that is written and rarely read
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise StateError(f"{path} was written by a newer Noren (schema {version})", hint="upgrade Noren")
        if version == 0:
            db.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
    except sqlite3.Error as exc:
        raise StateError(
            f"the state in {path} cannot be read", seen=str(exc), hint="move it aside and start again"
        ) from exc
    return db


def _digest(previous: str, app: str, note: Note) -> str:
    body = json.dumps([previous, app, note.at, note.rollout, note.phase, note.kind, note.text])
    return hashlib.sha256(body.encode()).hexdigest()


def _append(db: sqlite3.Connection, app: str, note: Note) -> None:
    row = db.execute("SELECT digest FROM note ORDER BY seq DESC LIMIT 1").fetchone()
    digest = _digest(row[0] if row else "", app, note)
    values = (app, note.at, note.rollout, note.phase, note.kind, note.text, digest)
    db.execute("INSERT INTO note (app, at, rollout, phase, kind, text, digest) VALUES (?, ?, ?, ?, ?, ?, ?)", values)


def _first_broken(db: sqlite3.Connection) -> int | None:
    previous = ""
    for seq, app, at, rollout, phase, kind, text, digest in db.execute("SELECT * FROM note ORDER BY seq").fetchall():
        if _digest(previous, app, Note(at=at, text=text, kind=kind, rollout=rollout, phase=phase)) != digest:
            return seq
        previous = digest
    return None
