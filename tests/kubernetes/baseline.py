"""What an upgrade costs in a cluster, each way a team does it: one table, each row measured under the same load.

`make bench-kubernetes` prints it, `test_no_loss` proves its last row. The load is open-loop through the node's port:
300 new connections and 200 POSTs over kept-alive connections a second. Lost is whatever is not a complete answer 200
within 5 s; a POST that was executed twice is doubled, whatever was answered.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from noren.prove.keepalive import NewConnection, Posts
from noren.prove.ledger import Ledger, Record
from noren.prove.request import Target
from noren.prove.run import Run
from tests.kubernetes import site_image
from tests.kubernetes.upgraded import committed
from tests.kubernetes.workload import Namespace, Object, deployment, namespace, node_port, ready

GETS, POSTS = 300.0, 200.0
ORDERS = Path("/orders")
Upgrade = Callable[[], object]
Upgrading = Callable[[Namespace, Path], AbstractContextManager[Upgrade]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to upgrade an app that does ``behaviour``, ``times`` times, with ``pause`` seconds after each.

    ``container`` and ``spec`` are how the team wrote its Deployment.
    """

    name: str
    upgrading: Upgrading
    behaviour: Mapping[str, str] = field(default_factory=dict[str, str])
    container: Mapping[str, object] = field(default_factory=dict[str, object])
    spec: Mapping[str, object] = field(default_factory=dict[str, object])
    times: int = 2
    pause: float = 8.0

    def site(self, image: str) -> Object:
        """Its Deployment; the orders that it executed are in a file of the node."""
        at = Path(os.environ["NOREN_TEST_CLUSTER"]) / "orders"
        volumes = [{"name": "orders", "hostPath": {"path": str(at)}}]
        mounts = [{"name": "orders", "mountPath": str(ORDERS)}]
        env = [{"name": "NOREN_SITE_ORDERS", "value": str(ORDERS / image)}]
        pod = {"volumes": volumes}
        return deployment(
            "site", f"{image}:latest", spec=self.spec, pod=pod, volumeMounts=mounts, env=env, **self.container
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a way cost: ``gap`` is the longest time, in seconds, without one good answer."""

    way: str
    upgrades: int
    requests: int
    gets: int
    posts: int
    doubled: int
    outcomes: Mapping[str, int]
    lost: list[Record]
    gap: float

    def __str__(self) -> str:
        how = ", ".join(f"{number} {outcome}" for outcome, number in self.outcomes.items())
        figures = f"{self.gets:,} | {self.posts:,} | {self.doubled} | {how or '-'} | {self.gap:.2f} s"
        return f"| {self.way} | {self.upgrades} | {self.requests:,} | {figures} |"

    @staticmethod
    def of(way: str, upgrades: int, ledger: Ledger, executed: list[str]) -> Cost:
        """Count."""
        records = ledger.records
        lost = [record for record in records if record.lost]
        answered = sorted(record.due + record.latency for record in records if not record.lost)
        return Cost(
            way=way,
            upgrades=upgrades,
            requests=len(records),
            gets=sum(record.load == "gets" for record in lost),
            posts=sum(record.load == "posts" for record in lost),
            doubled=sum(times > 1 for times in Counter(executed).values()),
            outcomes=Counter(record.outcome.value for record in lost),
            lost=lost,
            gap=max((later - sooner for sooner, later in pairwise(answered)), default=0.0),
        )


HEAD = (
    "| What is done | Upgrades | Requests | New connections lost | Kept-alive POSTs lost | Doubled | How | Gap |\n"
    "|---|---|---|---|---|---|---|---|"
)


@contextmanager
def deleting(here: Namespace, folder: Path) -> Iterator[Upgrade]:
    """The hard way: the old one goes, then a new one comes."""

    def upgrade() -> None:
        here.kubectl("delete", "pods", "--selector=app=site", "--wait=false")
        here.rolled_out("site")

    yield upgrade


@contextmanager
def restarting(here: Namespace, folder: Path) -> Iterator[Upgrade]:
    """What a cron job does."""

    def upgrade() -> None:
        here.kubectl("rollout", "restart", "deployment/site")
        here.rolled_out("site")

    yield upgrade


@contextmanager
def committing(here: Namespace, folder: Path) -> Iterator[Upgrade]:
    """Noren with ``repair``, from a commit to the verdict "kept"; what repaired the Deployment is over."""
    with committed(folder, here) as it:
        it.upgrade()
        yield it.upgrade


@contextmanager
def adopting(here: Namespace, folder: Path) -> Iterator[Upgrade]:
    """The first upgrade by Noren, which repairs: the pods that it ends were started as the team wrote them."""
    with committed(folder, here) as it:
        yield it.upgrade


PLAIN: Mapping[str, object] = {"readinessProbe": ready(period=2)}
GOOD: Mapping[str, object] = {"readinessProbe": ready(period=1), "lifecycle": {"preStop": {"sleep": {"seconds": 3}}}}
GOOD_SPEC: Mapping[str, object] = {
    "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
    "minReadySeconds": 2,
}
PARTS = {"term": "part"}
NOREN = Way(name="Noren with repair; the app says Connection: close", upgrading=committing, behaviour=PARTS, pause=1.0)
WAYS = (
    Way(name="kubectl delete pods", upgrading=deleting, container=PLAIN, times=1),
    Way(name="kubectl rollout restart", upgrading=restarting, container=PLAIN),
    Way(name="the same, maxUnavailable 0, preStop 3 s", upgrading=restarting, container=GOOD, spec=GOOD_SPEC),
    Way(
        name="the same, and the app says Connection: close after SIGTERM",
        upgrading=restarting, behaviour=PARTS, container=GOOD, spec=GOOD_SPEC,
    ),
    Way(name="Noren with repair, its first upgrade", upgrading=adopting, times=1),
    Way(name="the same, and the app says Connection: close", upgrading=adopting, behaviour=PARTS, times=1),
    Way(name="Noren with repair, those after it", upgrading=committing, times=10, pause=1.0),
)  # fmt: skip


async def measure(way: Way, port: int) -> Cost:
    """Upgrade under load, in a namespace of its own."""
    name = f"ways-{port}"
    await site_image.push(name, "latest", version="1", **way.behaviour)
    with namespace(name) as here, tempfile.TemporaryDirectory() as folder:
        here.apply(way.site(name), node_port("site", port))
        await asyncio.to_thread(here.rolled_out, "site")
        with way.upgrading(here, Path(folder)) as upgrade:
            await asyncio.sleep(2)  # kube-proxy writes its rules
            ledger = await loaded(port, upgrade, way.times, way.pause)
        orders = Path(os.environ["NOREN_TEST_CLUSTER"]) / "orders" / name
        executed = [line.split()[0] for line in orders.read_text().splitlines()]
        return Cost.of(way.name, way.times, ledger, executed)


async def loaded(port: int, upgrade: Upgrade, times: int, pause: float) -> Ledger:
    """What clients saw of so many upgrades."""
    target = Target(port=port)
    async with Run(duration=3600) as run:
        run.start(NewConnection(name="gets", target=target, rate=GETS))
        run.start(Posts(name="posts", target=target, rate=POSTS))
        await asyncio.sleep(3)
        for _ in range(times):
            await asyncio.to_thread(upgrade)
            await asyncio.sleep(pause)
        return await run.stop()


async def main(rows: list[int]) -> None:
    """All rows, or those with these numbers, from 1."""
    print(HEAD, flush=True)
    for number, way in enumerate((*WAYS, NOREN), start=1):
        if not rows or number in rows:
            print(await measure(way, 30100 + number), flush=True)


if __name__ == "__main__":
    asyncio.run(main([int(row) for row in sys.argv[1:]]))
