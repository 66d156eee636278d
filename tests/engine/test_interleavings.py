"""Several people at once deploy, go back and remove an app: whatever the order, the last command accepted holds.

A hundred histories of what was accepted, drawn from seeds, are compared with where the engine comes to rest.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count

import pytest

from noren.core.errors import NorenError
from noren.core.model import Triggers
from noren.engine import command
from noren.engine.host import Host
from tests.engine.test_upgrades import API, started
from tests.fakes import World
from tests.virtual_time import run

ONLY_PEOPLE = replace(API, triggers=Triggers(poll=None))
REVISIONS = [letter * 40 for letter in "abcd"]
PEOPLE, COMMANDS, REST = 3, 6, 1000.0


@dataclass(frozen=True)
class Accepted:
    """ "deploy" of a revision, "rollback" to a release, "remove" or "add"; when it was asked and accepted, as turns."""

    what: str
    target: str | int | None
    asked: int
    accepted: int


@dataclass
class History:
    """What was accepted. Two that overlap may have taken effect in either order."""

    all: list[Accepted] = field(default_factory=list[Accepted])
    turns: Iterator[int] = field(default_factory=count)

    async def take(self, what: str, target: str | int | None, work: Awaitable[object]) -> None:
        """Give a command; one that is refused raises and leaves no mark."""
        asked = next(self.turns)
        await work
        self.all.append(Accepted(what, target, asked, next(self.turns)))

    def last(self) -> list[Accepted]:
        """Those that nothing followed: one of them was the last."""
        newest = max(each.asked for each in self.all)
        return [each for each in self.all if each.accepted > newest]


async def person(world: World, host: Host, rng: random.Random, history: History) -> None:
    """Gives commands at random moments; those that are refused are as if not given."""
    for _ in range(COMMANDS):
        await asyncio.sleep(rng.choice([0.0, 0.1, 1.0, 10.0, 90.0]) * rng.random())
        try:
            await one(world, host, rng, history)
        except NorenError:
            continue


async def one(world: World, host: Host, rng: random.Random, history: History) -> None:
    """A deploy is likelier than a rollback, and that than a removal."""
    what = rng.choices(["deploy", "rollback", "remove"], [6, 3, 1])[0]
    if "api" not in host.loops:
        await history.take("add", None, host.change({"api": ONLY_PEOPLE}))
    elif what == "remove":
        await history.take("remove", None, host.change({}))
    elif what == "deploy":
        revision = rng.choice(REVISIONS)
        await history.take("deploy", revision, command.deploy(host.loops["api"], world.source, revision, "ann"))
    elif kept := [r.number for r in host.loops["api"].book.releases.values() if r.outcome == "kept"]:
        number = rng.choice(kept)
        await history.take("rollback", number, command.rollback(host.loops["api"], number, "bob"))


def judge(world: World, host: Host, history: History) -> None:
    """The end is what a last command said, and nothing else runs."""
    book = host.loops["api"].book if "api" in host.loops else None
    active = book.record.active if book else None
    assert set(world.runner.alive) == ({i.id for i in active.instances} if active else set())
    assert world.proxy.release("api") == (active.release if active else None)
    assert book is None or (book.rollout is None and book.record.wanted is None)
    ends = {"removed" if book is None else "added"}
    if book and active:
        ends |= {("deploy", book.releases[active.release].revision), ("rollback", active.release)}
    said = {"remove": "removed", "add": "added"}
    last = history.last()
    assert any(said.get(each.what, (each.what, each.target)) in ends for each in last), (last, ends)


@pytest.mark.parametrize("seed", range(100))
def test_whatever_the_order_the_last_accepted_command_holds(seed: int) -> None:
    async def main() -> History:
        world, rng, history = World(), random.Random(seed), History()
        world.source.push(ONLY_PEOPLE, REVISIONS[0])
        async with started(world, ONLY_PEOPLE) as host:
            first = command.deploy(host.loops["api"], world.source, REVISIONS[0], "ann")
            await history.take("deploy", REVISIONS[0], first)
            await asyncio.sleep(120)
            await asyncio.gather(*(person(world, host, rng, history) for _ in range(PEOPLE)))
            await asyncio.sleep(REST)
            judge(world, host, history)
        return history

    assert len(run(main()).all) > 1
