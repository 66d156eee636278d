"""The daemon is killed after every step that lasts or that others see, and loses nothing, whatever it was doing.

A step is a system call of ``steps.CALLS``. Short: three points of each story. Full, ``make sweep``: every point, or by
``FIRST_POINT`` and ``STRIDE`` in the environment those from one on, or every so many.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from noren.core.errors import NotRunningError
from noren.prove.checks import names_its_release
from noren.prove.keepalive import KeepAlive, NewConnection, Posts
from noren.prove.load import Load
from tests.daemon import no_leftovers
from tests.proofs.background import Background
from tests.proofs.claim import claim
from tests.proofs.ledger_app import LedgerApp
from tests.proofs.steps import Steps

pytestmark = pytest.mark.skipif(
    not shutil.which("strace"), reason="strace is missing: install it with your package manager"
)

SETTINGS = {
    "triggers": '{ poll = "10m" }',
    "verify": '{ bake_time = "1s" }',
    "keep_warm": '"300ms"',
    "drain": '{ requests = "2s", connections = "2s", grace = "2s" }',
    "ready": '{ path = "/healthz", interval = "50ms", deadline = "20s" }',
}
EVERY = 10_000  # points; no story has so many
OVER = 3  # points in a row that were not met: a story has a few steps more or less each time
SIZES = [
    pytest.param(3, id="short", marks=pytest.mark.timeout(300)),
    pytest.param(EVERY, id="full", marks=(pytest.mark.slow, pytest.mark.timeout(10_800))),
]
INSIDE = {"kept", "failed", "aborted", "superseded", "rolled_back"}  # what may come of a rollout that Noren died in


def loads(shop: LedgerApp) -> list[Load]:
    """40 a second: as much as says at once when something is lost."""
    return [
        NewConnection(name="connections", target=shop.target, rate=15, check=names_its_release),
        KeepAlive(name="gets", target=shop.target, rate=15, connections=4, check=names_its_release),
        Posts(name="posts", target=shop.target, rate=10, check=names_its_release),
    ]


class Sweep:
    """One app, and the stories that the daemon is killed in."""

    def __init__(self, shop: LedgerApp) -> None:
        self.shop = shop
        self.noren = shop.noren
        self.points: list[str] = []
        self._value = 0

    # --- what happens -----------------------------------------------------------------------

    def good(self) -> None:
        self.shop.commit(faults="")
        self.noren.client.deploy("shop", None)

    def exits_early(self) -> None:
        self.shop.commit(faults="EXIT_AFTER_START=0.1")
        self.noren.client.deploy("shop", None)

    def back_by_hand(self) -> None:
        """As warm as it gets: the release before the active one."""
        self.noren.client.rollback("shop", None)

    def sent_back(self) -> None:
        """A rollout that has all traffic is told to go back."""
        self.good()
        self.noren.until(lambda: self._phase() == "baking", "it bakes")
        self.noren.client.abort("shop")

    def reloaded(self) -> None:
        """Changed settings: a new release of the same revision."""
        self._value += 1
        toml = self.noren.settings.read_text().partition("[apps.shop.env]")[0]
        self.noren.settings.write_text(f'{toml}[apps.shop.env]\nVALUE = "{self._value}"\n')
        self.noren.client.reload(prune=False, dry=False)

    # --- the death --------------------------------------------------------------------------

    def die_in(self, story: Callable[[], None], point: int) -> bool:
        """Whether the daemon met its ``point``-th step before it was at rest again."""
        assert self.noren.process
        with Steps(self.noren.process.pid, point) as steps:
            with suppress(NotRunningError, AssertionError):
                story()
            self._until_rest(steps)
        return self._died(steps)

    def die_at_start(self, point: int) -> bool:
        """The same in a start that finds a rollout under way: in the middle of its bake."""
        self.good()
        self.noren.until(lambda: self._phase() == "baking", "it bakes")
        self.noren.end(signal.SIGKILL)
        with Steps(self.noren.spawn(), point) as steps:
            self._until_rest(steps)
        return self._died(steps)

    def die_at_cold_start(self, point: int) -> bool:
        """The same in a start that finds nothing running, as after a reboot."""
        self.noren.end(signal.SIGINT)
        with Steps(self.noren.spawn(), point) as steps:
            self._until_rest(steps)
        return self._died(steps)

    def _died(self, steps: Steps) -> bool:
        assert self.noren.process
        if steps.killed:
            assert self.noren.process.wait(20) == -signal.SIGKILL
            self.points.append(steps.seen[-1])
        return steps.killed

    def _until_rest(self, steps: Steps, seconds: float = 60.0) -> None:
        assert self.noren.process
        end = time.monotonic() + seconds
        while self.noren.process.poll() is None:
            if self._rests():
                return
            assert time.monotonic() < end, f"no rest after {seconds:g} s and {len(steps.seen)} steps"
            time.sleep(0.05)

    def _rests(self) -> bool:
        return self._phase() == "idle" and len(self.shop.running()) == 1

    def _phase(self) -> str:
        """From the ledger itself: a question to the daemon would be a step of it."""
        with closing(sqlite3.connect(f"file:{self.noren.state / 'noren.db'}?mode=ro", uri=True)) as db:
            row = db.execute(
                "SELECT json_extract(body, '$.rollout.phase') FROM record WHERE type = 'rollout'"
            ).fetchone()
        return row[0] if row else "idle"

    # --- what must hold -----------------------------------------------------------------------

    def judge(self, what: str) -> None:
        """After the next start: one outcome for each rollout, one living release, and the next push goes out."""
        self.noren.up()
        self.noren.until(lambda: self._phase() == "idle", f"{what}: every rollout has its outcome")
        newest = self._newest()
        assert newest["outcome"] in INSIDE and newest["complete"] is not None, (what, newest)
        self.shop.commit(faults="")
        self.noren.client.deploy("shop", None)
        self.noren.kept("shop", self.shop.repository.tip())
        self.noren.until(self._rests, f"{what}: one release has processes: {self.shop.running()}")
        active = self.noren.status("shop")["active"]["release"]
        assert set(self.shop.running()) == {active} and self._answering() == f"shop@{active}", what
        told = [row["rollout"] for row in self._receipts()]
        assert len(told) == len(set(told)), what

    def _newest(self) -> dict[str, Any]:
        return self.noren.client.receipt("shop")  # type: ignore[return-value]

    def _receipts(self) -> list[dict[str, Any]]:
        newest = self._newest()["rollout"]
        return [self.noren.client.receipt("shop", n) for n in range(max(1, newest - 3), newest + 1)]  # type: ignore[misc]

    def _answering(self) -> str:
        request = urllib.request.Request(f"http://127.0.0.1:{self.noren.port}/", headers={"Host": "shop.example"})
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.headers["X-Noren-Release"]


STORIES = {
    "a good rollout": lambda sweep, point: sweep.die_in(sweep.good, point),
    "a rollout that fails": lambda sweep, point: sweep.die_in(sweep.exits_early, point),
    "a rollout that is sent back": lambda sweep, point: sweep.die_in(sweep.sent_back, point),
    "a rollback by hand": lambda sweep, point: sweep.die_in(sweep.back_by_hand, point),
    "a reload of the settings": lambda sweep, point: sweep.die_in(sweep.reloaded, point),
    "a start into a bake": lambda sweep, point: sweep.die_at_start(point),
    "a start from nothing": lambda sweep, point: sweep.die_at_cold_start(point),
}


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("points", SIZES)
def test_killed_at_any_step_the_daemon_loses_nothing(tmp_path: Path, story: str, points: int) -> None:
    began = time.monotonic()
    with no_leftovers(tmp_path), LedgerApp(tmp_path, "simple", **SETTINGS) as shop:
        sweep = Sweep(shop)
        shop.commit(faults="")
        shop.noren.client.deploy("shop", None)
        shop.noren.kept("shop", shop.repository.tip())  # the second release: there is one to go back to
        lost = requests = missed = 0
        for point in _chosen(points):
            with Background(*([] if story == "a start from nothing" else loads(shop))) as traffic:
                met = STORIES[story](sweep, point)
                if met:
                    sweep.judge(f"{story}, step {point}: {sweep.points[-1]}")
            proof = traffic.proof
            assert proof.lost == 0, f"{story}, step {point}: {sweep.points[-1]}\n" + "\n".join(proof.lines())
            print(f"{story}: {point} {sweep.points[-1] if met else 'was not met'}", flush=True)
            lost, requests = lost + proof.lost, requests + proof.summary.requests
            missed = 0 if met else missed + 1
            if missed == OVER:
                break
    took = time.monotonic() - began
    claim(f"killed in {story}", f"{len(sweep.points)} points, {lost} lost in {requests} requests, {took:.0f} s")
    assert len(sweep.points) >= min(points, 10 if points == EVERY and _stride() == 1 else 3)


def _stride() -> int:
    return int(os.environ.get("STRIDE", "1"))


def _chosen(points: int) -> list[int]:
    """All, or some of the first sixty, other ones each time: a failure names its step."""
    if points == EVERY:
        return list(range(int(os.environ.get("FIRST_POINT", "1")), EVERY, _stride()))
    return sorted(random.Random().sample(range(1, 60), points))
