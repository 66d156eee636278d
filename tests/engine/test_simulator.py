"""Random weeks of an app: whatever people, commits, crashes and the proxy do, the promises hold."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from noren.core.errors import NorenError, OutsideError, StateError, TrafficError
from noren.core.model import App, Drain, Kind, Ready, Strategy, Verify
from noren.core.release import previous
from noren.engine import command, report
from noren.engine.host import Host
from noren.engine.loop import AppLoop
from tests.engine.simulated import MoodyWorld, Nature
from tests.virtual_time import VirtualTimeLoop

API = App(
    name="api",
    kind=Kind.PROCESS,
    repo="/repo",
    run="serve",
    hosts=("api.example",),
    keep=2,
    keep_warm=40.0,
    ready=Ready(deadline=5.0),
    verify=Verify(bake_time=10.0),
    drain=Drain(requests=5.0, connections=30.0, grace=1.0),
)
SETTLED = 7200.0  # seconds by which everything has to be at rest: back-off goes up to ten minutes


class Simulation(RuleBasedStateMachine):
    """The real engine over a moody world in virtual time."""

    def __init__(self) -> None:
        super().__init__()
        self.time = VirtualTimeLoop()
        self.world = MoodyWorld()
        self.app = API
        self.engine: asyncio.Task[None] | None = None
        self.asked: asyncio.Task[Any] | None = None
        self.dying = False
        self.host: Host | None = None
        self.highest = 0

    # --- the world --------------------------------------------------------------------------

    @initialize(
        instances=st.integers(1, 3), strategy=st.sampled_from(Strategy), surge=st.integers(1, 2), good=st.booleans()
    )
    def begin(self, instances: int, strategy: Strategy, surge: int, good: bool) -> None:
        self.app = replace(API, instances=instances, strategy=strategy, surge=surge)
        self.world.push(self.app, Nature.GOOD if good else Nature.DIES)
        self._up()
        if good:
            self._do(asyncio.sleep(30))

    @rule(nature=st.sampled_from([Nature.GOOD, *Nature]), seconds=st.sampled_from([0.0, 35.0]))
    def push(self, nature: Nature, seconds: float) -> None:
        self.world.push(self.app, nature)
        self._do(asyncio.sleep(seconds))

    @rule(data=st.data())
    def push_back(self, data: st.DataObject) -> None:
        self.world.source.push(self.app, data.draw(st.sampled_from(sorted(self.world.natures))))

    @precondition(lambda self: self.world.runner.alive)
    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        self.world.runner.kill(data.draw(st.sampled_from(sorted(self.world.runner.alive))))

    @rule(verb=st.sampled_from(["apply", "confirm", "observe", "drain"]), times=st.integers(1, 3))
    def trouble_the_proxy(self, verb: str, times: int) -> None:
        self.world.proxy.trouble.errors[verb] = [TrafficError("proxy trouble") for _ in range(times)]

    @rule(times=st.integers(1, 2), verb=st.sampled_from(["start", "stop"]))
    def trouble_the_host(self, verb: str, times: int) -> None:
        """No memory, no port, a process stuck in the kernel."""
        self.world.runner.trouble.errors[verb] = [OutsideError("the host refuses") for _ in range(times)]

    @rule(times=st.integers(1, 3))
    def trouble_the_repository(self, times: int) -> None:
        self.world.source.trouble.errors["tip"] = [OutsideError("no route to host") for _ in range(times)]

    @rule()
    def another_proxy(self) -> None:
        """HAProxy was killed: its successor counts from zero."""
        self.world.proxy.succeed()

    @rule(seconds=st.sampled_from([0.01, 0.1, 0.3, 1.0, 3.0, 9.0, 35.0, 90.0]))
    def let_time_pass(self, seconds: float) -> None:
        self._do(asyncio.sleep(seconds))

    # --- people -----------------------------------------------------------------------------

    @rule(data=st.data(), tip=st.booleans())
    def deploy(self, data: st.DataObject, tip: bool) -> None:
        revision = None if tip else data.draw(st.sampled_from(sorted(self.world.natures)))
        self._ask(command.deploy(self.api, self.world.source, revision, "me"))

    @rule()
    def rollback(self) -> None:
        self._ask(command.rollback(self.api, None, "me"))

    @rule()
    def restart(self) -> None:
        self._ask(command.restart(self.api, "me"))

    @rule()
    def abort(self) -> None:
        self._ask(command.abort(self.api, "me"))

    @rule()
    def promote(self) -> None:
        self._ask(command.promote(self.api, "me"))

    @rule()
    def hold(self) -> None:
        self._ask(command.hold(self.api, "freeze", "me"))

    @rule()
    def resume(self) -> None:
        self._ask(command.resume(self.api, "me"))

    @precondition(lambda self: self.host and self.api.book.quarantined)
    @rule(data=st.data())
    def lift(self, data: st.DataObject) -> None:
        revision = data.draw(st.sampled_from(sorted(q.revision for q in self.api.book.quarantined)))
        self._ask(command.lift(self.api, revision, "me"))

    @rule(value=st.integers(0, 2), instances=st.integers(1, 3), host=st.sampled_from(["a.example", "b.example"]))
    def reload(self, value: int, instances: int, host: str) -> None:
        self.world.ledger.calm()  # a death in a reload is the crash sweep's: here its remains would outlive it
        self.app = replace(self.app, env=(("V", str(value)),), instances=instances, hosts=(host,))
        assert self.host
        self._ask(self.host.change({"api": self.app}))

    # --- crashes ----------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.0, 100.0]), reboot=st.booleans())
    def crash(self, seconds: float, reboot: bool) -> None:
        self._down()
        if reboot:
            for name in list(self.world.runner.alive):
                self.world.runner.kill(name)
        self._run(asyncio.sleep(seconds))
        self._up()
        self._revive()

    @rule(commits=st.integers(1, 12), written=st.booleans(), seconds=st.sampled_from([0.0, 3.0, 35.0]))
    def crash_in_a_commit(self, commits: int, written: bool, seconds: float) -> None:
        self.world.ledger.crash_in(commits, written=written)
        self._do(asyncio.sleep(seconds))

    @rule(times=st.integers(1, 3), seconds=st.sampled_from([0.0, 3.0]))
    def refuse_commits(self, times: int, seconds: float) -> None:
        """A full disk: the daemon begins another life, as daemon.py does."""
        self.world.ledger.trouble.errors["commit"] = [StateError("disk is full") for _ in range(times)]
        self._do(asyncio.sleep(seconds))

    def _revive(self) -> None:
        """What killed itself in a commit, or could not commit, is started again; any other end is a violation."""
        while self.engine is not None and (self.engine.done() or self.dying):
            if not self.dying:
                self.engine.result()
            self._down()
            self._up()

    def _die(self) -> None:
        self.dying = True
        assert self.engine
        self.engine.cancel()

    def _up(self) -> None:
        self.dying = False
        self.world.ledger.crash = self._die
        self.world.ledger.reopen()
        up = self.time.create_future()

        async def serve() -> None:
            async with asyncio.TaskGroup() as group:
                self.host = Host(self.world.ports(), group)
                await self.host.start([self.app])
                up.set_result(None)
                await asyncio.Event().wait()

        self.engine = self.time.create_task(serve())
        self._run(asyncio.wait([self.engine, up], return_when=asyncio.FIRST_COMPLETED))

    def _down(self) -> None:
        """A process dies whole: what a person asked of it changes nothing in the next one's ledger."""
        ending = [task for task in (self.engine, self.asked) if task]
        for task in ending:
            task.cancel()
        self._run(asyncio.gather(*ending, return_exceptions=True))

    def _run(self, work: Awaitable[Any]) -> Any:
        return self.time.run_until_complete(asyncio.ensure_future(work, loop=self.time))

    def _do(self, work: Awaitable[Any]) -> Any:
        try:
            return self._run(work)
        finally:
            self._revive()

    def _ask(self, work: Awaitable[Any]) -> None:
        """A person asks; what the daemon died in gets no answer."""
        assert self.engine
        engine, self.asked = self.engine, asyncio.ensure_future(work, loop=self.time)
        self._do(asyncio.wait([self.asked, engine], timeout=60.0, return_when=asyncio.FIRST_COMPLETED))
        if self.engine is engine:
            assert self.asked.done(), "no answer within a minute"
            with suppress(NorenError):
                self.asked.result()

    @property
    def api(self) -> AppLoop:
        assert self.host
        return self.host.loop("api")

    # --- promises ---------------------------------------------------------------------------

    @invariant()
    def the_daemon_lives_and_can_say_how_things_stand(self) -> None:
        if self.engine is None:
            return
        if self.engine.done():
            self.engine.result()
        assert report.status(self.api.book, [])["name"] == "api"
        assert report.releases(self.api.book) is not None

    @invariant()
    def nothing_happens_that_nobody_foresaw(self) -> None:
        faults = [line["text"] for line in self.world.ledger.lines if line["kind"] == "fault"]
        assert not [text for text in faults if " failed: " in text and "the host refuses" not in text], faults

    @invariant()
    def release_numbers_only_grow_and_no_trigger_tries_what_is_quarantined(self) -> None:
        assert not self.world.ledger.violations
        if self.host:
            numbers = self.api.book.record.releases
            assert numbers >= self.highest and max(self.api.book.releases, default=0) == numbers
            self.highest = numbers

    @invariant()
    def once_a_release_was_kept_one_is_always_routed(self) -> None:
        if self.host and self.api.book.record.active and "apply" not in self.world.proxy.trouble.errors:
            assert self.world.proxy.release("api") is not None

    @rule()
    def settle(self) -> None:
        """With the world in order again, everything comes to rest, and nothing is left behind."""
        for part in (self.world.proxy, self.world.runner, self.world.source, self.world.ledger):
            part.trouble.errors.clear()
        while self.api.book.record.hold:  # who gets no answer, because the daemon died meanwhile, asks again
            self._ask(command.resume(self.api, "me"))
        self._come_to_rest()
        if self._doomed():
            self.world.push(self.app, Nature.GOOD)
            self._come_to_rest()
        assert self._at_rest(), self._story()
        self._whole()

    def _come_to_rest(self) -> None:
        self._do(asyncio.sleep(1))  # what exited this very moment is not known yet
        waited = 0.0
        while waited < SETTLED and not self._at_rest():
            self._do(asyncio.sleep(10))
            waited += 10

    def _doomed(self) -> bool:
        """A person promoted what ends by itself, and nothing was kept before: only another commit helps."""
        book, active = self.api.book, self.api.book.record.active
        if active is None or previous(book.releases.values(), active.release) is not None:
            return False
        return self.world.natures[book.releases[active.release].revision] is Nature.DIES

    def _at_rest(self) -> bool:
        book = self.api.book
        lacks = book.record.active is not None and len(book.record.active.instances) < self._wanted()
        tip = self.world.source.tips[self.app.repo]
        untold = self.api.tasks.busy("route")  # the proxy did not answer, and is asked again in a second
        busy = book.rollout or book.record.wanted or book.retiring or book.record.healing or book.record.left
        return not (busy or lacks or untold or book.record.tip != tip)

    def _wanted(self) -> int:
        active = self.api.book.record.active
        return self.api.book.releases[active.release].app.instances if active else 0

    def _whole(self) -> None:
        book, active = self.api.book, self.api.book.record.active
        alive = set(self.world.runner.alive)
        expected = {i.id for i in active.instances} if active else set()
        assert alive == expected, (alive, expected, self._story())
        assert not self.world.runner.children, self._story()
        assert len(alive) == self._wanted()
        assert self.world.proxy.release("api") == (active.release if active else None)
        routed = {s.instance for b in self.world.proxy.routing["api"].backends for s in b.servers}
        assert routed == alive, self._story()
        receipts = [r["rollout"] for r in self.world.ledger.receipts("api")]
        assert receipts == list(range(1, book.record.rollouts + 1))
        assert any(r["outcome"] == "kept" for r in self.world.ledger.receipts("api")) == (active is not None)

    def _story(self) -> str:
        return "\n".join(f"{line['at']} {line['kind']}: {line['text']}" for line in self.world.ledger.lines[-40:])

    def teardown(self) -> None:
        try:
            if self.host and self.engine and not self.engine.done():
                self.settle()
                self.the_daemon_lives_and_can_say_how_things_stand()
                self.nothing_happens_that_nobody_foresaw()
        finally:
            if self.engine and not self.engine.done():
                self._down()
            self.time.run_until_complete(self.time.shutdown_asyncgens())
            self.time.close()


def simulate(examples: int, steps: int, *, derandomize: bool) -> None:
    run_state_machine_as_test(
        Simulation,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=derandomize,
            database=None,
            phases=[Phase.generate],  # a life is read in its history: shrinking takes minutes and says no more
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )


def test_the_promises_hold_in_any_order_of_events() -> None:
    simulate(40, 20, derandomize=True)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_promises_hold_in_any_order_of_events_for_long() -> None:
    simulate(2000, 40, derandomize=False)
