"""The ledger's file: its tables, its versions, and whether it is whole.

WAL with ``synchronous=FULL``: a commit is on the disk when it returns (https://www.sqlite.org/wal.html).
Opened by ``salvage.py``; used by ``backup.py`` too.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from noren.adapters.seal import seal
from noren.core.errors import StateError

SCHEMA_VERSION = 2
_SCHEMA = """
CREATE TABLE record (
  app TEXT, type TEXT, key TEXT, body TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (app, type, key)
) WITHOUT ROWID;
CREATE TABLE note (
  seq INTEGER PRIMARY KEY, app TEXT NOT NULL, at TEXT NOT NULL, rollout INTEGER, phase TEXT,
  kind TEXT NOT NULL, text TEXT NOT NULL, digest TEXT NOT NULL
);
CREATE INDEX note_app ON note (app, seq);
CREATE TABLE chain (id INTEGER PRIMARY KEY CHECK (id = 1), seq INTEGER, digest TEXT, commits INTEGER, schema INTEGER);
INSERT INTO chain VALUES (1, 0, '', 0, 2);
"""
# From schema 1, whose records had no digest and whose history had no end.
_TO_2 = """
ALTER TABLE record ADD COLUMN digest TEXT NOT NULL DEFAULT '';
CREATE TABLE chain (id INTEGER PRIMARY KEY CHECK (id = 1), seq INTEGER, digest TEXT, commits INTEGER, schema INTEGER);
INSERT INTO chain SELECT 1, coalesce(max(seq), 0), '', coalesce(max(seq), 0), 2 FROM note;
UPDATE chain SET digest = coalesce((SELECT digest FROM note ORDER BY seq DESC LIMIT 1), '');
"""


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, make its tables or bring them to this version, and see that it can be written.

    Raises sqlite3.Error, and StateError when a newer Noren wrote it: then nothing was changed.
    """
    db = sqlite3.connect(path, isolation_level=None)
    db.text_factory = legible
    try:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            _newer(db, path, version)
        _tune(db)
        if version == 0:
            db.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
        elif version < SCHEMA_VERSION:
            _migrate(db, path, version)
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE chain SET commits = commits + 0")
        db.execute("COMMIT")
    except (sqlite3.Error, StateError):
        db.close()
        raise
    return db


def damage(db: sqlite3.Connection) -> str:
    """What is wrong with an open file; "" when it is whole. The history is verified apart, it may be long."""
    try:
        (found,) = db.execute("PRAGMA integrity_check(1)").fetchone()
        if found != "ok":
            return str(found)
        for app, kind, key, body, digest in db.execute("SELECT app, type, key, body, digest FROM record"):
            if seal(app, kind, key, body) != digest:
                return f"the record {app} {kind} {key} is not as it was written"
        ends = db.execute("SELECT schema FROM chain").fetchall()
        return "" if ends == [(SCHEMA_VERSION,)] else "the end of the history is missing"
    except (sqlite3.Error, UnicodeError, TypeError) as exc:
        return str(exc)


def legible(raw: bytes) -> str:
    """Text as it was stored; a damaged byte shows, and is noticed by its digest, instead of hiding all the rest."""
    return raw.decode(errors="replace")


def copy(source: sqlite3.Connection, target: Path) -> None:
    """A consistent copy as one file that only its owner may read, also while others write. Raises sqlite3.Error."""
    target.touch(mode=0o600)
    with closing(sqlite3.connect(target)) as db:
        source.backup(db)
        db.execute("PRAGMA journal_mode=DELETE")


def _tune(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("PRAGMA cell_size_check=ON")
    # kB; the default of 2 MB is much for a file that is written and rarely read
    db.execute("PRAGMA cache_size=-512")


def _newer(db: sqlite3.Connection, path: Path, version: int) -> None:
    """Both places that hold the schema are written in one commit; where they differ, the number was damaged."""
    try:
        ours = db.execute("SELECT schema FROM chain").fetchone() == (SCHEMA_VERSION,)
    except sqlite3.OperationalError:
        ours = False
    if ours:
        raise sqlite3.DatabaseError(f"its schema says {version}, its tables say {SCHEMA_VERSION}")
    raise StateError(
        f"{path} was written by a newer Noren (schema {version})",
        seen="apps and proxy go on serving as they are",
        hint="upgrade Noren",
    )


def _migrate(db: sqlite3.Connection, path: Path, version: int) -> None:
    """From schema 1, with a copy beside: a Noren that knows no newer one can go on from that."""
    beside = path.with_name(f"{path.name}.schema-{version}")
    beside.unlink(missing_ok=True)
    copy(db, beside)
    db.execute("BEGIN IMMEDIATE")
    for statement in _TO_2.split(";"):
        db.execute(statement)
    rows = db.execute("SELECT app, type, key, body FROM record").fetchall()
    sealed = [(seal(*row), *row[:3]) for row in rows]
    db.executemany("UPDATE record SET digest = ? WHERE app = ? AND type = ? AND key = ?", sealed)
    db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    db.execute("COMMIT")
