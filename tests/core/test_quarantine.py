"""What is barred, by revision and settings."""

from __future__ import annotations

from noren.core.quarantine import Quarantined, find, matching

ONE = Quarantined(revision="abc1", settings="s", reason="r", since="T")
TWO = Quarantined(revision="abc2", settings="s", reason="r", since="T")


def test_an_entry_bars_its_revision_with_its_settings_only() -> None:
    assert find([ONE, TWO], "abc2", "s") is TWO
    assert find([ONE, TWO], "abc2", "t") is None
    assert find([ONE, TWO], "abc", "s") is None


def test_a_person_may_type_the_beginning_of_a_revision_in_any_case() -> None:
    assert matching([ONE, TWO], "ABC") == (ONE, TWO)
    assert matching([ONE, TWO], "abc1") == (ONE,)
    assert matching([ONE, TWO], "d") == ()
