"""A damaged, lost, old or unreadable state: what serves is known again, and what was done is told."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from noren.adapters.backup import back_up, restore
from noren.adapters.database import SCHEMA_VERSION
from noren.adapters.ledger import SqliteLedger
from noren.core.errors import HostError, StateError
from noren.core.record import AppRecord, DeliveryRecord, Note, ReceiptRecord, Record
from tests.adapters.test_ledger import NOTE, RECORDS, opened, within
from tests.proofs.claim import claim, sized

APPS = ("api", "site")
LIVING = [record for record in RECORDS[1:] if record.key != ""]


@dataclass(frozen=True)
class Known:
    """All that a ledger can be asked for; ``broken`` is what ``verify`` found."""

    living: dict[str, list[Record]]
    receipts: list[str | None]
    notes: Sequence[dict[str, Any]]
    told: list[str]
    broken: int | None

    def same_living(self, other: Known) -> bool:
        return self.living == other.living


async def known(ledger: SqliteLedger) -> Known:
    living = {app: sorted(filter(_serves, await ledger.load(app)), key=repr) for app in APPS}
    receipts = [await ledger.receipt(app, rollout) for app in APPS for rollout in range(1, 9)]
    return Known(living, receipts, await ledger.notes(None, 0, 10_000), ledger.told, await ledger.verify())


def _serves(record: Record) -> bool:
    """Webhooks that were taken lie in no snapshot: one that comes twice is looked at twice."""
    return not isinstance(record, DeliveryRecord)


async def live(ledger: SqliteLedger) -> None:
    """A few rollouts of two apps, each leaving its receipt and its lines of history."""
    for rollout in range(1, 9):
        for app in APPS:
            record = replace(RECORDS[1], name=app, rollouts=rollout, releases=rollout)
            notes = [replace(NOTE, rollout=rollout, text=f"{app}: step {n} of {rollout} 暖簾") for n in range(6)]
            receipt = ReceiptRecord(rollout=rollout, body=f'{{"rollout": {rollout}, "app": "{app}"}}')
            await ledger.commit(app, [record, receipt, *LIVING], notes=notes)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Known]:
    """The files as a killed daemon leaves them, half of the commits still in the WAL; and what they say."""
    folder = tmp_path_factory.mktemp("state")

    async def work() -> Known:
        with opened(folder / "live") as ledger:
            await live(ledger)
            await asyncio.to_thread(_checkpoint, folder / "live" / "noren.db")
            await live(ledger)
            shutil.copytree(folder / "live", folder / "killed")
            return await known(ledger)

    return folder / "killed", asyncio.run(work())


def _checkpoint(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(PASSIVE)")


def opens_as(state: Path) -> Known:
    return within(state, known)


# --- one loss at a time -------------------------------------------------------------------------


def flip(file: Path, chance: random.Random) -> None:
    content = bytearray(file.read_bytes())
    content[chance.randrange(len(content))] ^= chance.randrange(1, 256)
    file.write_bytes(content)


def cut(file: Path, chance: random.Random) -> None:
    os.truncate(file, chance.randrange(file.stat().st_size))


def lose(file: Path, chance: random.Random) -> None:
    file.unlink()


def blank(file: Path, chance: random.Random) -> None:
    content = bytearray(file.read_bytes())
    at = chance.randrange(len(content))
    content[at : at + 4096] = bytes(len(content[at : at + 4096]))
    file.write_bytes(content)


HARMS: list[Callable[[Path, random.Random], None]] = [flip, flip, flip, cut, cut, lose, blank]


@sized("cases", 80, 1000, minutes=20)
def test_any_harm_to_the_state_leaves_what_serves_known_and_every_change_noticed(
    tmp_path: Path, whole: tuple[Path, Known], cases: int
) -> None:
    killed, before = whole
    files = sorted(file.relative_to(killed) for file in killed.rglob("*") if file.is_file() and file.name != "lock")
    changed = told = 0
    for seed in range(cases):
        chance = random.Random(seed)
        state = tmp_path / "state"
        shutil.copytree(killed, state)
        file, harm = state / chance.choice(files), chance.choice(HARMS)
        harm(file, chance)
        what = f"seed {seed}: {harm.__name__} {file.name}"
        after = opens_as(state)
        assert after.same_living(before), what
        noticed = bool(after.told) or after.broken is not None
        if (after.notes, after.receipts) != (before.notes, before.receipts):
            changed += 1
            assert noticed, what
        told += noticed
        assert opens_as(state).same_living(before), f"{what}: the second time"
        shutil.rmtree(state)
    claim(
        "harm to the state", f"{cases} cases, what serves known in all, {told} told; {changed} changed what is chained"
    )


def test_flips_in_the_history_itself_are_all_noticed(tmp_path: Path, whole: tuple[Path, Known]) -> None:
    killed, before = whole
    for seed in range(60):
        chance = random.Random(seed)
        state = tmp_path / "state"
        shutil.copytree(killed, state)
        with closing(sqlite3.connect(state / "noren.db")) as db:
            column = chance.choice(["app", "at", "rollout", "phase", "kind", "text", "digest"])
            seq = chance.randrange(1, len(before.notes) + 1)
            db.execute(f"UPDATE note SET {column} = {column} || 'x' WHERE seq = ?", (seq,))
            db.commit()
        assert opens_as(state).broken == seq
        shutil.rmtree(state)


def test_the_damaged_file_is_kept_aside_and_told(tmp_path: Path, whole: tuple[Path, Known]) -> None:
    state = tmp_path / "state"
    shutil.copytree(whole[0], state)
    (state / "noren.db-wal").unlink()
    (state / "noren.db").write_bytes(b"no database" * 1000)
    after = opens_as(state)
    assert (state / "aside-1" / "noren.db").read_bytes().startswith(b"no database")
    assert "damaged" in after.told[0] and "aside-1" in after.told[0], after.told
    assert "api goes on from its snapshot: release 1 is active" in after.told


def test_a_lost_wal_and_a_lost_file_are_told_with_what_is_missing(tmp_path: Path, whole: tuple[Path, Known]) -> None:
    for name, said in (("noren.db-wal", "it goes on from its snapshot"), ("noren.db", "was missing")):
        state = tmp_path / name
        shutil.copytree(whole[0], state)
        (state / name).unlink()
        (state / "noren.db-shm").unlink(missing_ok=True)
        if name == "noren.db":
            (state / "noren.db-wal").unlink()
        after = opens_as(state)
        assert after.same_living(whole[1])
        assert any(said in line for line in after.told), after.told
        assert after.told and not opens_as(state).told, "once is enough"


def test_a_damaged_schema_number_is_no_newer_noren(tmp_path: Path, whole: tuple[Path, Known]) -> None:
    for number in (0, 1, SCHEMA_VERSION + 1, 200):
        state = tmp_path / str(number)
        shutil.copytree(whole[0], state)
        with closing(sqlite3.connect(state / "noren.db")) as db:
            db.execute(f"PRAGMA user_version={number}")
        after = opens_as(state)
        assert after.same_living(whole[1]) and "damaged" in after.told[0], (number, after.told)


# --- other versions, other rights -----------------------------------------------------------------

_SCHEMA_1 = """
CREATE TABLE record (app TEXT, type TEXT, key TEXT, body TEXT NOT NULL, PRIMARY KEY (app, type, key)) WITHOUT ROWID;
CREATE TABLE note (
  seq INTEGER PRIMARY KEY, app TEXT NOT NULL, at TEXT NOT NULL, rollout INTEGER, phase TEXT,
  kind TEXT NOT NULL, text TEXT NOT NULL, digest TEXT NOT NULL
);
CREATE INDEX note_app ON note (app, seq);
PRAGMA user_version=1;
"""


def test_a_state_of_the_first_schema_is_taken_over_with_a_copy_of_it_beside(
    tmp_path: Path, whole: tuple[Path, Known]
) -> None:
    with closing(sqlite3.connect(tmp_path / "noren.db")) as db:
        db.executescript(_SCHEMA_1)
        db.execute("ATTACH ? AS new", (str(whole[0] / "noren.db"),))
        db.execute("INSERT INTO record SELECT app, type, key, body FROM new.record")
        db.execute("INSERT INTO note SELECT * FROM new.note")
        db.commit()
    after = opens_as(tmp_path)
    assert after == replace(whole[1], told=[])
    with closing(sqlite3.connect(tmp_path / "noren.db.schema-1")) as copy:
        assert copy.execute("PRAGMA user_version").fetchone() == (1,)
        assert copy.execute("SELECT count(*) FROM note").fetchone() == (len(after.notes),)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("(state / 'noren.db').chmod(0)", "whole"),
        ("(state / 'noren.db').chmod(0o400)", "whole"),
        ("(state / 'snapshot' / 'api.json').chmod(0)", "whole"),
        ("state.chmod(0)", "StateError"),
    ],
)
def test_rights_that_were_taken_away_are_put_back_or_told(whole: tuple[Path, Known], harm: str, said: str) -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are only for us
        Path(folder).chmod(0o755)
        state = Path(folder) / "state"
        shutil.copytree(whole[0], state)
        for each in (state, *state.rglob("*")):
            os.chown(each, 65534, 65534)
        told = as_nobody(state, harm)
    assert told.startswith(said), told
    if said == "StateError":
        assert "serving" in told and "owner and rights" in told


def as_nobody(state: Path, harm: str) -> str:
    """What a ledger says that another user opens."""
    code = f"""
