"""The centre of Noren: one rollout as a state machine without I/O.

``engine/loop.py`` feeds ``step`` with events and carries out the instructions that come back.
Phases, in the order of a good rollout:

    queued → building → starting → waiting_ready → shifting → baking → kept

A rolling strategy goes round starting → waiting_ready → shifting once a step. Before traffic
moved every failure goes aborting → aborted (failed and superseded likewise); after it
rolling_back → rolled_back. ``TRANSITIONS`` is the whole truth: an event that it lacks for the
present phase raises and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from noren.core import events as e
from noren.core.errors import IllegalEventError
from noren.core.instructions import (
    GoBack,
    Instruction,
    MakeBuild,
    Observe,
    Probe,
    Shift,
    StartInstance,
    StopCandidate,
)
from noren.core.model import App, Artifact, Instance, ProbeAnswer, Release
from noren.core.phase import BEFORE_TRAFFIC, Phase
from noren.core.retire import Running
from noren.core.strategy import Step, steps
from noren.core.traffic import OVERDUE
from noren.core.verdict import Fault, Outcome, Verdict
from noren.core.verify import find_fault

BAKE_PROBE = 1.0  # seconds between probes of an instance that has traffic
BAKE_FAILURES = 3  # bad probes in a row that end a bake
STALE = 0.5  # seconds by which an answer may miss its turn before a verdict waits for it


class RolloutKind(StrEnum):
    """What a rollout changes."""

    UPGRADE = "upgrade"
    ROLLBACK = "rollback"
    RESTART = "restart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Probes of one instance: good or bad in a row, when the good row began and when its last one came (monotonic)."""

    good: int = 0
    bad: int = 0
    since: float = 0.0
    last_good: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """The change from ``old`` to release ``number``.

    ``old`` loses the instances that a rolling step leaves behind. ``done`` counts the steps of the
    strategy whose traffic has moved. ``running`` is set at once where a warm release comes back.
    ``deadline`` is the monotonic end of the phase, ``rebuilt`` the scheduled time that the build is for.
    """

    id: int
    app: App
    kind: RolloutKind
    number: int
    revision: str
    trigger: str
    phase: Phase = Phase.QUEUED
    old: Running | None = None
    artifact: Artifact | None = None
    running: Running | None = None
    steps: tuple[Step, ...] = ()
    done: int = 0
    health: tuple[tuple[str, Health], ...] = ()
    last_probe: ProbeAnswer | None = None
    deadline: float | None = None
    rebuilt: str | None = None
    judged: str = "no requests"
    verdict: Verdict | None = None

    @property
    def release(self) -> Release | None:
        """The candidate as a release, once it is built."""
        if self.artifact is None:
            return None
        return Release(app=self.app, number=self.number, revision=self.revision, artifact=self.artifact)

    @property
    def instances(self) -> tuple[Instance, ...]:
        """The candidate's instances."""
        return self.running.instances if self.running else ()

    @property
    def weight(self) -> float:
        """The share of new requests that the candidate has, or is about to get."""
        step = self.done if self.phase is Phase.SHIFTING else self.done - 1
        return self.steps[step].weight if self.moved and self.steps else 0.0

    @property
    def supersedable(self) -> bool:
        """Whether a newer commit takes its place: not once traffic moved, and never that of a way back."""
        return not self.moved and self.phase is not Phase.ABORTING and self.kind is not RolloutKind.ROLLBACK

    @property
    def moved(self) -> bool:
        """Whether any traffic may have reached the candidate."""
        return self.done > 0 or self.phase not in BEFORE_TRAFFIC


Advance = tuple[Rollout, list[Instruction]]


def step(rollout: Rollout, event: e.Event, now: float) -> Advance:
    """The rollout after the event, and what to do; ``now`` is monotonic seconds.

    Raises IllegalEventError, with nothing changed, when the table has no such (phase, event).
    """
    handler = TRANSITIONS.get((rollout.phase, type(event)))
    if handler is None:
        raise IllegalEventError(f"{type(event).__name__} is not possible while {rollout.phase}")
    return handler(rollout, event, now)


def _begin(r: Rollout, _: e.Begun, now: float) -> Advance:
    if r.running is not None:
        planned = (Step(start=0, weight=1.0, old=len(r.old.instances) if r.old else 0),)
        return _shift(replace(r, steps=planned), now)
    if r.artifact is not None:
        return _start(replace(r, steps=_plan(r)), now)
    return replace(r, phase=Phase.BUILDING), [MakeBuild()]


def _built(r: Rollout, event: e.Built, now: float) -> Advance:
    r = replace(r, artifact=event.artifact)
    return _start(replace(r, steps=_plan(r)), now)


def _build_failed(r: Rollout, event: e.BuildFailed, _: float) -> Advance:
    verdict = Verdict(outcome=Outcome.FAILED, reason=event.reason, fault=_fault(event.own_fault))
    return replace(r, phase=Phase.FAILED, verdict=verdict), []


