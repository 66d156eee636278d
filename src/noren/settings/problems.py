"""What is wrong with a settings file: collected, placed at lines, told all at once.

Filled by ``file``; turned into the one SettingsError that people read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from noren.core.errors import SettingsError
from noren.settings.positions import Path as Key


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One error: file name, line (from 1, 0: none), key as written, a sentence."""

    file: str
    line: int
    key: str
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.key}: {self.text}" if self.key else f"{place}: {self.text}"


def dotted(key: Iterable[str | int]) -> str:
    """A key as it could be written in TOML; indices are left out."""
    parts = [part for part in key if isinstance(part, str)]
    return ".".join(part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else _quoted(part) for part in parts)


def _quoted(part: str) -> str:
    return '"' + part.encode("unicode_escape").decode().replace('"', '\\"')[:60] + '"'


@dataclass(slots=True)
class Problems:
    """The errors of one file so far, each once; ``lines`` has the line of each key."""

    path: Path
    lines: dict[Key, int]
    found: set[Problem] = field(default_factory=set[Problem])

    def add(self, key: Key, text: str) -> None:
        """Add an error of a key as it is in the merged apps: told where it was written, if need be in [defaults]."""
        written, line = self.locate(key)
        self.found.add(Problem(self.path.name, line, dotted(written), text))

    def add_elsewhere(self, file: Path, line: int, text: str) -> None:
        """Add an error of another file."""
        self.found.add(Problem(str(file), line, "", text))

    def locate(self, key: Key) -> tuple[Key, int]:
        """Where a key was written, and its line; for a missing key the nearest table above it."""
        place = self._known(key)
        if key[:1] == ("apps",) and len(key) > 2:
            default = ("defaults", *key[2:])
            above = self._known(default)
            if len(above) > max(1, len(place) - 1):
                return default, self.lines[above]
        return key, self.lines.get(place, 0)

    def _known(self, key: Key) -> Key:
        while key and key not in self.lines:
            key = key[:-1]
        return key

    def raise_any(self) -> None:
        """Raise SettingsError with all errors by line, if there are any."""
        if not self.found:
            return
        count = f"{len(self.found)} errors" if len(self.found) > 1 else "an error"
        listed = "\n".join(f"  {problem}" for problem in sorted(self.found))
        raise SettingsError(f"{self.path} has {count}", seen=f"\n{listed}")
