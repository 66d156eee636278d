"""Random lives of a rollout: whatever happens, in any order that the table allows."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noren.core import events as e
from noren.core.model import Strategy
from noren.core.phase import Phase
from noren.core.rollout import TRANSITIONS, Rollout, RolloutKind, step
from tests.core.parts import APP, ARTIFACT, BAD, GOOD, ID, exited, observed, probed, queued, running, started

AFTER_TRAFFIC = {Phase.KEPT, Phase.ROLLED_BACK, Phase.STUCK}


@st.composite
def rollouts(draw: st.DrawFn) -> Rollout:
    app = replace(
        APP,
        instances=draw(st.integers(1, 4)),
        strategy=draw(st.sampled_from(Strategy)),
        surge=draw(st.integers(1, 3)),
        min_ready=draw(st.sampled_from([0.0, 1.0])),
    )
    kind = draw(st.sampled_from(RolloutKind))
    rollout = queued(app, old=draw(st.integers(0, 4)), kind=kind)
    if kind is RolloutKind.UPGRADE:
        return rollout
    back = running(2, rollout=3) if kind is RolloutKind.ROLLBACK and draw(st.booleans()) else None
    return replace(rollout, artifact=ARTIFACT, running=back)


def happen(draw: st.DrawFn, rollout: Rollout) -> e.Event:
    """Any event that the table has for this phase; good ones are as likely as all bad ones."""
    kinds = [kind for phase, kind in TRANSITIONS if phase is rollout.phase]
    good = [k for k in kinds if k in (e.Begun, e.Built, e.Started, e.Probed, e.Shifted, e.Observed, e.DeadlinePassed)]
    kind = draw(st.sampled_from(good if good and draw(st.booleans()) else kinds))
    some = draw(st.sampled_from(rollout.instances)) if rollout.instances else running(9).instances[0]
    waiting = [i for i in rollout.instances if i.address is None]
    made: dict[type[e.Event], e.Event] = {
        e.Built: e.Built(rollout=ID, artifact=ARTIFACT),
        e.BuildFailed: e.BuildFailed(rollout=ID, reason="x", own_fault=draw(st.booleans())),
        e.Started: started(waiting[0] if waiting else some),
        e.StartFailed: e.StartFailed(rollout=ID, reason="x", own_fault=draw(st.booleans())),
        e.Probed: probed(some.id, draw(st.sampled_from([GOOD, GOOD, GOOD, BAD]))),
        e.Exited: exited(draw(st.sampled_from([some.id, "stranger"]))),
        e.Observed: observed(100, draw(st.sampled_from([0, 0, 100]))),
        e.ShiftFailed: e.ShiftFailed(rollout=ID, reason="x"),
        e.GoBackFailed: e.GoBackFailed(rollout=ID, reason="x"),
        e.Superseded: e.Superseded(rollout=ID, by="c"),
        e.AbortAsked: e.AbortAsked(rollout=ID, by="me"),
        e.PromoteAsked: e.PromoteAsked(rollout=ID, by="me"),
        e.Resumed: e.Resumed(rollout=ID, alive=frozenset(i.id for i in rollout.instances if draw(st.booleans()))),
        e.Faulted: e.Faulted(rollout=ID, reason="x"),
    }
    return made.get(kind) or kind(rollout=ID)


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_no_life_of_a_rollout_breaks_its_promises(data: st.DataObject) -> None:
    rollout = data.draw(rollouts())
    now = 0.0
    shifted = False
    for _ in range(40):
        if rollout.phase.over:
            break
        event = happen(data.draw, rollout)
        now += data.draw(st.sampled_from([0.0, 0.25, 5.0]))
        before, (rollout, instructions) = rollout, step(rollout, event, now)
        shifted = shifted or isinstance(event, e.Shifted)

        if rollout.phase is not before.phase and not rollout.phase.over:
            assert instructions or rollout.deadline is not None, "nothing would ever happen again"
        if rollout.deadline is not None and isinstance(event, e.DeadlinePassed) and not rollout.phase.over:
            assert rollout.deadline > now, "a deadline in the past would fire for ever"
        if rollout.phase is Phase.KEPT:
            assert shifted, "kept without a switch that was seen"
        if before.moved and rollout.phase.over:
            assert rollout.phase in AFTER_TRAFFIC
        if not before.moved and rollout.phase.over:
            assert rollout.phase is not Phase.KEPT
        if rollout.phase.over:
            assert rollout.verdict and rollout.verdict.outcome.value == rollout.phase.value
            assert rollout.verdict.reason
            assert not instructions
        assert 0.0 <= rollout.weight <= 1.0
        assert len({i.id for i in rollout.instances}) == len(rollout.instances)
        assert before.moved <= rollout.moved or rollout.phase in (Phase.ABORTED, Phase.SUPERSEDED, Phase.FAILED)
