"""While the state cannot be written: apps and proxy serve on, commands are told why, and it is tried again each second.

Called by ``daemon.py`` between two of its lives. The lock on the state is kept, so no second daemon can begin.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

from noren.adapters.free_space import free_bytes
from noren.adapters.ledger import SqliteLedger
from noren.api.desk import Desk
from noren.api.server import serve as serve_api
from noren.core.errors import StateError

_EVERY = 1.0
_ROOM = 4_000_000  # bytes; with less, the next commits would fail like the last one


async def over(state: Path, ledger: SqliteLedger, problem: StateError, say: Callable[[str], None]) -> bool | None:
    """Wait until the state can be used again; else whether the end of everything (or of the daemon) was asked for."""
    asked: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    _listen_to_signals(asked)
    desk = _Closed(problem, asked)
    say(f"noren: {desk.problem}")
    api = asyncio.create_task(serve_api(cast(Desk, desk), state / "noren.sock"), name="api")
    try:
        while not (await asyncio.wait({asked}, timeout=_EVERY))[0]:
            try:
                if free_bytes(state) >= _ROOM:
                    await asyncio.to_thread(ledger.reopen)
                    return None
            except (StateError, OSError) as exc:
                desk.problem = _told(exc)
        return asked.result()
    finally:
        api.cancel()
        await asyncio.wait({api})


def _listen_to_signals(asked: asyncio.Future[bool]) -> None:
    loop = asyncio.get_running_loop()
    for number, everything in ((signal.SIGINT, True), (signal.SIGTERM, False)):
        loop.add_signal_handler(number, _answer, asked, everything)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # the settings are read again with the state


def _answer(asked: asyncio.Future[bool], everything: bool) -> None:
    if not asked.done():
        asked.set_result(everything)


def _told(exc: Exception) -> StateError:
    return StateError(
        "the state cannot be written: nothing is upgraded until it can, apps and proxy serve on",
        seen=exc.seen if isinstance(exc, StateError) else str(exc),
        hint="free disk space, check the disk; it is tried again each second",
    )


class _Closed:
    """A desk that answers every question but ``stop`` with the problem."""

    def __init__(self, problem: StateError, asked: asyncio.Future[bool]) -> None:
        self.problem = _told(problem)
        self._asked = asked

    def __getattr__(self, verb: str) -> Callable[..., Awaitable[Any]]:
        async def refuse(*_: Any, **__: Any) -> Any:
            raise self.problem

        return refuse

    async def follow(self, app: str | None, after: int) -> AsyncIterator[dict[str, Any]]:
        """History cannot be read now."""
        raise self.problem
        yield {}

    async def stop(self, everything: bool) -> None:
        """End the daemon, with ``everything`` all that it runs."""
        _answer(self._asked, everything)
