"""One trial of one app: loads begin, rollouts follow each other, loads end, and the report is made.

Called by `noren prove`, with the daemon's client and what the settings say. It changes nothing but what rollouts do.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from noren.core.errors import NorenError, UsageError
from noren.prove.catalogue import Shape, loads
from noren.prove.connection import Connection, open_connection
from noren.prove.orders import each_order
from noren.prove.outcome import Problem
from noren.prove.proof import Proof
from noren.prove.report import Report
from noren.prove.request import Answer, Request, Target
from noren.prove.rollouts import Rollouts
from noren.prove.run import Run

Tell = Callable[[str], None]
LEAD = 5.0  # seconds of load before the first rollout and after the last one
_SLOT = 0.2  # seconds
_LONGEST = 86_400.0  # seconds
_LAST = 60.0  # seconds for what is under way at the end


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """``duration``: seconds to spread the rollouts over, 0: one after the other. ``orders``: the app's own ledger."""

    rollouts: Rollouts
    shape: Shape
    loads: tuple[str, ...]
    times: int
    duration: float
    seed: int | None
    orders: Path | None
    tell: Tell

    async def run(self) -> Report:
        """All of it; Ctrl-C ends it after the rollout under way. Raises NorenError when it cannot begin."""
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._end, stop)
        try:
            return await self._run(stop)
        finally:
            asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)

    def _end(self, stop: asyncio.Event) -> None:
        self.tell("ending after the rollout under way")
        stop.set()

    async def _run(self, stop: asyncio.Event) -> Report:
        shape = await self._asked_once()
        begin = time.time()
        async with Run(seed=self.seed, duration=_LONGEST, whole=False, slot=_SLOT) as run:
            for load in loads(self.loads, shape):
                run.start(load)
            self.tell(f"seed {run.seed}: {', '.join(self.loads)} at {shape.rate:g} requests/s")
            await _pause(LEAD, stop)
            receipts = await self._roll_out(run, stop)
            await _pause(LEAD, stop)
            ledger = await run.stop(within=_LAST)
        history = await asyncio.to_thread(self.rollouts.history, begin)
        executed = each_order(self.orders) if shape.post and self.orders and self.orders.exists() else None
        return Report.of(self.rollouts.app, ledger, Proof.of(ledger, executed, shown=0), receipts, history)

    async def _roll_out(self, run: Run, stop: asyncio.Event) -> list[dict[str, Any]]:
        begin, receipts = time.monotonic(), list[dict[str, Any]]()
        for number in range(self.times):
            await _pause(begin + number * self.duration / self.times - time.monotonic(), stop)
            if stop.is_set():
                break
            receipt = await self.rollouts.one(stop)
            receipts.append(receipt)
            tally = run.ledger.tally
            done = f"rollout {receipt['rollout']} ({number + 1} of {self.times}): {receipt['outcome']}"
            self.tell(f"{done}; {tally.requests} requests, {tally.lost} lost")
            if receipt["outcome"] not in ("kept", "superseded"):
                break
        return receipts

    async def _asked_once(self) -> Shape:
        """Each path must answer 2xx before it is loaded; without X-Noren-Release nobody can tell who answered."""
        shape = self.shape
        labels = [await _label(shape.target, path) for path in shape.paths]
        if shape.bystander is not None:
            await _label(shape.bystander, shape.aside)
        if not all(labels):
            return replace(shape, target=replace(shape.target, app=None))
        return shape


async def _label(target: Target, path: str) -> str | None:
    """The release that answers this path well; raises NorenError."""
    deadline = asyncio.get_running_loop().time() + 10.0
    connection = await open_connection(target, deadline)
    if not isinstance(connection, Connection):
        raise NorenError(f"nobody answers at {target.address}:{target.port}", seen=connection.detail, hint="noren up")
    answer = await connection.exchange(Request("first", path=path).encode(target.host), "GET", deadline)
    connection.close()
    if isinstance(answer, Problem):
        raise NorenError(f"GET {path} of {target.host} was {answer.outcome}", seen=answer.detail)
    _check(answer, target, path)
    return answer.release


def _check(answer: Answer, target: Target, path: str) -> None:
    if not 200 <= answer.status < 300:
        hint = "name paths that answer 2xx: --path /healthz --path /"
        raise UsageError(f"GET {path} of {target.host} is answered {answer.status}", hint=hint)


async def _pause(seconds: float, stop: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(stop.wait(), max(0.0, seconds))
    except TimeoutError:
        return