def _fault(own: bool) -> Fault:
    return Fault.OWN if own else Fault.OUTSIDE


def _plan(r: Rollout) -> tuple[Step, ...]:
    old = len(r.old.instances) if r.old else 0
    return steps(r.app.strategy, wanted=r.app.instances, surge=r.app.surge, old=old)


def _start(r: Rollout, _: float) -> Advance:
    first = len(r.instances)
    new = tuple(
        Instance(id=f"{r.app.name}-{r.number}-{r.id}-{n}", app=r.app.name, release=r.number, ordinal=n)
        for n in range(first, first + r.steps[r.done].start)
    )
    running = Running(release=r.number, rollout=r.id, instances=r.instances + new)
    r = replace(r, phase=Phase.STARTING, running=running, deadline=None)
    return r, [*(StartInstance(i) for i in new), *_watch(r)]


def _watch(r: Rollout) -> list[Instruction]:
    """Between the steps of a rolling strategy the part that has traffic is judged already."""
    return [Observe()] if r.done else []


def _started(r: Rollout, event: e.Started, now: float) -> Advance:
    assert r.running is not None
    instances = tuple(event.instance if i.id == event.instance.id else i for i in r.instances)
    r = replace(r, running=replace(r.running, instances=instances))
    if any(i.address is None for i in instances):
        return r, []
    fresh = instances[len(instances) - r.steps[r.done].start :]
    deadline = now + r.app.ready.deadline + r.app.min_ready
    r = replace(r, phase=Phase.WAITING_READY, deadline=deadline, health=(), last_probe=None)
    return r, [*(Probe(i, r.app.ready.interval) for i in fresh), *_watch(r)]


def _start_failed(r: Rollout, event: e.StartFailed, now: float) -> Advance:
    return _give_up(r, event.reason, now, _fault(event.own_fault))


def _probed_waiting(r: Rollout, event: e.Probed, now: float) -> Advance:
    r = replace(_note(r, event, now), last_probe=event.answer)
    fresh = {i.id for i in r.instances[len(r.instances) - r.steps[r.done].start :]}
    good = {name for name, health in r.health if health.good >= r.app.ready.successes}
    if not fresh <= good:
        return r, []
    rested = all(now - health.since >= r.app.min_ready for _, health in r.health)
    return _shift(r, now) if rested else (r, [])


def _not_ready(r: Rollout, _: e.DeadlinePassed, now: float) -> Advance:
    return _give_up(r, f"did not become ready within {r.app.ready.deadline:g} s: {_last(r)}", now)


def _last(r: Rollout, *, hinted: bool = True) -> str:
    answer = r.last_probe
    if answer is None:
        return "no probe was answered"
    body = f", body {answer.body!r}" if answer.body else ""
    hint = f"; try: {answer.hint}" if answer.hint and hinted else ""
    return f"{answer.url} {answer.problem or 'was good, but not often enough in a row'}{body}{hint}"


def _shift(r: Rollout, _: float) -> Advance:
    return replace(r, phase=Phase.SHIFTING, deadline=None), [Shift(r.steps[r.done].weight)]


def _shifted(r: Rollout, _: e.Shifted, now: float) -> Advance:
    left = r.steps[r.done].old
    r = replace(r, done=r.done + 1)
    if r.done < len(r.steps):
        return _start(replace(r, old=replace(r.old, instances=r.old.instances[:left]) if r.old else None), now)
    if r.kind is RolloutKind.ROLLBACK:
        return _keep(r, "a release that was kept before")
    r = replace(r, phase=Phase.BAKING, deadline=now + r.app.verify.bake_time, health=_all_good(r, now))
    return r, [Observe(), *(Probe(i, BAKE_PROBE) for i in r.instances)]


def _all_good(r: Rollout, now: float) -> tuple[tuple[str, Health], ...]:
    return tuple((i.id, Health(good=1, last_good=now)) for i in r.instances)


def _shift_failed(r: Rollout, event: e.ShiftFailed, now: float) -> Advance:
    return _give_up(r, event.reason, now, _fault(event.own_fault))


def _observed(r: Rollout, event: e.Observed, now: float) -> Advance:
    r = replace(r, judged=_thin(r, event))
    # Without an old release there is nothing better to send the traffic to.
    finding = find_fault(event.old, event.new, r.app.verify) if r.old is not None else None
    if finding is None:
        return r, []
    late = f"; {event.overdue} of them got no answer within {OVERDUE} s" if event.overdue else ""
    return _give_up(r, f"{finding.reason}{late}", now)


def _thin(r: Rollout, event: e.Observed) -> str:
    total, failed = event.new.both.total, event.new.both.failed
    thin = "only " if total < r.app.verify.min_requests else ""
    noun = "request" if total == 1 else "requests"
    return f"{thin}{total} {noun}, {failed} failed" if total else "no requests"


