"""The ledger on a real SQLite file: whole records, one transaction, nothing lost, nothing forged unseen."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from noren.adapters.database import SCHEMA_VERSION
from noren.adapters.ledger import SqliteLedger
from noren.adapters.seal import seal
from noren.core.errors import StateError
from noren.core.forge import PullRequest
from noren.core.model import (
    App,
    Artifact,
    Build,
    Credentials,
    Instance,
    Kind,
    Limits,
    ProbeAnswer,
    Static,
    Strategy,
    Triggers,
)
from noren.core.phase import Phase
from noren.core.quarantine import Quarantined
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
from noren.core.retire import RetirePhase, Retiring, Running
from noren.core.rollout import Health, Rollout, RolloutKind
from noren.core.schedule import Hold, Wanted
from noren.core.strategy import Step
from noren.core.traffic import Counts, Observation, Traffic
from noren.core.verdict import Fault, Outcome, Verdict

T = TypeVar("T")
APP = App(
    name="api",
    kind=Kind.PROCESS,
    repo="/repo",
    watch=("src/**",),
    hosts=("api.example", "example/api"),
    credentials=Credentials(token_env="TOKEN"),
    env=(("A", "ü\n"),),
    secrets=(("S", "x"),),
    build=Build(run="make"),
    static=Static(cache_control=(("*.css", "immutable"),)),
    triggers=Triggers(poll=None),
    strategy=Strategy.ROLLING,
    limits=Limits(memory=2**40),
)
ARTIFACT = Artifact(key="k", path="/builds/k", digest="d", seconds=0.1 + 0.2)
INSTANCE = Instance(
    id="api-1-1-0", app="api", release=1, ordinal=0, address="127.0.0.1:2", pid=3, start_ticks=4, boot_id="b", log="/l"
)
RUNNING = Running(release=1, rollout=1, instances=(INSTANCE, replace(INSTANCE, id="api-1-1-1", pid=None)))
SEEN = Observation(proxy="p", releases={1: Traffic(Counts(1, 2, 3), Counts(4, 5, 6)), 12: Traffic()})
ROLLOUT = Rollout(
    id=2,
    app=APP,
    kind=RolloutKind.ROLLBACK,
    number=1,
    revision="a" * 40,
    trigger="manual by me",
    phase=Phase.BAKING,
    old=RUNNING,
    artifact=ARTIFACT,
    running=RUNNING,
    steps=(Step(start=1, weight=1 / 3, old=2), Step(start=2, weight=1.0, old=0)),
    done=1,
    health=(("api-1-1-0", Health(good=3, bad=1, last_good=123.456)),),
    last_probe=ProbeAnswer(ok=False, url="u", status=404, body="b", seconds=0.5, problem="p", hint="h"),
    deadline=99.5,
    verdict=Verdict(outcome=Outcome.ROLLED_BACK, reason="r\n2", fault=Fault.OWN),
)
RECORDS: list[Record] = [
    AppRecord(name="api"),
    AppRecord(
        name="api",
        tip="t",
        revision="r",
        settings="s",
        active=RUNNING,
        active_since="T",
        last_good=1,
        hold=Hold(reason="r", by="me", since="T"),
        wanted=Wanted(revision="w", trigger="poll", manual=True, attempt=3),
        pinned="p",
        releases=7,
        rollouts=9,
    ),
    ReleaseRecord(number=1, revision="a", settings="s", app=APP),
    ReleaseRecord(
        number=2,
        revision="a",
        settings="s",
        app=APP,
        artifact=ARTIFACT,
        built_at="T",
        outcome=Outcome.STUCK,
        reason="暖簾",
    ),
    RolloutRecord(rollout=replace(ROLLOUT, old=None, running=None), started_at="T", intent=1.5, entered=2.5),
    RolloutRecord(
        rollout=ROLLOUT,
        started_at="T",
        intent=1.5,
        entered=2.5,
        switched=3.5,
        switched_at="T2",
        phases=(("queued", 0.001), ("building", 1e-9)),
        at_intent=SEEN,
        at_switch=SEEN,
        switch_ms=0.123,
    ),
    RetiringRecord(retiring=Retiring(running=RUNNING, phase=RetirePhase.DRAINING, until=1e9, faulty=True)),
    RetiringRecord(retiring=Retiring(running=Running(release=3, rollout=4), phase=RetirePhase.WARM)),
    QuarantineRecord(quarantined=Quarantined(revision="q", settings="s", reason="r", since="T")),
    DeliveryRecord(delivery="0f", at="T"),
    PreviewsRecord(
        open=(PullRequest(number=12, head="a" * 40, ref="refs/pull/12/head", base="main", fork=True),),
        approved=((12, "a" * 40),),
        releases=3,
    ),
    MessageRecord(id="website/7", body="{}", sinks=("webhook", "command")),
]
NOTE = Note(at="T1", text="begun", kind="rollout", rollout=2, phase="queued")


@contextmanager
def opened(state: Path) -> Iterator[SqliteLedger]:
    ledger = SqliteLedger(state)
    try:
        yield ledger
    finally:
        ledger.close()


def within(state: Path, work: Callable[[SqliteLedger], Awaitable[T]]) -> T:
    """Open the ledger, do the work, close it again."""

    async def main() -> T:
        with opened(state) as ledger:
            return await work(ledger)

    return asyncio.run(main())


async def noted(ledger: SqliteLedger, count: int, app: str = "api") -> None:
    for n in range(count):
        await ledger.commit(app, [], notes=[replace(NOTE, text=f"line {n}")])


# --- records ----------------------------------------------------------------------------------


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: f"{type(r).__name__}-{r.key}")
def test_every_record_comes_back_as_it_was_after_the_file_was_closed(tmp_path: Path, record: Record) -> None:
    within(tmp_path, lambda ledger: ledger.commit("api", [record]))
    assert list(within(tmp_path, lambda ledger: ledger.load("api"))) == [record]


def test_there_is_a_sample_of_every_type_of_record() -> None:
    assert {type(record) for record in RECORDS} | {ReceiptRecord} == set(Record.__args__)


def test_an_app_that_is_forgotten_leaves_its_history_and_nothing_that_could_bring_it_back(tmp_path: Path) -> None:
    async def work(ledger: SqliteLedger) -> None:
        await ledger.commit("api-pr-12", RECORDS, notes=[NOTE])
        await ledger.commit("api", [RECORDS[2]])
        for _ in range(2):
            await ledger.forget("api-pr-12")
        assert list(await ledger.load("api-pr-12")) == []
        assert await ledger.apps() == ["api"]
        assert len(await ledger.notes("api-pr-12", 0, 10)) == 1

    within(tmp_path, work)
    assert not list(tmp_path.rglob("*pr-12*"))
    for file in tmp_path.glob("noren.db*"):
        file.unlink()
    assert within(tmp_path, lambda ledger: ledger.apps()) == ["api"]


def test_webhooks_that_were_taken_are_in_no_snapshot(tmp_path: Path) -> None:
    async def work(ledger: SqliteLedger) -> None:
        await ledger.commit("api", [RECORDS[2]])
        await ledger.commit("api", [DeliveryRecord(delivery="canary", at="T")])
        assert DeliveryRecord(delivery="canary", at="T") in await ledger.load("api")

    within(tmp_path, work)
    assert not any("canary" in file.read_text() for file in tmp_path.rglob("*.json"))


def test_a_record_replaces_the_one_with_its_key_and_only_that(tmp_path: Path) -> None:
    async def work(ledger: SqliteLedger) -> list[Record]:
        one, two = RECORDS[2], RECORDS[3]
        await ledger.commit("api", [one, two])
        await ledger.commit("other", [one])
        await ledger.commit("api", [replace(one, reason="new")], drop=[two])
        assert await ledger.load("other") == [one]
        assert await ledger.apps() == ["api", "other"]
        return list(await ledger.load("api"))

    assert within(tmp_path, work) == [replace(RECORDS[2], reason="new")]


def test_what_is_dropped_and_put_in_one_commit_is_there(tmp_path: Path) -> None:
    async def work(ledger: SqliteLedger) -> list[Record]:
        await ledger.commit("api", [RECORDS[6]])
        await ledger.commit("api", [RECORDS[6]], drop=[RECORDS[6]])
        return list(await ledger.load("api"))

    assert within(tmp_path, work) == [RECORDS[6]]


def test_receipts_are_read_one_by_one_and_the_newest_by_number(tmp_path: Path) -> None:
    async def work(ledger: SqliteLedger) -> None:
        await ledger.commit("api", [ReceiptRecord(rollout=n, body=f'{{"n": {n}}}') for n in (9, 10, 2)])
        assert await ledger.receipt("api", 9) == '{"n": 9}'
        assert await ledger.receipt("api", None) == '{"n": 10}'
        assert await ledger.receipt("api", 3) is None
        assert await ledger.receipt("other", None) is None
        assert list(await ledger.load("api")) == []

    within(tmp_path, work)


# --- transactions -----------------------------------------------------------------------------


def test_a_commit_that_fails_half_way_writes_nothing(tmp_path: Path) -> None:
    within(tmp_path, lambda ledger: ledger.commit("api", [RECORDS[2]], notes=[NOTE]))
    with closing(sqlite3.connect(tmp_path / "noren.db")) as db:
        db.execute("CREATE TRIGGER full BEFORE INSERT ON note BEGIN SELECT RAISE(ABORT, 'disk full'); END")

    async def work(ledger: SqliteLedger) -> None:
        with pytest.raises(StateError, match="cannot be used") as caught:
            await ledger.commit("api", [RECORDS[3]], drop=[RECORDS[2]], notes=[NOTE])
        assert "disk full" in caught.value.seen and caught.value.hint
        assert await ledger.load("api") == [RECORDS[2]]
        await ledger.commit("api", [RECORDS[1]])
        assert len(await ledger.load("api")) == 2

    within(tmp_path, work)


def test_what_was_committed_survives_a_kill_9_of_its_writer(tmp_path: Path) -> None:
    code = f"""
