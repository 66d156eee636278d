"""The order of versions in tags: newest by number, not by date.

Asked by the Git adapter for the newest tag of a repository, and by ``schedule.consider`` whether a tag is older
than the one before. Numbers compare as numbers, a missing one is 0, and what follows them
(``-rc.1``, ``b2``) is a pre-release, older than the version itself: Semantic Versioning, taken loosely.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

_SEMANTIC = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:[-.]?([a-zA-Z].*)|-(.*))?")
_NUMBERS = re.compile(r"(\d+(?:[._-]\d+)*)[._-]?(.*)")

Version = tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...]]


def version(tag: str) -> Version | None:
    """What a tag compares by; None when it has no number. ``website/v1.2.0+build.7`` is 1.2.0."""
    name = tag.rpartition("/")[2]
    start = re.search(r"\d", name)
    text = name[start.start() :].partition("+")[0] if start else ""
    if match := _SEMANTIC.fullmatch(text):
        numbers, rest = match.groups()[:3], match[4] or match[5]
    elif match := _NUMBERS.fullmatch(text):
        numbers, rest = re.split(r"[._-]", match[1]), match[2]
    else:
        return None
    return _trimmed(int(n) for n in numbers), not rest, _words(rest or "")


def _trimmed(numbers: Iterable[int]) -> tuple[int, ...]:
    """1.2 is 1.2.0."""
    kept = list(numbers)
    while kept and not kept[-1]:
        kept.pop()
    return tuple(kept)


def _words(rest: str) -> tuple[tuple[bool, int, str], ...]:
    """``rc.10`` after ``rc9`` after ``beta``: numbers before words, as in Semantic Versioning."""
    words = re.findall(r"\d+|[a-z]+", rest.lower())
    return tuple((not word.isdigit(), int(word) if word.isdigit() else 0, word) for word in words)


def newest(tags: Iterable[str], pattern: str, prereleases: bool) -> str | None:
    """The tag with the newest version among those that match a pattern; None when none does."""
    found = [(v, tag) for tag in tags if fnmatchcase(tag, pattern) and (v := version(tag)) and (prereleases or v[1])]
    return max(found)[1] if found else None


def older(tag: str, than: str) -> bool:
    """Whether a tag is an older version than another one."""
    ours, theirs = version(tag), version(than)
    return ours is not None and theirs is not None and ours < theirs
