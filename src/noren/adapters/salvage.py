"""Opens the ledger's file as whole as it can be made: what is damaged, lost or too old is made good from the snapshots.

Called by ``ledger.py`` at each start. The damaged file is kept aside, and every step is told. What serves goes on
serving meanwhile: instances and proxy are adopted by what the records say, as after any other start.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from noren.adapters.database import connect, damage, legible
from noren.adapters.durable import synced
from noren.adapters.removal import remove
from noren.adapters.seal import NOTES, Head, head, seal, set_head
from noren.adapters.snapshot import Snapshot, Snapshots
from noren.core.errors import StateError

SUFFIXES = ("", "-wal", "-shm")  # of the files of one SQLite database in WAL mode
_COPIES = 5
_RECORDS = "SELECT app, type, key, body, digest FROM record"
# SQLite's codes for a host that refuses: permissions, memory, a disk that is full, broken or only for reading.
_OUTSIDE = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_BUSY,
}


def opened(path: Path, snapshots: Snapshots) -> tuple[sqlite3.Connection, list[str]]:
    """The open file and what had to be done, in sentences.

    Raises StateError, with nothing changed, when a newer Noren wrote it or the host does not let it be used.
    """
    there = path.exists()
    found, broken = snapshots.load()
    told = [f"the snapshot of {app} was damaged and is written anew" for app in broken]
    try:
        _allow(path)
        db = connect(path)
        problem = damage(db)
        if problem:
            db.close()
    except sqlite3.Error as exc:
        _refuse_outside(exc, path)
        db, problem = None, str(exc)
    except OSError as exc:
        raise _unusable(path, str(exc)) from exc
    if db is None or problem:
        return _rebuilt(path, found, problem, told)
    told += [] if there or not found else [f"{path} was missing"]
    _catch_up(db, found, told)
    return db, told


def is_outside(exc: sqlite3.Error) -> bool:
    """Whether the host refused; else the file is not what it should be."""
    code = getattr(exc, "sqlite_errorcode", 0)
    return code & 0xFF in _OUTSIDE and code != sqlite3.SQLITE_IOERR_SHORT_READ


def set_aside(path: Path) -> Path:
    """Move the database into a folder of its own beside it; of such folders the newest few are kept."""
    copies = sorted(path.parent.glob("aside-*"), key=lambda each: int(each.name.rpartition("-")[2]))
    for old in copies[: max(0, len(copies) - _COPIES + 1)]:
        remove(old)
    number = int(copies[-1].name.rpartition("-")[2]) + 1 if copies else 1
    folder = path.with_name(f"aside-{number}")
    folder.mkdir(mode=0o700)
    for suffix in SUFFIXES:
        with suppress(FileNotFoundError):
            shutil.move(f"{path}{suffix}", folder / f"{path.name}{suffix}")
    synced(folder)
    synced(path.parent)
    return folder


def _allow(path: Path) -> None:
    """Rights that somebody took away are put back, where the file is ours."""
    if path.exists() and path.stat().st_uid == os.geteuid():
        path.chmod(0o600)
    else:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _refuse_outside(exc: sqlite3.Error, path: Path) -> None:
    if not is_outside(exc):
        return
    if exc.sqlite_errorcode & 0xFF == sqlite3.SQLITE_READONLY and os.access(path.parent, os.W_OK):
        return  # the file says of itself that it is only to be read: it is damaged
    raise _unusable(path, str(exc)) from exc


def _unusable(path: Path, seen: str) -> StateError:
    return StateError(
        f"the state in {path} cannot be used; apps and proxy go on serving as they are",
        seen=seen,
        hint="free disk space; check the disk, and the owner and rights of the folder",
    )


def _rebuilt(
    path: Path, found: Sequence[Snapshot], problem: str, told: list[str]
) -> tuple[sqlite3.Connection, list[str]]:
    try:
        aside = set_aside(path)
        db = connect(path)
    except (OSError, sqlite3.Error) as exc:
        raise _unusable(path, str(exc)) from exc
    records, lines = _salvage(aside / path.name, db)
    told.append(f"the state was damaged ({' '.join(problem.split())}); it is kept in {aside}")
    told.append(f"{records} records and {lines} lines of history could be read from it")
    for snapshot in found:
        _restore(db, snapshot)
        told.append(f"{snapshot.app} goes on from its snapshot: {_serving(snapshot)}")
    return db, told


def _catch_up(db: sqlite3.Connection, found: Sequence[Snapshot], told: list[str]) -> None:
    """A ledger that lost its newest commits (its WAL, say) gets them back from the snapshots that are newer."""
    commits = head(db).commits
    for snapshot in found:
        if snapshot.commits > commits:
            _restore(db, snapshot)
            told.append(
                f"the state ended at commit {commits}, {snapshot.app} was at {snapshot.commits}: "
                f"it goes on from its snapshot: {_serving(snapshot)}; newer receipts and history are lost"
            )


def _restore(db: sqlite3.Connection, snapshot: Snapshot) -> None:
    """The living records of an app are those of its snapshot."""
    now = head(db)
    db.execute("BEGIN IMMEDIATE")
    db.execute("DELETE FROM record WHERE app = ? AND type NOT IN ('receipt', 'release', 'delivery')", (snapshot.app,))
    rows = [(snapshot.app, *row, seal(snapshot.app, *row)) for row in snapshot.records]
    db.executemany("INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?, ?)", rows)
    set_head(db, Head(now.seq, now.digest, max(now.commits, snapshot.commits)))
    db.execute("COMMIT")


def _serving(snapshot: Snapshot) -> str:
    active: Any = next((json.loads(text)["active"] for kind, _, text in snapshot.records if kind == "app"), None)
    return f"release {active['release']} is active" if active else "nothing is released"


def _salvage(path: Path, db: sqlite3.Connection) -> tuple[int, int]:
    """Every record that is as it was written, and every line of history that can be read; how many of each."""
    if not path.exists():
        return 0, 0
    with closing(sqlite3.connect(path)) as old:
        old.text_factory = legible
        records = {row[:3]: row for row in _read(old, _RECORDS, "app, type, key") if _is_whole(row)}
        notes = {row[0]: row for row in _read(old, NOTES, "seq") if _is_line(row)}
        ends = [Head(*row) for row in _read(old, "SELECT seq, digest, commits FROM chain", "seq") if _is_head(row)]
    db.execute("BEGIN IMMEDIATE")
    db.executemany("INSERT INTO record VALUES (?, ?, ?, ?, ?)", records.values())
    db.executemany("INSERT INTO note VALUES (?, ?, ?, ?, ?, ?, ?, ?)", notes.values())
    last = max(notes, default=0)
    end = Head(last, str(notes[last][7]) if notes else "", last)
    set_head(db, max([end, *ends], key=lambda each: each.seq))
    db.execute("COMMIT")
    return len(records), len(notes)


def _read(old: sqlite3.Connection, sql: str, order: str) -> Iterator[tuple[Any, ...]]:
    """The rows before and behind what cannot be read."""
    for ordered in (order, ", ".join(f"{column} DESC" for column in order.split(", "))):
        with suppress(sqlite3.Error):
            yield from old.execute(f"{sql} ORDER BY {ordered}")


def _is_whole(row: tuple[Any, ...]) -> bool:
    return all(isinstance(value, str) for value in row) and seal(*row[:4]) == row[4]


def _is_line(row: tuple[Any, ...]) -> bool:
    seq, app, at, _, _, *rest = row
    return isinstance(seq, int) and seq > 0 and all(isinstance(value, str) for value in (app, at, *rest))


def _is_head(row: tuple[Any, ...]) -> bool:
    return isinstance(row[0], int) and isinstance(row[1], str) and isinstance(row[2], int)
