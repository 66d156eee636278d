"""The newest tag is the newest version."""

from __future__ import annotations

import random

import pytest

from noren.core.version import newest, older, version

IN_ORDER = [
    *("v0.9", "v1.0.0-alpha", "v1.0.0-alpha.1", "v1.0.0-beta.2", "v1.0.0-beta.11", "v1.0.0rc1", "v1.0.0", "v1.0.1"),
    *("v1.2", "v1.10.0", "v2.0.0.1", "v10.0"),
]


def test_versions_are_in_order_of_their_numbers() -> None:
    shuffled = random.Random(7).sample(IN_ORDER, len(IN_ORDER))
    assert sorted(shuffled, key=lambda tag: version(tag) or ()) == IN_ORDER


@pytest.mark.parametrize(
    ("tags", "pattern", "prereleases", "expected"),
    [
        (IN_ORDER, "v*", False, "v10.0"),
        (["v1.0.0", "v1.1.0-rc.1"], "v*", False, "v1.0.0"),
        (["v1.0.0", "v1.1.0-rc.1"], "v*", True, "v1.1.0-rc.1"),
        (["v1.1.0-rc.1"], "v*", False, None),
        (["api/v1.0", "web/v2.0"], "api/v*", False, "api/v1.0"),
        (["web2/v1.0", "web2/v1.1"], "web2/*", False, "web2/v1.1"),
        (["release-2026-11-25", "release-2026-09-30", "release-2026-11-3"], "release-*", False, "release-2026-11-25"),
        (["latest", "stable"], "*", True, None),
        (["v1.0.0+build.1", "v0.9.9+build.900"], "v*", False, "v1.0.0+build.1"),
        ([], "v*", False, None),
    ],
)
def test_the_newest_version_wins(tags: list[str], pattern: str, prereleases: bool, expected: str | None) -> None:
    assert newest(tags, pattern, prereleases) == expected


def test_older_is_told_by_version() -> None:
    assert older("v1.9", "v1.10")
    assert not older("v1.10", "v1.9")
    assert not older("v1.0", "v1.0.0")
    assert not older("latest", "v1.0")
