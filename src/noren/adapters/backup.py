"""Copies the ledger while it is in use, and puts such a copy back.

Called by ``daemon.py`` for ``noren backup`` and ``noren restore``. The copy is one SQLite file with everything that
the ledger knows; builds and the data of apps are folders and are copied as such.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from noren.adapters.database import copy, damage, legible
from noren.adapters.durable import made, synced
from noren.adapters.ledger import lock
from noren.adapters.salvage import set_aside
from noren.adapters.seal import Head, first_broken, head
from noren.core.errors import HostError, StateError


def back_up(state: Path, target: Path) -> str:
    """Write ``target`` whole or not at all, for its owner only; what it holds. Raises StateError and HostError."""
    path = state / "noren.db"
    if not path.exists():
        raise StateError(f"there is no state in {state}", hint="start Noren first, or name its settings with -c")
    beside = target.with_name(f"{target.name}.new")
    try:
        beside.unlink(missing_ok=True)
        with closing(sqlite3.connect(path, timeout=30)) as source:
            copy(source, beside)
        told = _checked(beside)
        synced(beside)
        beside.replace(target)
    except (OSError, sqlite3.Error) as exc:
        raise HostError(f"{target} could not be written", seen=str(exc), hint="check its folder and the disk") from exc
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
    return f"{target}: {told}"


def restore(state: Path, source: Path) -> list[str]:
    """Make this copy the state, what was there is kept aside. Nothing of it may run. Raises StateError, HostError."""
    if not source.is_file():
        raise HostError(f"{source} cannot be read", hint="name a file that `noren backup` wrote")
    told = _checked(source)
    made(state)
    held = lock(state / "lock")
    path = state / "noren.db"
    beside = state / "noren.db.new"
    try:
        shutil.copyfile(source, beside)
        beside.chmod(0o600)
        synced(beside)
        done = _replaced(path)
        synced(state)  # before the copy has its name: SQLite would read what is left of the old one's WAL into it
        beside.replace(path)
        synced(state)
    except OSError as exc:
        raise HostError(f"{source} could not be restored", seen=str(exc), hint="check the disk") from exc
    finally:
        os.close(held)
    return [*done, f"{path}: {told}"]


def _replaced(path: Path) -> list[str]:
    snapshots = path.with_name("snapshot")
    if not path.exists() and not snapshots.exists():
        return []
    aside = set_aside(path)
    if snapshots.exists():
        shutil.move(snapshots, aside / snapshots.name)
    return [f"what was there is kept in {aside}"]


def _checked(file: Path) -> str:
    """What the copy holds; raises StateError when it is not whole."""
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
            db.text_factory = legible
            problem = damage(db) or _broken(db)
            apps = db.execute("SELECT count(DISTINCT app) FROM record").fetchone()[0] if not problem else 0
            lines = head(db).seq if not problem else 0
    except sqlite3.Error as exc:
        problem, apps, lines = str(exc), 0, 0
    if problem:
        raise StateError(f"{file} is no whole copy of a state", seen=problem, hint="use another backup")
    return f"{apps} app{'' if apps == 1 else 's'}, {lines} lines of history"


def _broken(db: sqlite3.Connection) -> str:
    after: Head | None = Head()
    while after is not None:
        broken, after = first_broken(db, after, 5000)
        if broken is not None:
            return f"its history was changed or lost from line {broken} on"
    return ""
