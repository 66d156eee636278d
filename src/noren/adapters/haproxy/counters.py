"""Numbers by release, from counters by slot: slots are used again, servers of other releases sit in them as backups.

Held by the proxy and kept in a file, so that the numbers survive a restart of the daemon; they start at
zero with each HAProxy.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from noren.adapters.haproxy.stats import Rows
from noren.core.traffic import Counts, Traffic

_RELEASES_KEPT = 100


@dataclass(slots=True)
class Slot:
    """Since when a backend has its slot: ``before`` are the counters it found, ``foreign`` what removed backups
    of other releases answered, by release."""

    app: str
    release: int
    before: Traffic = field(default_factory=Traffic)
    foreign: dict[int, Traffic] = field(default_factory=dict[int, Traffic])

    def traffic(self, rows: Rows) -> dict[int, Traffic]:
        """Counters by the release that answered."""
        by_release = dict(self.foreign)
        for release, traffic in foreign(self.release, rows.servers).items():
            by_release[release] = by_release.get(release, Traffic()) + traffic
        own = rows.total - self.before
        for traffic in by_release.values():
            own = own - _unretried(traffic)
        return {**by_release, self.release: own}


@dataclass(slots=True)
class Counters:
    """Everything that has to be remembered beside HAProxy's own counters. ``proxy`` names the HAProxy they are of."""

    proxy: str = ""
    slots: dict[str, Slot] = field(default_factory=dict[str, Slot])
    past: dict[str, dict[int, Traffic]] = field(default_factory=dict[str, dict[int, Traffic]])
    probes: dict[str, dict[int, Traffic]] = field(default_factory=dict[str, dict[int, Traffic]])

    def removed(self, slot: str, rows: Rows, names: set[str]) -> None:
        """Remember what these servers counted: their rows go with them."""
        if kept := self.slots.get(slot):
            gone = {name: traffic for name, traffic in rows.servers.items() if name in names}
            for release, traffic in foreign(kept.release, gone).items():
                _add(kept.foreign, release, traffic)

    def freed(self, slot: str, rows: Rows) -> None:
        """The backend gave its slot back: what it counted becomes the past of its app."""
        if ended := self.slots.pop(slot, None):
            past = self.past.setdefault(ended.app, {})
            for release, traffic in ended.traffic(rows).items():
                _add(past, release, traffic)
            for release in sorted(past)[:-_RELEASES_KEPT]:
                del past[release]
                self.probes.get(ended.app, {}).pop(release, None)

    def probed(self, app: str, release: int, status: int) -> None:
        """A probe of ours was answered: it will be counted by HAProxy and must not count."""
        counts = Counts(failed=1) if status >= 500 else Counts(ok=1)
        _add(self.probes.setdefault(app, {}), release, Traffic(reads=counts))

    def releases(self, app: str, rows: Mapping[str, Rows]) -> dict[int, Traffic]:
        """Counters of an app by release, from the rows of its slots."""
        total = dict(self.past.get(app, {}))
        for slot, kept in self.slots.items():
            if kept.app == app and slot in rows:
                for release, traffic in kept.traffic(rows[slot]).items():
                    _add(total, release, traffic)
        for release, traffic in self.probes.get(app, {}).items():
            total[release] = total.get(release, Traffic()) - traffic
        return total

    def forget(self, app: str) -> None:
        """The app is gone."""
        self.past.pop(app, None)
        self.probes.pop(app, None)

    def dump(self) -> str:
        """As JSON."""
        return msgspec.json.encode(self).decode()

    @staticmethod
    def load(text: str) -> Counters:
        """From JSON; raises ValueError, KeyError or TypeError when it is none of ours."""
        data = json.loads(text)
        return Counters(
            data["proxy"],
            {
                name: Slot(slot["app"], slot["release"], _traffic(slot["before"]), _by_release(slot["foreign"]))
                for name, slot in data["slots"].items()
            },
            {app: _by_release(past) for app, past in data["past"].items()},
            {app: _by_release(probes) for app, probes in data["probes"].items()},
        )


def foreign(own: int, servers: Mapping[str, Traffic]) -> dict[int, Traffic]:
    """What servers of other releases (backups) answered, by release."""
    found: dict[int, Traffic] = {}
    for name, traffic in servers.items():
        release = name.partition("-")[0]
        if release.isdigit() and int(release) != own:
            _add(found, int(release), _unretried(traffic))
    return found


def highest(before: Mapping[int, Traffic], now: Mapping[int, Traffic]) -> dict[int, Traffic]:
    """The higher of both, number by number: a backup's answer is counted before its backend's is.

    What is no longer counted now is so old that its books are gone.
    """
    return {
        release: Traffic(
            _highest(before.get(release, Traffic()).reads, traffic.reads),
            _highest(before.get(release, Traffic()).writes, traffic.writes),
        )
        for release, traffic in sorted(now.items())
    }


def _highest(one: Counts, other: Counts) -> Counts:
    return Counts(max(one.ok, other.ok), max(one.failed, other.failed), max(one.retried, other.retried))


def _unretried(traffic: Traffic) -> Traffic:
    # A retry is counted where it ended up; the release that made it necessary owns it.
    return Traffic(
        Counts(traffic.reads.ok, traffic.reads.failed, 0), Counts(traffic.writes.ok, traffic.writes.failed, 0)
    )


def _add(totals: dict[int, Traffic], release: int, traffic: Traffic) -> None:
    totals[release] = totals.get(release, Traffic()) + traffic


def _traffic(data: Mapping[str, Mapping[str, int]]) -> Traffic:
    return Traffic(Counts(**data["reads"]), Counts(**data["writes"]))


def _by_release(data: Mapping[str, Mapping[str, Mapping[str, int]]]) -> dict[int, Traffic]:
    return {int(release): _traffic(traffic) for release, traffic in data.items()}
