"""Digests that make a changed state noticed: one on each record, and one on each line of history over all before it.

Used by everything that reads or writes the ledger's file.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from noren.core.record import Note

NOTES = "SELECT seq, app, at, rollout, phase, kind, text, digest FROM note"


@dataclass(frozen=True, slots=True)
class Head:
    """Where the history ends: its newest line and the digest of that, and how many commits there were."""

    seq: int = 0
    digest: str = ""
    commits: int = 0


def seal(app: str, kind: str, key: str, body: str) -> str:
    """The digest of one record."""
    return _sha(app, kind, key, body)


def link(previous: str, app: str, note: Note) -> str:
    """The digest of a line of history that follows the one with the digest ``previous``."""
    return _sha(previous, app, note.at, note.rollout, note.phase, note.kind, note.text)


def head(db: sqlite3.Connection) -> Head:
    """Where the history ends, by what the last commit said."""
    row = db.execute("SELECT seq, digest, commits FROM chain").fetchone()
    return Head(*row) if row else Head()


def set_head(db: sqlite3.Connection, now: Head) -> None:
    """Write it, inside a transaction."""
    db.execute("UPDATE chain SET seq = ?, digest = ?, commits = ?", (now.seq, now.digest, now.commits))


def append(db: sqlite3.Connection, app: str, notes: Iterable[Note]) -> None:
    """Add lines to the history and count the commit, inside a transaction."""
    now = head(db)
    for note in notes:
        digest = link(now.digest, app, note)
        now = Head(now.seq + 1, digest, now.commits)
        values = (now.seq, app, note.at, note.rollout, note.phase, note.kind, note.text, digest)
        db.execute("INSERT INTO note VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
    set_head(db, Head(now.seq, now.digest, now.commits + 1))


def first_broken(db: sqlite3.Connection, after: Head, limit: int) -> tuple[int | None, Head | None]:
    """The first line after ``after`` that is not as it was written, None for none; and where to go on, None at the end.

    Lines missing at the end count as broken: the head tells how many there were.
    """
    rows = db.execute(f"{NOTES} WHERE seq > ? ORDER BY seq LIMIT ?", (after.seq, limit)).fetchall()
    for seq, app, at, rollout, phase, kind, text, digest in rows:
        note = Note(at=at, text=text, kind=kind, rollout=rollout, phase=phase)
        if seq != after.seq + 1 or link(after.digest, app, note) != digest:
            return seq, None
        after = Head(seq, digest)
    if rows:
        return None, after
    end = head(db)
    return (None, None) if (end.seq, end.digest) == (after.seq, after.digest) else (after.seq + 1, None)


def _sha(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
