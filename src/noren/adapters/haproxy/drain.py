"""Waits until nothing is in flight to the instances that are to go, and ends what does not.

Called by the proxy once their servers get no new requests. HAProxy has no event for the end of a request:
this is the one place that polls it.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Collection, Mapping
from contextlib import suppress

from noren.adapters.haproxy.runtime import Gone, Runtime, Silent

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.5
_SPREAD, _SPREAD_EACH = 10.0, 0.1


async def drain(runtime: Runtime, servers: Collection[str], limits: Mapping[str, float]) -> int:
    """Wait for servers (``s007-read/42-abc``) as long as the limit (seconds) of their twin allows, then cut the rest.

    Returns how many requests were cut.
    """
    cuts = await asyncio.gather(
        *(
            _drain_twin(runtime, {name for name in servers if twin_of(name) == twin}, limit)
            for twin, limit in limits.items()
        )
    )
    return sum(cuts)


def twin_of(server: str) -> str:
    """``read`` of ``s007-read/42-abc``."""
    return server.partition("/")[0].rpartition("-")[2]


async def _drain_twin(runtime: Runtime, servers: set[str], limit: float) -> int:
    end = time.monotonic() + limit
    pause = _FIRST_PAUSE
    while await in_flight(runtime, servers):
        left = end - time.monotonic()
        if left <= 0:
            return await _cut(runtime, servers)
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 1.5, _LONGEST_PAUSE)
    return 0


async def in_flight(runtime: Runtime, servers: set[str]) -> int:
    """Requests in flight to these servers, at least; none when HAProxy itself is gone, and they with it."""
    try:
        texts = [
            await runtime.ask(f"show servers conn {backend}") for backend in {s.partition("/")[0] for s in servers}
        ]
    except Silent:
        return 1  # it may still be answering them
    except Gone:
        return 0
    return sum(used for text in texts for name, used in parse_used(text).items() if name in servers)


def parse_used(text: str) -> dict[str, int]:
    """``show servers conn BACKEND``: connections in use by server."""
    lines = text.splitlines()
    header = next((line for line in lines if line.startswith("# ")), "# ")[2:].split()
    rows = [dict(zip(header, line.split(), strict=False)) for line in lines if line and not line.startswith("#")]
    return {row["bkname/svname"]: int(row["used_cur"]) for row in rows if "used_cur" in row}


def parse_sessions(text: str, servers: Collection[str]) -> list[str]:
    """``show sess``: the ids of the sessions that these servers answer."""
    found = re.findall(r"^(0x[0-9a-f]+): .*? be=(\S+) srv=(\S+) ", text, re.MULTILINE)
    return [session for session, backend, server in found if f"{backend}/{server}" in servers]


def is_of(text: str, servers: Collection[str]) -> bool:
    """``show sess ID``: whether one of these servers answers it."""
    found = re.search(r"^  backend=(\S+) .*\n  server=(\S+) ", text, re.MULTILINE)
    return found is not None and f"{found[1]}/{found[2]}" in servers


async def _cut(runtime: Runtime, servers: set[str]) -> int:
    """End what is left one by one, in random order: all at once, their clients would come back at once."""
    cut = 0
    with suppress(Gone):  # HAProxy ended, and everything with it
        sessions = parse_sessions(await runtime.ask("show sess"), servers)
        random.shuffle(sessions)
        pause = min(_SPREAD / max(len(sessions), 1), _SPREAD_EACH)
        for session in sessions:
            # An id is an address: once the session has ended, it may be that of a new one, of whatever app.
            if is_of(await runtime.ask(f"show sess {session}"), servers):
                await runtime.ask(f"shutdown session {session}")
                cut += 1
                await asyncio.sleep(pause)
    return cut
