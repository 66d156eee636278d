"""One campaign from its first release to its result. Called by ``__main__`` and by the proofs."""

from __future__ import annotations

import random
import secrets
import signal
import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from tests.campaign.driver import Driver
from tests.campaign.fleet import BYSTANDER, CHANGED, Fleet
from tests.campaign.result import Result
from tests.daemon import no_leftovers
from tests.proofs.background import Background
from tests.proofs.listener import Listener

LOOK = 0.5  # seconds between two looks at how far it is
TELL = 60.0  # seconds between two lines of progress


class Campaign:
    """``share`` of 1,000 requests a second; the daemon is killed each ``kill_every`` seconds (0: never)."""

    def __init__(self, folder: Path, *, share: float, kill_every: float, seed: int | None = None) -> None:
        self.seed = secrets.randbits(32) if seed is None else seed
        self.kills = 0
        self._folder = folder
        self._share = share
        self._kill_every = kill_every
        self._rng = random.Random(f"{self.seed}/kills")
        self._slowest_return = 0.0

    def run(self, requests: int, rollouts: int) -> Result:
        """Until there were as many requests and rollouts, or something went wrong."""
        began = time.monotonic()
        with no_leftovers(self._folder):
            fleet = Fleet(self._folder)
            try:
                fleet.begin()
                result = self._measure(fleet, requests, rollouts)
            finally:
                fleet.noren.__exit__(None, None, None)
        result.seconds = time.monotonic() - began
        return result

    def _measure(self, fleet: Fleet, requests: int, rollouts: int) -> Result:
        interval = requests / (1000 * self._share) * len(CHANGED) / rollouts
        drivers = [Driver(fleet, app, self.seed, interval) for app in CHANGED]
        bystander = fleet.noren.status(BYSTANDER)["active"]
        before = Listener.of(fleet.noren.port, fleet.noren.state)
        with Background(*fleet.loads(self._share), seed=self.seed, whole=False) as traffic:
            faults = self._drive(fleet, drivers, traffic, requests, rollouts)
        if Listener.of(fleet.noren.port, fleet.noren.state) != before:
            faults.append("the listener or its proxy is another one")
        if fleet.noren.status(BYSTANDER)["active"] != bystander:
            faults.append("the bystander was changed")
        faults += fleet.contradictions()
        return Result(
            seed=self.seed,
            summary=traffic.proof.summary,
            once=fleet.once(traffic.ledger),
            rollouts=sum((driver.rollouts for driver in drivers), Counter()),
            counted=sum((driver.requests for driver in drivers), Counter()),
            interrupted=sum(driver.interrupted for driver in drivers),
            kills=self.kills,
            slowest_return=self._slowest_return,
            faults=faults,
        )

    def _drive(
        self, fleet: Fleet, drivers: list[Driver], traffic: Background, requests: int, rollouts: int
    ) -> list[str]:
        """Let the drivers work and kill the daemon; what went wrong."""
        stop = threading.Event()
        with ThreadPoolExecutor(len(drivers)) as pool:
            work = [pool.submit(driver.run, stop) for driver in drivers]
            try:
                self._watch(fleet, drivers, traffic, work, requests, rollouts)
            finally:
                stop.set()
        return [
            f"{driver.app}: {done.exception()}" for driver, done in zip(drivers, work, strict=True) if done.exception()
        ]

    def _watch(
        self,
        fleet: Fleet,
        drivers: list[Driver],
        traffic: Background,
        work: list[Future[None]],
        requests: int,
        rollouts: int,
    ) -> None:
        next_kill, next_line = self._next_kill(), time.monotonic() + TELL
        while not any(done.done() for done in work):
            asked, made = traffic.requests, sum(driver.made for driver in drivers)
            if asked >= requests and made >= rollouts:
                return
            if time.monotonic() >= next_line:
                print(f"{asked} requests, {traffic.lost} lost, {made} rollouts, {self.kills} kills", flush=True)
                next_line += TELL
            if time.monotonic() >= next_kill:
                self._kill(fleet)
                next_kill = self._next_kill()
            time.sleep(LOOK)

    def _next_kill(self) -> float:
        if not self._kill_every:
            return float("inf")
        return time.monotonic() + self._rng.uniform(0.5, 1.5) * self._kill_every

    def _kill(self, fleet: Fleet) -> None:
        fleet.noren.end(signal.SIGKILL)
        self._slowest_return = max(self._slowest_return, fleet.noren.up(timeout=60.0))
        self.kills += 1