def _probed_baking(r: Rollout, event: e.Probed, now: float) -> Advance:
    r = replace(_note(r, event, now), last_probe=event.answer, judged=event.answer.judged or r.judged)
    bad = dict(r.health)[event.instance].bad
    if bad >= BAKE_FAILURES and r.old is not None:
        return _give_up(r, f"stopped answering after the switch: {_last(r)}", now)
    return r, []


def _bake_over(r: Rollout, _: e.DeadlinePassed, now: float) -> Advance:
    """Kept, unless an instance owes an answer to a probe: a hung one must not slip through."""
    owed = any(now - health.last_good > BAKE_PROBE + STALE for _, health in r.health)
    if owed and r.old is not None:
        return replace(r, deadline=now + STALE), []
    return _keep(r, f"{r.judged} in {r.app.verify.bake_time:g} s after the switch")


def _promoted(r: Rollout, event: e.PromoteAsked, _: float) -> Advance:
    return _keep(r, f"promoted by {event.by}; {r.judged}")


def _keep(r: Rollout, reason: str) -> Advance:
    return replace(r, phase=Phase.KEPT, deadline=None, verdict=Verdict(outcome=Outcome.KEPT, reason=reason)), []


def _note(r: Rollout, event: e.Probed, now: float) -> Rollout:
    health = dict(r.health)
    before = health.get(event.instance, Health())
    if event.answer.ok:
        since = before.since if before.good else now
        health[event.instance] = Health(good=before.good + 1, since=since, last_good=now)
    else:
        health[event.instance] = replace(before, good=0, bad=before.bad + 1)
    return replace(r, health=tuple(health.items()))


def _give_up(r: Rollout, reason: str, now: float, fault: Fault = Fault.OWN) -> Advance:
    if not r.moved:
        return _abort(r, Verdict(outcome=Outcome.ABORTED, reason=reason, fault=fault))
    verdict = Verdict(outcome=Outcome.ROLLED_BACK, reason=reason, fault=fault)
    return replace(r, phase=Phase.ROLLING_BACK, deadline=None, verdict=verdict), [GoBack()]


def _abort(r: Rollout, verdict: Verdict) -> Advance:
    return replace(r, phase=Phase.ABORTING, deadline=None, verdict=verdict), [StopCandidate()]


def _exited(r: Rollout, event: e.Exited, now: float) -> Advance:
    if event.exit.instance not in {i.id for i in r.instances}:
        return r, []
    when = "after the switch" if r.moved else "before it was ready"
    tail = f"; the end of its log:\n{event.exit.log_tail}" if event.exit.log_tail else "; its log is empty"
    tail = "" if event.exit.what else tail
    # That one which is gone did not answer explains nothing; nor does it help what helps one that answers wrongly.
    refused = r.last_probe is not None and r.last_probe.status is not None and not r.last_probe.ok
    last = f"; last probe: {_last(r, hinted=False)}" if refused and not r.moved else ""
    hint = f"; try: {event.exit.hint}" if event.exit.hint else ""
    return _give_up(r, f"{event} {when}{last}{hint}{tail}", now)


def _superseded(r: Rollout, event: e.Superseded, _: float) -> Advance:
    if r.moved:
        return r, []
    return _abort(r, Verdict(outcome=Outcome.SUPERSEDED, reason=f"superseded by {event.by}"))


def _abort_asked(r: Rollout, event: e.AbortAsked, now: float) -> Advance:
    """A person who sends a release back that had traffic found it bad: no trigger shall bring it again."""
    return _give_up(r, f"aborted by {event.by}", now, Fault.OWN if r.moved else Fault.NONE)


def _faulted(r: Rollout, event: e.Faulted, now: float) -> Advance:
    return _give_up(r, event.reason, now, Fault.OUTSIDE)


def _faulted_late(r: Rollout, event: e.Faulted, _: float) -> Advance:
    """Ending the candidate failed, or the way back did."""
    cause = f", after: {r.verdict.reason}" if r.verdict else ""
    return replace(r, phase=Phase.STUCK, verdict=Verdict(outcome=Outcome.STUCK, reason=event.reason + cause)), []


def _stopped(r: Rollout, event: e.Stopped, _: float) -> Advance:
    assert r.verdict is not None
    verdict = r.verdict
    if event.log_tail and "its log" not in verdict.reason and verdict.fault is Fault.OWN:
        verdict = replace(verdict, reason=f"{verdict.reason}; the end of its log:\n{event.log_tail}")
    return replace(r, phase=Phase(verdict.outcome.value), verdict=verdict), []


def _went_back(r: Rollout, _: e.WentBack, __: float) -> Advance:
    return replace(r, phase=Phase.ROLLED_BACK), []