import asyncio, os
from pathlib import Path
from noren.adapters.ledger import SqliteLedger
from noren.core.errors import StateError
os.setgid(65534); os.setuid(65534)
state = Path({str(state)!r})
{harm}
try:
    ledger = SqliteLedger(state)
    print("whole" if len(asyncio.run(ledger.load("api"))) > 1 else "lost")
except StateError as exc:
    print("StateError", exc)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    return done.stdout + done.stderr


# --- a disk that fails ------------------------------------------------------------------------------


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is missing: install it with your package manager")
def test_after_an_fsync_that_failed_nothing_is_written_until_it_was_read_again(tmp_path: Path) -> None:
    code = f"""
import asyncio
from pathlib import Path
from noren.adapters.ledger import SqliteLedger
from noren.core.errors import StateError
from noren.core.record import AppRecord
async def main():
    ledger = SqliteLedger(Path({str(tmp_path / "state")!r}))
    refused = 0
    for n in range(1, 40):
        try:
            await ledger.commit("api", [AppRecord(name="api", releases=n)])
        except StateError as exc:
            refused += 1
            assert "disk I/O error" in exc.seen, exc
    print("refused", refused)
    ledger.reopen()
    (record,) = await ledger.load("api")
    await ledger.commit("api", [AppRecord(name="api", releases=record.releases + 1)])
    print("goes on from", record.releases)
asyncio.run(main())
"""
    inject = ["-e", "trace=fdatasync,fsync", "-e", "inject=fdatasync:error=EIO:when=20..21"]
    argv = ["strace", "-f", "-qq", "-o", "/dev/null", *inject, sys.executable, "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    refused, after = (int(line.rpartition(" ")[2]) for line in done.stdout.splitlines())
    assert refused > 5, "one failure, and no write after it"
    assert 0 < after <= 40 - refused, "what was said to be written, and at most the one that is unknown"


# --- backup and restore -----------------------------------------------------------------------------


def test_a_backup_of_a_ledger_in_use_is_whole_and_restores_what_was_there_then(tmp_path: Path) -> None:
    state, file = tmp_path / "state", tmp_path / "copy.db"

    async def work(ledger: SqliteLedger) -> Known:
        await live(ledger)
        then = await known(ledger)
        writes = asyncio.create_task(_write_on(ledger))
        said = await asyncio.to_thread(back_up, state, file)
        assert "2 apps" in said, said
        await writes
        return then

    then = within(state, work)
    assert file.stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob("copy.db?*"))
    assert any("kept in" in line for line in restore(state, file))
    after = opens_as(state)
    assert after.living["site"] == then.living["site"] and after.broken is None and not after.told
    assert list(after.notes[: len(then.notes)]) == list(then.notes)
    assert (state / "aside-1" / "noren.db").exists() and (state / "aside-1" / "snapshot" / "api.json").exists()