import asyncio, itertools
from pathlib import Path
from noren.adapters.ledger import SqliteLedger
from noren.adapters.seal import seal
from noren.core.record import Note, ReceiptRecord
async def main():
    ledger = SqliteLedger(Path({str(tmp_path)!r}))
    for n in itertools.count(1):
        await ledger.commit("api", [ReceiptRecord(rollout=n, body="{{}}")], notes=[Note(at="T", text=str(n), kind="k")])
        print(n, flush=True)
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        said = [int(writer.stdout.readline()) for _ in range(20)]
        os.kill(writer.pid, signal.SIGKILL)
        said += [int(line) for line in writer.stdout if line.strip()]

    async def work(ledger: SqliteLedger) -> None:
        lines = await ledger.notes("api", 0, 100_000)
        assert len(lines) in (said[-1], said[-1] + 1), "the last one may be written and not yet said"
        assert await ledger.receipt("api", len(lines)) == "{}"
        assert await ledger.receipt("api", len(lines) + 1) is None
        assert await ledger.verify() is None

    within(tmp_path, work)


# --- the file ---------------------------------------------------------------------------------


def test_nobody_else_can_read_the_state(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with opened(state):
        asyncio.run(asyncio.sleep(0))
        modes = {path.name: path.stat().st_mode & 0o777 for path in (state, *state.iterdir())}
    assert modes.pop("state") == 0o700
    assert set(modes.values()) == {0o600}, modes


def test_a_state_in_a_checkout_is_never_committed(tmp_path: Path) -> None:
    with opened(tmp_path / ".noren"):
        pass
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True, timeout=20)
    told = subprocess.run(["git", "status", "--porcelain"], cwd=tmp_path, capture_output=True, check=True, timeout=20)
    assert told.stdout == b""


