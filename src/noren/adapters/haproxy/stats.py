"""Reads HAProxy's counters of one slot.

Called by the counters; exists because ``failed`` has to be put together: a 5xx counts as one answer, and an answer
that its server broke off counts among the good ones until ``srv_abrt`` is taken from them. Clients that leave count
in neither.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field

from noren.adapters.haproxy.runtime import Runtime
from noren.adapters.haproxy.view import TWINS
from noren.core.traffic import Counts, Traffic

_BACKENDS_AND_SERVERS = 6
_ANSWERED = ("hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx")


@dataclass(frozen=True, slots=True)
class Rows:
    """Counters of a slot: ``total`` of its twins (cache hits and HAProxy's own errors in), and by server.

    ``current``: requests and connections that its twins have in flight now.
    """

    total: Traffic = field(default_factory=Traffic)
    servers: Mapping[str, Traffic] = field(default_factory=dict[str, Traffic])
    current: int = 0


async def read(runtime: Runtime, slot: str) -> Rows:
    """The counters of a slot now; raises TrafficError."""
    texts = await runtime.ask_all([f"show stat {slot}-{twin} {_BACKENDS_AND_SERVERS} -1" for twin in TWINS])
    reads, writes = map(parse, texts)
    names = (reads.keys() | writes.keys()) - {"BACKEND"}
    none = Counts()
    return Rows(
        Traffic(reads.get("BACKEND", none), writes.get("BACKEND", none)),
        {name: Traffic(reads.get(name, none), writes.get(name, none)) for name in names},
        sum(map(in_flight, texts)),
    )


def parse(text: str) -> dict[str, Counts]:
    """``show stat`` of one backend, by server name and ``BACKEND``."""
    return {row["svname"]: _counts(row) for row in _rows(text) if row.get("svname")}


def in_flight(text: str) -> int:
    """``show stat`` of one backend: the requests and connections that it has now."""
    return sum(int(row.get("scur") or 0) for row in _rows(text) if row.get("svname") == "BACKEND")


def _rows(text: str) -> csv.DictReader[str]:
    return csv.DictReader(text.removeprefix("# ").splitlines())


def _counts(row: Mapping[str, str]) -> Counts:
    def number(column: str) -> int:
        return int(row.get(column) or 0)

    broken = number("srv_abrt")
    answered = sum(number(column) for column in _ANSWERED)
    return Counts(
        ok=max(0, answered - broken),
        failed=number("hrsp_5xx") + broken,
        retried=number("wretr") + number("wredis"),
    )
