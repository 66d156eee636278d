"""Finds the requests that wait for an answer: counters know only those that ended.

Asked by the meter when an instance has requests in flight. A release that accepts requests and never
answers is seen by this and by nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from noren.core.traffic import Counts, Traffic

# "show sess": AN_RES_WAIT_HTTP among the analysers of the response, haproxy/channel-t.h of 2.8.
_WAITS = 0x00400000
_LINE = re.compile(
    r"^0x[0-9a-f]+: proto=\S+ src=(\S+) .*? be=(\S+)-(read|write) srv=(\d+)-\S+ .*? age=(\S+) .*?"
    r" rp\[f=\S+?,i=\S+?,an=([0-9a-f]+)h",
    re.MULTILINE,
)
_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request without the head of an answer; ``port`` is the client's, ``age`` in whole seconds: 3 is over 2."""

    port: str
    slot: str
    twin: str
    release: int
    age: int

    @property
    def traffic(self) -> Traffic:
        """As a failed request of its twin."""
        one = Counts(failed=1)
        return Traffic(reads=one) if self.twin == "read" else Traffic(writes=one)


def parse(text: str, slots: Collection[str]) -> Iterator[Waiting]:
    """``show sess``: the requests that wait in these slots."""
    for source, slot, twin, release, age, analysers in _LINE.findall(text):
        if slot in slots and int(analysers, 16) & _WAITS:
            yield Waiting(source.rpartition(":")[2], slot, twin, int(release), seconds(age))


def by_release(waits: Iterable[Waiting]) -> dict[int, Traffic]:
    """How many wait for each release, as failed requests."""
    found: dict[int, Traffic] = {}
    for each in waits:
        found[each.release] = found.get(each.release, Traffic()) + each.traffic
    return found


def seconds(age: str) -> int:
    """``1m5s`` as 65."""
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([dhms])", age))