def _stuck(r: Rollout, event: e.GoBackFailed, _: float) -> Advance:
    cause = r.verdict.reason if r.verdict else ""
    verdict = Verdict(outcome=Outcome.STUCK, reason=f"{event.reason}, while rolling back because {cause}")
    return replace(r, phase=Phase.STUCK, verdict=verdict), []


def _resume_queued(r: Rollout, event: e.Resumed, now: float) -> Advance:
    """Of a warm release that comes back, what still runs; nothing of it: it is started anew."""
    alive = tuple(i for i in r.instances if i.id in event.alive)
    running = replace(r.running, instances=alive) if r.running and alive else None
    return _begin(replace(r, running=running), e.Begun(rollout=r.id), now)


def _resume_build(r: Rollout, _: e.Resumed, __: float) -> Advance:
    return r, [MakeBuild()]


def _resume_early(r: Rollout, _: e.Resumed, now: float) -> Advance:
    return _give_up(r, "Noren was stopped before all traffic had moved", now, Fault.OUTSIDE)


def _resume_late(r: Rollout, event: e.Resumed, now: float) -> Advance:
    if {i.id for i in r.instances} <= event.alive:
        return _shift(replace(r, done=len(r.steps) - 1), now) if r.phase is Phase.BAKING else _shift(r, now)
    return _give_up(r, "the candidate ended while Noren was not running", now, Fault.OUTSIDE)


def _resume_stop(r: Rollout, _: e.Resumed, __: float) -> Advance:
    return r, [StopCandidate()]


def _resume_back(r: Rollout, _: e.Resumed, __: float) -> Advance:
    return r, [GoBack()]


def _ignore(r: Rollout, _: e.Event, __: float) -> Advance:
    return r, []


Handler = Callable[[Rollout, Any, float], Advance]
_P = Phase
TRANSITIONS: dict[tuple[Phase, type[e.Event]], Handler] = {
    (_P.QUEUED, e.Begun): _begin,
    (_P.QUEUED, e.Superseded): _superseded,
    (_P.QUEUED, e.AbortAsked): _abort_asked,
    (_P.QUEUED, e.Resumed): _resume_queued,
    (_P.BUILDING, e.Built): _built,
    (_P.BUILDING, e.BuildFailed): _build_failed,
    (_P.BUILDING, e.Superseded): _superseded,
    (_P.BUILDING, e.AbortAsked): _abort_asked,
    (_P.BUILDING, e.Resumed): _resume_build,
    (_P.STARTING, e.Started): _started,
    (_P.STARTING, e.StartFailed): _start_failed,
    (_P.STARTING, e.Exited): _exited,
    (_P.STARTING, e.Observed): _observed,
    (_P.STARTING, e.Superseded): _superseded,
    (_P.STARTING, e.AbortAsked): _abort_asked,
    (_P.STARTING, e.Resumed): _resume_early,
    (_P.WAITING_READY, e.Probed): _probed_waiting,
    (_P.WAITING_READY, e.Exited): _exited,
    (_P.WAITING_READY, e.Observed): _observed,
    (_P.WAITING_READY, e.DeadlinePassed): _not_ready,
    (_P.WAITING_READY, e.Superseded): _superseded,
    (_P.WAITING_READY, e.AbortAsked): _abort_asked,
    (_P.WAITING_READY, e.Resumed): _resume_early,
    (_P.SHIFTING, e.Shifted): _shifted,
    (_P.SHIFTING, e.ShiftFailed): _shift_failed,
    (_P.SHIFTING, e.Exited): _exited,
    (_P.SHIFTING, e.AbortAsked): _abort_asked,
    (_P.SHIFTING, e.Resumed): _resume_late,
    (_P.BAKING, e.Observed): _observed,
    (_P.BAKING, e.Probed): _probed_baking,
    (_P.BAKING, e.Exited): _exited,
    (_P.BAKING, e.DeadlinePassed): _bake_over,
    (_P.BAKING, e.PromoteAsked): _promoted,
    (_P.BAKING, e.AbortAsked): _abort_asked,
    (_P.BAKING, e.Resumed): _resume_late,
    (_P.ABORTING, e.Stopped): _stopped,
    (_P.ABORTING, e.Exited): _ignore,
    (_P.ABORTING, e.Resumed): _resume_stop,
    (_P.ROLLING_BACK, e.WentBack): _went_back,
    (_P.ROLLING_BACK, e.GoBackFailed): _stuck,
    (_P.ROLLING_BACK, e.Exited): _ignore,
    (_P.ROLLING_BACK, e.Resumed): _resume_back,
    **{(phase, e.Faulted): _faulted for phase in Phase if not phase.over},
    (_P.ABORTING, e.Faulted): _faulted_late,
    (_P.ROLLING_BACK, e.Faulted): _faulted_late,
}
