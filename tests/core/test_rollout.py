"""Every (phase, event) of the transition table, what a rollout says of itself, and its walks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from noren.core import events as e
from noren.core.errors import IllegalEventError
from noren.core.instructions import GoBack, MakeBuild, Observe, Probe, Shift, StartInstance, StopCandidate
from noren.core.model import ProbeAnswer, Strategy, Verify
from noren.core.phase import Phase
from noren.core.rollout import TRANSITIONS, Rollout, RolloutKind, step
from noren.core.verdict import Fault, Outcome
from tests.core.parts import (
    APP,
    ARTIFACT,
    BAD,
    FIRST,
    ID,
    at,
    ended,
    exited,
    observed,
    probed,
    queued,
    ready,
    running,
    started,
    take,
)

ALIVE = frozenset({FIRST})
EVENTS: dict[str, e.Event] = {
    "Begun": e.Begun(rollout=ID),
    "Built": e.Built(rollout=ID, artifact=ARTIFACT),
    "BuildFailed": e.BuildFailed(rollout=ID, reason="exit code 3", own_fault=True),
    "Started": started(at(Phase.STARTING).instances[0]),
    "StartFailed": e.StartFailed(rollout=ID, reason="no such file", own_fault=True),
    "Probed": probed(),
    "Exited": exited(),
    "Shifted": e.Shifted(rollout=ID, ms=0.1),
    "ShiftFailed": e.ShiftFailed(rollout=ID, reason="refused"),
    "Observed": observed(100, 0),
    "DeadlinePassed": e.DeadlinePassed(rollout=ID),
    "WentBack": e.WentBack(rollout=ID),
    "GoBackFailed": e.GoBackFailed(rollout=ID, reason="refused"),
    "Stopped": e.Stopped(rollout=ID, log_tail="last words"),
    "Superseded": e.Superseded(rollout=ID, by="ccc"),
    "AbortAsked": e.AbortAsked(rollout=ID, by="me"),
    "PromoteAsked": e.PromoteAsked(rollout=ID, by="me"),
    "Resumed": e.Resumed(rollout=ID, alive=ALIVE),
    "Faulted": e.Faulted(rollout=ID, reason="a bug"),
}
ABORT = (Phase.ABORTING, [StopCandidate])
BACK = (Phase.ROLLING_BACK, [GoBack])
STUCK = (Phase.STUCK, [])

# phase × event → the next phase and the instructions, for a blue-green rollout that went well so far
TABLE: dict[Phase, dict[str, tuple[Phase, list[type]]]] = {
    Phase.QUEUED: {
        "Begun": (Phase.BUILDING, [MakeBuild]),
        "Superseded": ABORT,
        "AbortAsked": ABORT,
        "Resumed": (Phase.BUILDING, [MakeBuild]),
        "Faulted": ABORT,
    },
    Phase.BUILDING: {
        "Built": (Phase.STARTING, [StartInstance]),
        "BuildFailed": (Phase.FAILED, []),
        "Superseded": ABORT,
        "AbortAsked": ABORT,
        "Resumed": (Phase.BUILDING, [MakeBuild]),
        "Faulted": ABORT,
    },
    Phase.STARTING: {
        "Started": (Phase.WAITING_READY, [Probe]),
        "StartFailed": ABORT,
        "Exited": ABORT,
        "Observed": (Phase.STARTING, []),
        "Superseded": ABORT,
        "AbortAsked": ABORT,
        "Resumed": ABORT,
        "Faulted": ABORT,
    },
    Phase.WAITING_READY: {
        "Probed": (Phase.WAITING_READY, []),
        "Exited": ABORT,
        "Observed": (Phase.WAITING_READY, []),
        "DeadlinePassed": ABORT,
        "Superseded": ABORT,
        "AbortAsked": ABORT,
        "Resumed": ABORT,
        "Faulted": ABORT,
    },
    Phase.SHIFTING: {
        "Shifted": (Phase.BAKING, [Observe, Probe]),
        "ShiftFailed": BACK,
        "Exited": BACK,
        "AbortAsked": BACK,
        "Resumed": (Phase.SHIFTING, [Shift]),
        "Faulted": BACK,
    },
    Phase.BAKING: {
        "Observed": (Phase.BAKING, []),
        "Probed": (Phase.BAKING, []),
        "Exited": BACK,
        "DeadlinePassed": (Phase.KEPT, []),
        "PromoteAsked": (Phase.KEPT, []),
        "AbortAsked": BACK,
        "Resumed": (Phase.SHIFTING, [Shift]),
        "Faulted": BACK,
    },
    Phase.ABORTING: {
        "Stopped": (Phase.ABORTED, []),
        "Exited": (Phase.ABORTING, []),
        "Resumed": (Phase.ABORTING, [StopCandidate]),
        "Faulted": STUCK,
    },
    Phase.ROLLING_BACK: {
        "WentBack": (Phase.ROLLED_BACK, []),
        "GoBackFailed": STUCK,
        "Exited": (Phase.ROLLING_BACK, []),
        "Resumed": (Phase.ROLLING_BACK, [GoBack]),
        "Faulted": STUCK,
    },
}
LEGAL = [(phase, name) for phase, row in TABLE.items() for name in row]
ILLEGAL = [(phase, name) for phase in Phase for name in EVENTS if name not in TABLE.get(phase, {})]


def sample(phase: Phase) -> Rollout:
    return ended(phase) if phase.over else at(phase)


def test_the_expected_table_names_every_event_and_exactly_the_transitions_there_are() -> None:
    assert {type(event).__name__ for event in EVENTS.values()} == set(EVENTS)
    assert {kind.__name__ for kind in e.Event.__subclasses__()} == set(EVENTS)
    assert {(phase, kind.__name__) for phase, kind in TRANSITIONS} == set(LEGAL)


@pytest.mark.parametrize(("phase", "name"), LEGAL)
def test_a_legal_event_leads_where_the_table_says(phase: Phase, name: str) -> None:
    after, instructions = step(sample(phase), EVENTS[name], 0.0)
    assert (after.phase, [type(i) for i in instructions]) == TABLE[phase][name]


@pytest.mark.parametrize(("phase", "name"), ILLEGAL)
def test_an_illegal_event_raises_and_changes_nothing(phase: Phase, name: str) -> None:
    rollout = sample(phase)
    with pytest.raises(IllegalEventError, match=name):
        step(rollout, EVENTS[name], 0.0)
    assert rollout == sample(phase)


# --- verdicts ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "event", "outcome", "fault"),
    [
        (Phase.BUILDING, EVENTS["BuildFailed"], Outcome.FAILED, Fault.OWN),
        (Phase.BUILDING, e.BuildFailed(rollout=ID, reason="disk", own_fault=False), Outcome.FAILED, Fault.OUTSIDE),
        (Phase.STARTING, EVENTS["StartFailed"], Outcome.ABORTED, Fault.OWN),
        (Phase.STARTING, e.StartFailed(rollout=ID, reason="disk", own_fault=False), Outcome.ABORTED, Fault.OUTSIDE),
        (Phase.STARTING, EVENTS["Exited"], Outcome.ABORTED, Fault.OWN),
        (Phase.STARTING, EVENTS["Resumed"], Outcome.ABORTED, Fault.OUTSIDE),
        (Phase.WAITING_READY, EVENTS["DeadlinePassed"], Outcome.ABORTED, Fault.OWN),
        (Phase.WAITING_READY, EVENTS["Superseded"], Outcome.SUPERSEDED, Fault.NONE),
        (Phase.WAITING_READY, EVENTS["AbortAsked"], Outcome.ABORTED, Fault.NONE),
        (Phase.WAITING_READY, EVENTS["Faulted"], Outcome.ABORTED, Fault.OUTSIDE),
        (Phase.SHIFTING, EVENTS["ShiftFailed"], Outcome.ROLLED_BACK, Fault.OUTSIDE),
        (Phase.SHIFTING, e.Resumed(rollout=ID, alive=frozenset()), Outcome.ROLLED_BACK, Fault.OUTSIDE),
        (Phase.BAKING, observed(0, 5), Outcome.ROLLED_BACK, Fault.OWN),
        (Phase.BAKING, EVENTS["Exited"], Outcome.ROLLED_BACK, Fault.OWN),
        (Phase.BAKING, EVENTS["AbortAsked"], Outcome.ROLLED_BACK, Fault.OWN),
        (Phase.BAKING, e.Resumed(rollout=ID, alive=frozenset()), Outcome.ROLLED_BACK, Fault.OUTSIDE),
    ],
)
def test_only_the_releases_own_faults_are_its_fault(
    phase: Phase, event: e.Event, outcome: Outcome, fault: Fault
) -> None:
    verdict = step(at(phase), event, 0.0)[0].verdict
    assert verdict and (verdict.outcome, verdict.fault) == (outcome, fault)


def test_the_reason_of_a_release_that_never_becomes_ready_is_its_last_answer_and_the_end_of_its_log() -> None:
    rollout = take(at(Phase.WAITING_READY), probed(answer=BAD), e.DeadlinePassed(rollout=ID))
    rollout = take(rollout, e.Stopped(rollout=ID, log_tail="KeyError: DATABASE_URL"))
    assert rollout.verdict and rollout.phase is Phase.ABORTED
    for part in ("within 60 s", "answered 404", "body 'no'", "try: set ready", "KeyError: DATABASE_URL"):
        assert part in rollout.verdict.reason


def test_a_release_that_exits_is_told_with_its_last_answer_if_it_gave_one() -> None:
    silent = ProbeAnswer(ok=False, url="http://127.0.0.1:2/", problem="does not answer")
    for answer, told in ((BAD, True), (silent, False)):
        rollout = take(at(Phase.WAITING_READY), probed(answer=answer), exited())
        assert rollout.verdict and ("last probe" in rollout.verdict.reason) is told, rollout.verdict
        assert "exited with code 1 before it was ready" in rollout.verdict.reason and "boom" in rollout.verdict.reason


def test_an_exit_of_a_stranger_changes_nothing() -> None:
    before = at(Phase.BAKING)
    assert step(before, exited("api-1-1-0"), 0.0) == (before, [])


# --- ready ------------------------------------------------------------------------------------


def test_a_bad_answer_starts_the_count_of_good_ones_anew() -> None:
    rollout = take(at(Phase.WAITING_READY), probed(), probed(), probed(answer=BAD), probed(), probed())
    assert rollout.phase is Phase.WAITING_READY
    assert take(rollout, probed()).phase is Phase.SHIFTING


def test_every_instance_has_to_be_ready() -> None:
    rollout = at(Phase.WAITING_READY, replace(APP, instances=2))
    rollout = take(rollout, *[probed()] * 9)
    assert rollout.phase is Phase.WAITING_READY
    assert take(rollout, *[probed("api-2-7-1")] * 3).phase is Phase.SHIFTING


def test_ready_becomes_available_only_after_min_ready_seconds_without_a_bad_answer() -> None:
    app = replace(APP, min_ready=10.0)
    rollout = at(Phase.WAITING_READY, app)
    assert rollout.deadline == 70.0
    rollout = take(rollout, *[probed()] * 3, now=1.0)
    rollout = take(rollout, probed(answer=BAD), now=5.0)
    rollout = take(rollout, *[probed()] * 3, now=6.0)
    assert take(rollout, probed(), now=15.9).phase is Phase.WAITING_READY
    assert take(rollout, probed(), now=16.0).phase is Phase.SHIFTING


# --- baking -----------------------------------------------------------------------------------


def test_three_bad_probes_in_a_row_end_a_bake() -> None:
    rollout = take(at(Phase.BAKING), probed(answer=BAD), probed(answer=BAD), probed(), *[probed(answer=BAD)] * 2)
    assert rollout.phase is Phase.BAKING
    assert take(rollout, probed(answer=BAD)).phase is Phase.ROLLING_BACK


def test_the_end_of_the_bake_time_waits_for_an_instance_that_owes_an_answer() -> None:
    rollout = take(at(Phase.BAKING), e.DeadlinePassed(rollout=ID), now=60.0)
    assert (rollout.phase, rollout.deadline) == (Phase.BAKING, 60.5)
    rollout = take(rollout, probed(), now=60.2)
    assert take(rollout, e.DeadlinePassed(rollout=ID), now=60.5).phase is Phase.KEPT


def test_without_an_old_release_only_an_exit_or_a_person_ends_a_bake() -> None:
    rollout = take(at(Phase.BAKING, old=0), observed(0, 500), *[probed(answer=BAD)] * 9)
    assert rollout.phase is Phase.BAKING
    assert take(rollout, exited()).phase is Phase.ROLLING_BACK
    assert take(rollout, e.DeadlinePassed(rollout=ID), now=999.0).phase is Phase.KEPT


def test_a_verdict_says_on_how_little_it_rests() -> None:
    rollout = take(at(Phase.BAKING), observed(7, 0), e.DeadlinePassed(rollout=ID))
    assert rollout.verdict and "only 7 requests, 0 failed" in rollout.verdict.reason


# --- walks ------------------------------------------------------------------------------------


def test_blue_green_moves_all_traffic_at_once_and_leaves_the_old_instances_alone() -> None:
    app = replace(APP, instances=3)
    rollout = take(queued(app, old=3), e.Begun(rollout=ID))
    rollout, instructions = step(rollout, EVENTS["Built"], 0.0)
    assert [i.instance.ordinal for i in instructions if isinstance(i, StartInstance)] == [0, 1, 2]
    rollout, instructions = ready(rollout)
    assert instructions == [Shift(1.0)]
    assert rollout.weight == 1.0
    rollout = take(rollout, e.Shifted(rollout=ID))
    assert rollout.old and len(rollout.old.instances) == 3
    assert (rollout.phase, rollout.weight) == (Phase.BAKING, 1.0)


def test_rolling_goes_round_once_a_step_and_watches_from_the_first_share_on() -> None:
    app = replace(APP, instances=3, strategy=Strategy.ROLLING)
    rollout, instructions = step(take(queued(app, old=3), e.Begun(rollout=ID)), EVENTS["Built"], 0.0)
    seen: list[tuple[float, int]] = []
    while rollout.phase is Phase.STARTING:
        assert [type(i) for i in instructions] == [StartInstance, Observe][: 2 if rollout.done else 1]
        rollout, instructions = ready(rollout)
        assert isinstance(instructions[0], Shift)
        share = instructions[0].weight
        rollout, instructions = step(rollout, e.Shifted(rollout=ID), 0.0)
        assert rollout.old
        seen.append((round(share, 2), len(rollout.old.instances)))
    assert seen == [(0.33, 2), (0.67, 1), (1.0, 1)]
    assert rollout.phase is Phase.BAKING
    assert [type(i) for i in instructions] == [Observe, Probe, Probe, Probe]


@pytest.mark.parametrize("event", ["Exited", "AbortAsked", "Resumed", "Faulted", "StartFailed"])
def test_a_rolling_rollout_that_has_moved_some_traffic_rolls_back_instead_of_aborting(event: str) -> None:
    app = replace(APP, instances=2, strategy=Strategy.ROLLING)
    rollout, _ = ready(take(queued(app, old=2), e.Begun(rollout=ID), EVENTS["Built"]))
    rollout = take(rollout, e.Shifted(rollout=ID))
    assert (rollout.phase, rollout.moved) == (Phase.STARTING, True)
    after, instructions = step(rollout, EVENTS[event], 0.0)
    assert (after.phase, instructions) == (Phase.ROLLING_BACK, [GoBack()])
    assert step(rollout, EVENTS["Superseded"], 0.0) == (rollout, [])


def warm() -> Rollout:
    return replace(queued(kind=RolloutKind.ROLLBACK), artifact=ARTIFACT, running=running(2, 2, rollout=3))


def test_a_warm_release_comes_back_with_one_switch_and_no_bake() -> None:
    rollout, instructions = step(warm(), e.Begun(rollout=ID), 0.0)
    assert (rollout.phase, instructions) == (Phase.SHIFTING, [Shift(1.0)])
    rollout = take(rollout, e.Shifted(rollout=ID))
    assert rollout.phase is Phase.KEPT
    assert rollout.running == running(2, 2, rollout=3)


def test_a_cold_release_comes_back_without_a_build() -> None:
    rollout, instructions = step(replace(warm(), running=None), e.Begun(rollout=ID), 0.0)
    assert rollout.phase is Phase.STARTING
    assert [type(i) for i in instructions] == [StartInstance]


def test_a_warm_release_that_died_with_noren_is_started_again_instead() -> None:
    rollout, instructions = step(warm(), e.Resumed(rollout=ID, alive=frozenset()), 0.0)
    assert rollout.phase is Phase.STARTING
    assert [type(i) for i in instructions] == [StartInstance]


def test_what_still_runs_of_a_warm_release_comes_back_after_a_restart_of_noren() -> None:
    rollout, instructions = step(warm(), e.Resumed(rollout=ID, alive=frozenset({"api-2-3-1"})), 0.0)
    assert (rollout.phase, instructions) == (Phase.SHIFTING, [Shift(1.0)])
    assert [i.id for i in rollout.instances] == ["api-2-3-1"]


def test_a_restart_starts_new_instances_of_the_same_release_and_bakes() -> None:
    rollout = replace(queued(kind=RolloutKind.RESTART), number=1, artifact=ARTIFACT)
    rollout, instructions = step(rollout, e.Begun(rollout=ID), 0.0)
    assert [i.instance.id for i in instructions if isinstance(i, StartInstance)] == ["api-1-7-0"]
    rollout, _ = ready(rollout)
    assert take(rollout, e.Shifted(rollout=ID)).phase is Phase.BAKING


def test_a_bake_that_is_resumed_moves_the_traffic_again_and_bakes_the_whole_time_again() -> None:
    app = replace(APP, verify=Verify(bake_time=30.0))
    rollout = take(at(Phase.BAKING, app), e.Resumed(rollout=ID, alive=ALIVE), now=500.0)
    rollout = take(rollout, e.Shifted(rollout=ID), now=501.0)
    assert (rollout.phase, rollout.deadline, rollout.done) == (Phase.BAKING, 531.0, 1)


def test_what_a_healer_started_while_the_traffic_moved_stays_with_the_old_release() -> None:
    rollout = at(Phase.SHIFTING)
    rollout = replace(rollout, old=running(1, 2))
    assert take(rollout, e.Shifted(rollout=ID)).old == running(1, 2)
