"""Loads that run in a thread of their own while a test acts: commits, rolls back, kills.

Used by the proofs, whose daemon is driven by a blocking client.

with Background(load, other) as traffic:
    noren.kept("website", repository.commit({...}))
proof = traffic.proof
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from noren.prove.ledger import Ledger
from noren.prove.load import Load
from noren.prove.proof import Proof
from noren.prove.run import Run

_PATIENCE = 60.0  # seconds
_LONGEST = 86_400.0  # seconds


class Background:
    """``ledger`` and ``proof`` are there once the block has ended; what breaks a load is raised at its end.

    ``whole`` False: as for ``Run``, for runs of many thousand requests.
    """

    def __init__(self, *loads: Load, seed: int | None = None, whole: bool = True) -> None:
        self.ledger: Ledger
        self._loads = loads
        self._seed = seed
        self._whole = whole
        self._begun = threading.Event()
        self._thread = ThreadPoolExecutor(1, "loads")
        self._work: Future[Ledger]

    @property
    def proof(self) -> Proof:
        """The verdict on the whole run."""
        return Proof.of(self.ledger)

    @property
    def requests(self) -> int:
        """So many have ended until now."""
        return self._so_far.tally.requests

    @property
    def lost(self) -> int:
        """So many were lost until now."""
        return self._so_far.tally.lost

    def answered_by(self, release: str) -> int:
        """So many were answered by this release (``shop@2``) until now."""
        return self._so_far.tally.by_release[release]

    def __enter__(self) -> Background:
        self._work = self._thread.submit(lambda: asyncio.run(self._run()))
        assert self._begun.wait(_PATIENCE), "the loads did not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._work.done():
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.shutdown(wait=True)
        if error is None:
            self.ledger = self._work.result()

    async def _run(self) -> Ledger:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        async with Run(seed=self._seed, duration=_LONGEST, whole=self._whole) as run:
            self._so_far = run.ledger
            for load in self._loads:
                run.start(load)
            self._begun.set()
            await self._end.wait()
            return await run.stop(within=_PATIENCE)
