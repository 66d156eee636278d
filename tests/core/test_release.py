"""Which releases stay, and which one to go back to."""

from __future__ import annotations

from noren.core.record import ReleaseRecord
from noren.core.release import previous, superfluous
from noren.core.verdict import Outcome
from tests.core.parts import APP, ARTIFACT


def release(number: int, outcome: Outcome | None = Outcome.KEPT, *, built: bool = True) -> ReleaseRecord:
    return ReleaseRecord(
        number=number,
        revision="a" * 40,
        settings="s",
        app=APP,
        artifact=ARTIFACT if built else None,
        outcome=outcome,
    )


def pruned(*releases: ReleaseRecord, keep: int, in_use: set[int]) -> list[int]:
    return [r.number for r in superfluous(releases, keep=keep, in_use=in_use)]


def test_the_one_to_go_back_to_is_the_newest_kept_one_before_that_is_still_there() -> None:
    known = [release(1), release(2), release(3, Outcome.ABORTED), release(4, built=False), release(5)]
    back = previous(known, 5)
    assert back and back.number == 2
    assert previous(known, 1) is None


def test_the_newest_ones_and_those_in_use_stay() -> None:
    assert pruned(*map(release, range(1, 7)), keep=2, in_use={3}) == [4, 1]


def test_the_one_to_go_back_to_stays_even_when_only_one_is_kept() -> None:
    assert pruned(*map(release, range(1, 5)), keep=1, in_use={4}) == [2, 1]


def test_the_one_to_go_back_to_from_the_active_stays_while_a_newer_one_is_tried() -> None:
    tried = release(5, None)
    assert pruned(*map(release, range(1, 5)), tried, keep=1, in_use={4, 5}) == [2, 1]
    assert pruned(*map(release, range(1, 5)), keep=1, in_use={4, 5}) == [2, 1]


def test_failed_releases_do_not_crowd_out_the_one_to_go_back_to() -> None:
    failed = [release(n, Outcome.ABORTED) for n in range(3, 9)]
    assert pruned(release(1), release(2), *failed, keep=2, in_use={2}) == [6, 5, 4, 3]


def test_what_was_pruned_is_not_pruned_again() -> None:
    assert pruned(release(1, built=False), release(2), keep=1, in_use={2}) == []