async def _write_on(ledger: SqliteLedger) -> None:
    for n in range(50):
        note = Note(at="T", text=f"during the backup {n}", kind="k")
        await ledger.commit("api", [AppRecord(name="api", releases=100 + n)], notes=[note])


def test_what_is_no_backup_is_refused_and_changes_nothing(tmp_path: Path, whole: tuple[Path, Known]) -> None:
    state, file = tmp_path / "state", tmp_path / "copy.db"
    shutil.copytree(whole[0], state)
    back_up(state, file)
    content = bytearray(file.read_bytes())
    at = content.index(b"step 3 of 4")
    content[at] ^= 1
    file.write_bytes(content)
    with pytest.raises(StateError, match="no whole copy"):
        restore(state, file)
    with pytest.raises(HostError, match="cannot be read"):
        restore(state, tmp_path / "none.db")
    with opened(state), pytest.raises(StateError, match="another Noren"):
        restore(state, _good(state, tmp_path))
    assert opens_as(state).same_living(whole[1])


def _good(state: Path, folder: Path) -> Path:
    back_up(state, folder / "good.db")
    return folder / "good.db"


def test_a_backup_that_cannot_be_written_or_made_is_told(tmp_path: Path, whole: tuple[Path, Known]) -> None:
    shutil.copytree(whole[0], tmp_path / "state")
    with pytest.raises(HostError, match="could not be written"):
        back_up(tmp_path / "state", tmp_path / "none" / "copy.db")
    with pytest.raises(StateError, match="no state"):
        back_up(tmp_path, tmp_path / "copy.db")
