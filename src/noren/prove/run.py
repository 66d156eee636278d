"""A run of loads: starts them, ends them together, and hands back one ledger.

async with Run(seed=7, duration=60) as run:
    run.start(NewConnection(name="L1", target=target, rate=1000))
    await roll_out()
    ledger = await run.stop()
"""

from __future__ import annotations

import asyncio
import gc
import random
import secrets
from types import TracebackType

from noren.core.errors import NorenError
from noren.prove.ledger import Ledger
from noren.prove.load import Load, Stage
from noren.prove.pace import Stop


class Run:
    """Ends by itself ``duration`` seconds after it was entered. The same seed gives the same requests.

    ``whole`` False: the ledger of a long run, which keeps sums, and only the lost ones whole; ``slot`` as there.
    """

    def __init__(
        self, *, seed: int | None = None, duration: float = 3600.0, whole: bool = True, slot: float = 1.0
    ) -> None:
        self.seed = secrets.randbits(32) if seed is None else seed
        self.ledger = Ledger(self.seed, whole=whole, slot=slot)
        self._duration = duration
        # Not from the seed: a proof repeated with its seed must not meet its own ids in the app's ledger.
        self._id = secrets.token_hex(3)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Run:
        # A full collection walks the whole ledger, 40 ms at 30,000 records: it would look like a stall of the server.
        self._thresholds = gc.get_threshold()
        gc.set_threshold(*self._thresholds[:2], 1_000_000)
        self._stop = Stop()
        self._end = asyncio.get_running_loop().call_later(self._duration, self._stop.set)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._end.cancel()
        for task in self._tasks.values():
            task.cancel()
        gc.set_threshold(*self._thresholds)
        ends = await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        broken = [end for end in ends if isinstance(end, Exception)]
        if broken and error is None:
            raise broken[0]

    def start(self, load: Load) -> None:
        """Start a load; raises NorenError when one of that name runs already."""
        if load.name in self._tasks:
            raise NorenError(f"a load named {load.name!r} runs already", hint="give each load its own name")
        rng = random.Random(f"{self.seed}/{load.name}")
        stage = Stage(self.ledger, rng, self._stop, f"{self._id}-{load.name}")
        task = asyncio.create_task(load.run(stage), name=f"load {load.name}")
        task.add_done_callback(self._ended)
        self._tasks[load.name] = task

    async def stop(self, *, within: float = 60.0) -> Ledger:
        """Issue no more, wait for what is in flight at most ``within`` seconds; raises what broke a load."""
        self._stop.set()
        return await self._collect(within)

    async def wait(self, *, within: float = 60.0) -> Ledger:
        """As ``stop``, after the full duration."""
        await self._stop.sleep(self._duration + 1.0)
        return await self._collect(within)

    def _ended(self, task: asyncio.Task[None]) -> None:
        # A load that breaks ends the run at once: the silence of a dead load would look like success.
        if not task.cancelled() and task.exception() is not None:
            self._stop.set()

    async def _collect(self, within: float) -> Ledger:
        if self._tasks:
            _, pending = await asyncio.wait(self._tasks.values(), timeout=within)
            if pending:
                names = ", ".join(sorted(task.get_name() for task in pending))
                raise NorenError("the run did not end", seen=names, hint="raise `within` above the longest transfer")
        for task in self._tasks.values():
            task.result()
        return self.ledger