def test_a_second_daemon_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with opened(tmp_path):
        with pytest.raises(StateError, match="another Noren works with") as caught:
            SqliteLedger(tmp_path)
        assert "noren status" in caught.value.hint and "noren down" in caught.value.hint
    with opened(tmp_path):
        pass


def test_a_state_of_a_newer_noren_is_refused_and_left_alone(tmp_path: Path) -> None:
    within(tmp_path, lambda ledger: ledger.commit("api", [RECORDS[2]]))
    with closing(sqlite3.connect(tmp_path / "noren.db")) as db:
        db.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
        db.execute("UPDATE chain SET schema = schema + 1")
        db.commit()
    with pytest.raises(StateError, match="newer Noren") as caught:
        SqliteLedger(tmp_path)
    assert caught.value.hint == "upgrade Noren"
    with closing(sqlite3.connect(tmp_path / "noren.db")) as db:
        assert db.execute("SELECT count(*) FROM record").fetchone() == (1,)


def test_a_record_that_this_noren_cannot_read_is_a_state_error(tmp_path: Path) -> None:
    within(tmp_path, lambda ledger: ledger.commit("api", [RECORDS[2]]))
    body = '{"number": "many"}'
    with closing(sqlite3.connect(tmp_path / "noren.db")) as db:
        db.execute("UPDATE record SET body = ?, digest = ?", (body, seal("api", "release", "1", body)))
        db.commit()

    async def work(ledger: SqliteLedger) -> None:
        with pytest.raises(StateError, match="cannot be read"):
            await ledger.load("api")

    within(tmp_path, work)


