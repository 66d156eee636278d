"""What an upgrade costs in a plain cluster, each way a team does it: one table, each row measured under the same load.

`make bench-kubernetes` prints it. The load is open-loop through the node's port: 300 new connections a second, or 200
POSTs a second over kept-alive connections. Lost is whatever is not a complete answer 200 within 5 s.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from noren.prove.keepalive import NewConnection, Posts
from noren.prove.ledger import Ledger
from noren.prove.load import Load
from noren.prove.request import Target
from noren.prove.run import Run
from tests.kubernetes import site_image
from tests.kubernetes.workload import Namespace, Object, deployment, namespace, node_port, ready

GETS, POSTS = 300.0, 200.0
Upgrade = Callable[[Namespace], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to upgrade the app ``site`` of a namespace, ``times`` times, with ``pause`` seconds after each."""

    name: str
    site: Object
    upgrade: Upgrade
    times: int = 1
    pause: float = 8.0
    keep_alive: bool = False


@dataclass(frozen=True, slots=True)
class Cost:
    """What a way cost: ``gap`` is the longest time, in seconds, without one good answer."""

    way: str
    requests: int
    lost: int
    outcomes: dict[str, int]
    gap: float

    def __str__(self) -> str:
        lost = ", ".join(f"{number} {outcome}" for outcome, number in self.outcomes.items())
        return f"| {self.way} | {self.lost:,} of {self.requests:,} | {lost or '-'} | {self.gap:.2f} s |"

    @staticmethod
    def of(way: str, ledger: Ledger) -> Cost:
        """Count."""
        records = ledger.records
        lost = [record for record in records if record.lost]
        answered = sorted(record.due + record.latency for record in records if not record.lost)
        gap = max((later - sooner for sooner, later in pairwise(answered)), default=0.0)
        return Cost(way, len(records), len(lost), dict(Counter(record.outcome.value for record in lost)), gap)


def delete_pods(here: Namespace) -> None:
    """The hard way: the old one goes, then a new one comes."""
    here.kubectl("delete", "pods", "--selector=app=site", "--wait=false")
    here.rolled_out("site")


def restart(here: Namespace) -> None:
    """What a cron job does."""
    here.kubectl("rollout", "restart", "deployment/site")
    here.rolled_out("site")


PLAIN = deployment("site", "site:latest", readinessProbe=ready(period=2))
GOOD = deployment(
    "site",
    "site:latest",
    spec={"strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}, "minReadySeconds": 2},
    readinessProbe=ready(period=1),
    lifecycle={"preStop": {"sleep": {"seconds": 3}}},
)
WAYS = (
    Way(name="kubectl delete pods", site=PLAIN, upgrade=delete_pods),
    Way(name="kubectl rollout restart, exits at SIGTERM", site=PLAIN, upgrade=restart, times=2),
    Way(name="the same, kept-alive POSTs", site=PLAIN, upgrade=restart, times=2, keep_alive=True),
    Way(name="maxUnavailable 0, preStop 3 s", site=GOOD, upgrade=restart, times=2),
    Way(name="the same, kept-alive POSTs", site=GOOD, upgrade=restart, times=2, keep_alive=True),
)


async def measure(way: Way, port: int) -> Cost:
    """Upgrade under load, in a namespace of its own."""
    await site_image.push("site", "latest", version="1")
    with namespace(f"baseline-{port}") as here:
        here.apply(way.site, node_port("site", port))
        await asyncio.to_thread(here.rolled_out, "site")
        await asyncio.sleep(2)  # kube-proxy writes its rules
        async with Run(duration=600) as run:
            run.start(load(port, keep_alive=way.keep_alive))
            await asyncio.sleep(3)
            for _ in range(way.times):
                await asyncio.to_thread(way.upgrade, here)
                await asyncio.sleep(way.pause)
            return Cost.of(way.name, await run.stop())


def load(port: int, *, keep_alive: bool) -> Load:
    """What the clients of a team do."""
    target = Target(port=port)
    if keep_alive:
        return Posts(name="posts", target=target, rate=POSTS)
    return NewConnection(name="gets", target=target, rate=GETS)


async def main() -> None:
    print("| What is done | Lost | How | Longest gap |\n|---|---|---|---|")
    for number, way in enumerate(WAYS):
        print(await measure(way, 30100 + number), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
