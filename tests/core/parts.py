"""Sample values for the tests of the core: one app, one release before, one candidate."""

from __future__ import annotations

from dataclasses import replace

from noren.core import events as e
from noren.core.instructions import Instruction
from noren.core.model import App, Artifact, Exit, Instance, Kind, ProbeAnswer
from noren.core.phase import Phase
from noren.core.retire import Running
from noren.core.rollout import Rollout, RolloutKind, step
from noren.core.traffic import Counts, Traffic

APP = App(name="api", kind=Kind.PROCESS, repo="/repo", run="serve", hosts=("api.example",))
ARTIFACT = Artifact(key="k", path="/builds/k", digest="d", seconds=1.5)
GOOD = ProbeAnswer(ok=True, url="http://127.0.0.1:2/", status=200)
BAD = ProbeAnswer(ok=False, url="http://127.0.0.1:2/", status=404, body="no", problem="answered 404", hint="set ready")
ID = 7
FIRST = "api-2-7-0"


def instance(number: int, ordinal: int = 0, rollout: int = 1) -> Instance:
    return Instance(
        id=f"api-{number}-{rollout}-{ordinal}", app="api", release=number, ordinal=ordinal, address="127.0.0.1:1"
    )


def running(number: int, count: int = 1, rollout: int = 1) -> Running:
    return Running(release=number, rollout=rollout, instances=tuple(instance(number, n, rollout) for n in range(count)))


def queued(app: App = APP, *, old: int = 1, kind: RolloutKind = RolloutKind.UPGRADE) -> Rollout:
    """A rollout of release 2 over ``old`` instances of release 1; 0: there is no old release."""
    before = running(1, old) if old else None
    return Rollout(id=ID, app=app, kind=kind, number=2, revision="b" * 40, trigger="poll", old=before)


def started(item: Instance) -> e.Started:
    return e.Started(rollout=ID, instance=replace(item, address=f"127.0.0.1:{item.ordinal + 2}"))


def probed(name: str = FIRST, answer: ProbeAnswer = GOOD) -> e.Probed:
    return e.Probed(rollout=ID, instance=name, answer=answer)


def exited(name: str = FIRST, tail: str = "boom") -> e.Exited:
    return e.Exited(rollout=ID, exit=Exit(instance=name, code=1, log_tail=tail))


def observed(ok: int, failed: int) -> e.Observed:
    return e.Observed(rollout=ID, old=Traffic(reads=Counts(10_000, 0)), new=Traffic(reads=Counts(ok, failed)))


def take(rollout: Rollout, *events: e.Event, now: float = 0.0) -> Rollout:
    for event in events:
        rollout, _ = step(rollout, event, now)
    return rollout


def ready(rollout: Rollout, now: float = 0.0) -> tuple[Rollout, list[Instruction]]:
    """From STARTING: every instance starts and answers well; the rollout then, and what it wants."""
    for item in rollout.instances:
        if item.address is None:
            rollout, _ = step(rollout, started(item), now)
    instructions: list[Instruction] = []
    for item in rollout.instances[-rollout.steps[rollout.done].start :]:
        for _ in range(rollout.app.ready.successes):
            rollout, instructions = step(rollout, probed(item.id), now)
    return rollout, instructions


def at(phase: Phase, app: App = APP, *, old: int = 1) -> Rollout:
    """A blue-green rollout that went well until it came to this phase."""
    rollout = queued(app, old=old)
    if phase is Phase.QUEUED:
        return rollout
    if phase is Phase.ABORTING:
        return take(at(Phase.WAITING_READY, app, old=old), e.DeadlinePassed(rollout=ID))
    if phase is Phase.ROLLING_BACK:
        return take(at(Phase.BAKING, app, old=old), exited())
    rollout = take(rollout, e.Begun(rollout=ID))
    if phase is Phase.BUILDING:
        return rollout
    rollout = take(rollout, e.Built(rollout=ID, artifact=ARTIFACT))
    if phase is Phase.STARTING:
        return rollout
    if phase is Phase.WAITING_READY:
        return take(rollout, *(started(i) for i in rollout.instances))
    rollout, _ = ready(rollout)
    if phase is Phase.SHIFTING:
        return rollout
    rollout = take(rollout, e.Shifted(rollout=ID, ms=1.0))
    return take(rollout, e.PromoteAsked(rollout=ID, by="me")) if phase is Phase.KEPT else rollout


def ended(phase: Phase) -> Rollout:
    """A rollout in one of the phases that are over."""
    match phase:
        case Phase.KEPT:
            return at(Phase.KEPT)
        case Phase.FAILED:
            return take(at(Phase.BUILDING), e.BuildFailed(rollout=ID, reason="exit 3", own_fault=True))
        case Phase.ABORTED:
            return take(at(Phase.ABORTING), e.Stopped(rollout=ID))
        case Phase.SUPERSEDED:
            return take(at(Phase.BUILDING), e.Superseded(rollout=ID, by="ccc"), e.Stopped(rollout=ID))
        case Phase.ROLLED_BACK:
            return take(at(Phase.ROLLING_BACK), e.WentBack(rollout=ID))
        case _:
            return take(at(Phase.ROLLING_BACK), e.GoBackFailed(rollout=ID, reason="no proxy"))