# --- history ----------------------------------------------------------------------------------


def test_history_is_paged_by_seq_and_from_its_end_for_one_app_or_all(tmp_path: Path) -> None:
    async def work(ledger: SqliteLedger) -> None:
        await noted(ledger, 3)
        await noted(ledger, 2, "other")
        await noted(ledger, 1)

        async def seqs(app: str | None, after: int, limit: int = 100) -> list[int]:
            return [line["seq"] for line in await ledger.notes(app, after, limit)]

        assert await seqs(None, 0) == [1, 2, 3, 4, 5, 6]
        assert await seqs("api", 0) == [1, 2, 3, 6]
        assert await seqs("api", 2) == [3, 6]
        assert await seqs("api", 0, 2) == [1, 2]
        assert await seqs("api", -2) == [3, 6]
        assert await seqs(None, -1) == [6]
        assert await seqs("none", 0) == []

    within(tmp_path, work)


def test_a_line_of_history_has_all_that_the_note_said(tmp_path: Path) -> None:
    async def work(ledger: SqliteLedger) -> dict[str, Any]:
        await ledger.commit("api", [], notes=[NOTE])
        return (await ledger.notes("api", 0, 1))[0]

    line = {"seq": 1, "app": "api", "at": "T1", "rollout": 2, "phase": "queued", "kind": "rollout", "text": "begun"}
    assert within(tmp_path, work) == line


@pytest.mark.parametrize(
    ("change", "noticed_at"),
    [
        ("UPDATE note SET app = 'x' WHERE seq = 2", 2),
        ("UPDATE note SET at = 'x' WHERE seq = 2", 2),
        ("UPDATE note SET rollout = 9 WHERE seq = 2", 2),
        ("UPDATE note SET rollout = NULL WHERE seq = 2", 2),
        ("UPDATE note SET phase = NULL WHERE seq = 2", 2),
        ("UPDATE note SET kind = 'x' WHERE seq = 2", 2),
        ("UPDATE note SET text = 'x' WHERE seq = 2", 2),
        ("UPDATE note SET digest = 'x' WHERE seq = 2", 2),
        ("DELETE FROM note WHERE seq = 2", 3),
        ("DELETE FROM note WHERE seq = 1", 2),
        ("UPDATE note SET seq = 9 WHERE seq = 2", 3),
        ("DELETE FROM note WHERE seq = 4", 4),
        ("DELETE FROM note", 1),
        ("UPDATE chain SET digest = 'x'", 5),
    ],
)
def test_a_line_of_history_that_was_changed_or_removed_is_noticed(tmp_path: Path, change: str, noticed_at: int) -> None:
    async def verify(ledger: SqliteLedger) -> int | None:
        return await ledger.verify()

    within(tmp_path, lambda ledger: noted(ledger, 4))
    assert within(tmp_path, verify) is None
    with closing(sqlite3.connect(tmp_path / "noren.db")) as db:
        db.execute(change)
        db.commit()
    assert within(tmp_path, verify) == noticed_at
