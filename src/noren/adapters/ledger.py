"""The ledger on SQLite: one file, one process, one writing connection in one thread.

Implements the engine's ``Ledger`` port. Records are JSON documents under (app, type, key), each with its digest;
history lines are chained by digest, so that a changed line is noticed (``verify``). What serves also lies beside
the file (``snapshot.py``), from which a damaged or lost one is made good at the next start (``salvage.py``).
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from noren.adapters.durable import made, written
from noren.adapters.salvage import is_outside, opened
from noren.adapters.seal import Head, append, first_broken, head, seal
from noren.adapters.snapshot import Snapshots
from noren.core.errors import StateError
from noren.core.record import (
    AppRecord,
    DeliveryRecord,
    MessageRecord,
    Note,
    PreviewsRecord,
    QuarantineRecord,
    ReceiptRecord,
    Record,
    ReleaseRecord,
    RetiringRecord,
    RolloutRecord,
)

T = TypeVar("T")
_PAGE = 5000  # lines of history verified at once: a commit waits no longer than that
_TYPES: dict[str, type[Any]] = {
    "app": AppRecord,
    "release": ReleaseRecord,
    "rollout": RolloutRecord,
    "retiring": RetiringRecord,
    "quarantine": QuarantineRecord,
    "receipt": ReceiptRecord,
    "delivery": DeliveryRecord,
    "message": MessageRecord,
    "previews": PreviewsRecord,
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
        """``told`` is what opening it found and did, in sentences."""
        try:
            made(state_dir)
            self._lock = lock(state_dir / "lock")
            _unversioned(state_dir)
        except OSError as exc:
            raise StateError(
                f"the state in {state_dir} cannot be used; what serves goes on serving",
                seen=str(exc),
                hint="check the disk, and the owner and rights of the folder",
            ) from exc
        self._path = state_dir / "noren.db"
        self._snapshots = Snapshots(state_dir / "snapshot")
        self._thread = ThreadPoolExecutor(1, "ledger")
        self._db: sqlite3.Connection | None = None
        self._broken: sqlite3.Error | None = None
        self._failed = asyncio.Event()
        self.told: list[str] = []
        try:
            self._db, self.told = self._thread.submit(self._open).result()
        except StateError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file and give up the lock."""
        self._thread.submit(self._shut).result()
        self._thread.shutdown()
        os.close(self._lock)

    def reopen(self) -> None:
        """After a write failed: read what is there, as at a start, without letting a second daemon in.

        Until then nothing more is written: what memory says may not be what is on the disk. A failed fsync leaves
        even that unknown (https://danluu.com/fsyncgate). Raises StateError.
        """
        self._thread.submit(self._shut).result()
        self._failed = asyncio.Event()
        self._db, self.told = self._thread.submit(self._open).result()

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
        rows = [_row(app, r) for r in put]
        gone = [(app, _NAMES[type(r)], r.key) for r in drop]

        def write(db: sqlite3.Connection) -> None:
            with db:
                db.execute("BEGIN IMMEDIATE")
                db.executemany("DELETE FROM record WHERE app = ? AND type = ? AND key = ?", gone)
                db.executemany("INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?, ?)", rows)
                append(db, app, notes)
            if rows or gone:
                self._snapshots.keep(db, app, head(db).commits)

        await self._run(write)

    async def forget(self, app: str) -> None:
        """Remove every record of an app; its history stays."""

        def write(db: sqlite3.Connection) -> None:
            try:
                self._snapshots.drop(app)  # first: nothing may bring back what the ledger no longer knows
            except OSError as exc:
                raise StateError(f"the snapshot of {app} cannot be removed", seen=str(exc)) from exc
            with db:
                db.execute("BEGIN IMMEDIATE")
                db.execute("DELETE FROM record WHERE app = ?", (app,))
                append(db, app, ())

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
        """The ``seq`` of the first history line that was changed or lost after it was written, None for none."""
        after: Head | None = Head()
        broken: int | None = None
        while after is not None and broken is None:
            broken, after = await self._run(partial(first_broken, after=after, limit=_PAGE))
        return broken

    async def failure(self) -> None:
        """Wait until a write fails, and raise that: whoever decides by this ledger has to begin anew from it."""
        await self._failed.wait()
        raise self._unusable(self._broken)

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._do, work)
        finally:
            if self._broken is not None:
                self._failed.set()

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._db is None or self._broken is not None:
            raise self._unusable(self._broken)
        try:
            return work(self._db)
        except sqlite3.Error as exc:
            if is_outside(exc):
                self._broken = exc
            raise self._unusable(exc) from exc

    def _unusable(self, exc: sqlite3.Error | None) -> StateError:
        what = f"the state in {self._path} cannot be used"
        return StateError(what, seen=str(exc or "it is closed"), hint="free disk space, check the disk")

    def _open(self) -> tuple[sqlite3.Connection, list[str]]:
        self._snapshots.forget()
        return opened(self._path, self._snapshots)

    def _shut(self) -> None:
        db, self._db, self._broken = self._db, None, None
        if db is not None:
            db.close()


def _row(app: str, record: Record) -> tuple[str, str, str, str, str]:
    name, body = _NAMES[type(record)], msgspec.json.encode(record).decode()
    return app, name, record.key, body, seal(app, name, record.key, body)


def _unversioned(folder: Path) -> None:
    """The usual place of the state is in a checkout, where ``git add -A`` would commit it, secrets included."""
    ignored = folder / ".gitignore"
    if not ignored.exists():
        written(ignored, b"*\n")


def lock(path: Path) -> int:
    """The descriptor that keeps a second daemon out until it is closed; raises StateError when there is one."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(descriptor)
        raise StateError(
            f"another Noren works with {path.parent}", hint="use that one (noren status), or stop it first (noren down)"
        ) from exc
    return descriptor
