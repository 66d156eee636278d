"""Answers that go on: one JSON document a line, an empty line as a sign of life, an end when the daemon stops.

Used by ``routes`` for events, logs and waiting. A client that is gone cancels its stream.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

from noren.api.desk import Desk, Json
from noren.core.errors import NorenError

HEARTBEAT: Final = 15.0  # seconds; the client gives up after three silent ones
_LAST_EVENTS: Final = 0.3  # seconds that the history may lag behind the verdict
_RECENT: Final = -200  # lines: more than a rollout has
_END: Final = object()


def error(exc: NorenError) -> Json:
    """An error as the client rebuilds it."""
    return {"what": exc.what, "seen": exc.seen, "hint": exc.hint, "exit_code": exc.exit_code}


async def lines(source: AsyncIterator[Json], stopping: asyncio.Event) -> AsyncIterator[bytes]:
    """The source as lines, until it ends or the daemon stops. An error of Noren is the last line."""
    stop = asyncio.create_task(stopping.wait())
    item: asyncio.Task[Any] | None = None
    try:
        while True:
            item = item or asyncio.create_task(_next(source))
            await asyncio.wait({item, stop}, timeout=HEARTBEAT, return_when=asyncio.FIRST_COMPLETED)
            if item.done():
                value, item = item.result(), None
                if value is _END:
                    return
                yield json.dumps(value).encode() + b"\n"
            elif stop.done():
                return
            else:
                yield b"\n"
    except NorenError as exc:
        yield json.dumps({"error": error(exc)}).encode() + b"\n"
    finally:
        await _cancelled(stop, item)


async def verdict(desk: Desk, app: str, rollout: int) -> AsyncIterator[Json]:
    """``{"event": …}`` for each line of history of this rollout and its successors, at last ``{"outcome": …}``."""
    outcome = asyncio.create_task(desk.wait(app, rollout))
    history = desk.follow(app, _RECENT)
    item: asyncio.Task[Any] | None = None
    try:
        while True:
            item = item or asyncio.create_task(_next(history))
            grace = _LAST_EVENTS if outcome.done() else None
            await asyncio.wait(
                {item} if outcome.done() else {item, outcome}, timeout=grace, return_when="FIRST_COMPLETED"
            )
            if item.done():
                event, item = item.result(), None
                if event is _END:
                    break
                if (event["rollout"] or 0) >= rollout:
                    yield {"event": event}
            elif grace is not None:
                break
        yield {"outcome": await outcome}
    finally:
        await _cancelled(outcome, item)


async def _next(source: AsyncIterator[Json]) -> Any:
    return await anext(source, _END)


async def _cancelled(*tasks: asyncio.Task[Any] | None) -> None:
    pending = [task for task in tasks if task is not None]
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
