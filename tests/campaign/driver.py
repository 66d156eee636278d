"""Changes one app again and again: good commits, bad ones, and what people do. Each must end as it should.

The daemon may be killed at any moment: a call that is not answered is left to the next step, a rollout that the kill
interrupted is tried again by Noren itself.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from noren.core.errors import NorenError, NotRunningError
from tests.campaign.fleet import Fleet

PATIENCE = 180.0  # seconds for one change, kills of the daemon and their back-off included
PAUSE = 0.05
# Reasons that a kill of the daemon leads to: Noren tries such a commit again by itself.
INTERRUPTED = ("Noren was stopped", "while Noren was not running")

Receipt = dict[str, Any]


class Driver:
    """One app. ``rollouts`` counts verdicts by kind and outcome, ``requests`` what the proxy counted in them."""

    def __init__(self, fleet: Fleet, app: str, seed: int, interval: float) -> None:
        self.app = app
        self.rollouts: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self.made = 0  # for other threads, which must not walk the counters
        self.interrupted = 0
        self._fleet = fleet
        self._client = fleet.noren.client
        self._rng = random.Random(f"{seed}/{app}")
        self._interval = interval
        self._last = 1
        self._changes: dict[Callable[[], None], int] = {
            self._good: 55,
            self._bad_build: 8,
            self._superseded: 6,
            self._roll_back: 8,
            self._restart: 8,
            self._abort: 6,
            self._promote: 4,
        }
        if app != "site":
            self._changes |= {self._bad_start: 6, self._never_ready: 5}

    def run(self, stop: threading.Event) -> None:
        """Until told to stop; ends with a good release."""
        begin, number = time.monotonic(), 0
        while not stop.is_set():
            change = self._rng.choices(list(self._changes), list(self._changes.values()))[0]
            change()
            number += 1
            stop.wait(max(0.0, begin + number * self._interval - time.monotonic()))
        self._good()

    # -- changes

    def _good(self) -> None:
        self._ends(self._fleet.commit(self.app), "kept")

    def _bad_build(self) -> None:
        self._ends(self._fleet.commit(self.app, **{"build.sh": "echo broken; exit 1"}), "failed")

    def _bad_start(self) -> None:
        self._ends(self._fleet.commit(self.app, faults="EXIT_AFTER_START=0.05\n"), "aborted")

    def _never_ready(self) -> None:
        revision = self._fleet.commit(self.app, faults="NEVER_READY=1\n")
        if self._reached("waiting_ready", revision):
            self._act(lambda: self._client.abort(self.app))
        self._good()  # supersedes it, should the abort have been lost

    def _superseded(self) -> None:
        self._fleet.commit(self.app)
        self._deploy()
        time.sleep(self._rng.uniform(0, 0.8))
        self._good()

    def _roll_back(self) -> None:
        self._await_number(self._act(lambda: self._client.rollback(self.app)))

    def _restart(self) -> None:
        self._await_number(self._act(lambda: self._client.restart(self.app)))

    def _abort(self) -> None:
        revision = self._fleet.commit(self.app)
        if self._reached("baking", revision):
            self._act(lambda: self._client.abort(self.app))
        self._good()

    def _promote(self) -> None:
        revision = self._fleet.commit(self.app)
        if self._reached("baking", revision):
            self._act(lambda: self._client.promote(self.app))
        self._ends(revision, "kept")

    # -- what comes of them

    def _deploy(self) -> None:
        """Half of the commits are found by the poll, half are deployed by hand."""
        if self._rng.random() < 0.5:
            self._act(lambda: self._client.deploy(self.app))

    def _ends(self, revision: str, outcome: str) -> None:
        """Wait for the rollout of this revision that no kill interrupted: it must end so."""
        self._deploy()
        until = time.monotonic() + PATIENCE
        while True:
            receipt = self._receipt(self._last + 1, until)
            self._count(receipt)
            if receipt["revision"] != revision or receipt["kind"] != "upgrade":
                continue
            if receipt["outcome"] == outcome:
                return
            if not any(reason in receipt["reason"] for reason in INTERRUPTED):
                raise AssertionError(
                    f"{self.app} rollout {receipt['rollout']}: {receipt['outcome']}, not {outcome}: {receipt['reason']}"
                )

    def _await_number(self, number: int | None) -> None:
        until = time.monotonic() + PATIENCE
        while number is not None and self._last < number:
            self._count(self._receipt(self._last + 1, until))

    def _reached(self, phase: str, revision: str) -> bool:
        """Whether its rollout is seen in this phase before it is over."""
        self._deploy()
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            try:
                status = self._fleet.noren.status(self.app)
                candidate = status["candidate"]
                if candidate and candidate["revision"] == revision and candidate["phase"] == phase:
                    return True
                if any(r["revision"] == revision and r["outcome"] for r in self._client.releases(self.app)[:3]):
                    return False
            except NotRunningError:
                pass
            time.sleep(PAUSE)
        raise AssertionError(f"{self.app} {revision[:12]} is not {phase} within {PATIENCE:g} s")

    def _act(self, call: Callable[[], Any]) -> Any:
        """None when the daemon is away, or refuses because of what else goes on."""
        try:
            return call()
        except NorenError:
            return None

    def _receipt(self, number: int, until: float) -> Receipt:
        while time.monotonic() < until:
            try:
                if any("outcome" in line for line in self._client.verdict(self.app, number)):
                    return self._client.receipt(self.app, number)
            except NotRunningError:
                pass
            time.sleep(PAUSE)
        raise AssertionError(f"{self.app} rollout {number} has no verdict within {PATIENCE:g} s")

    def _count(self, receipt: Receipt) -> None:
        self._last = receipt["rollout"]
        self.made += 1
        self.rollouts[f"{receipt['kind']} {receipt['outcome']}"] += 1
        self.interrupted += any(reason in receipt["reason"] for reason in INTERRUPTED)
        if receipt["requests"] is not None:
            self.requests.update(receipt["requests"])
        if receipt["outcome"] == "stuck" or (receipt["requests"] or {}).get("failed"):
            raise AssertionError(f"{self.app}: {receipt['outcome']}, {receipt['requests']}: {receipt['reason']}")
