"""The files of a repository as the recognisers see them: names, and the text of a few.

Made by ``checkout`` from Git's own list, so that nothing ignored or unversioned is taken for part of the site.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder of a repository: ``files`` are paths below ``root`` with /, ``read`` gives the text of one."""

    root: str
    files: frozenset[str]
    read: Callable[[str], str]

    def below(self, folder: str) -> Tree:
        """The same seen from a folder in it."""
        start = f"{folder}/"
        files = frozenset(file.removeprefix(start) for file in self.files if file.startswith(start))
        return Tree(posixpath.normpath(posixpath.join(self.root, folder)), files, lambda name: self.read(start + name))

    def first(self, *names: str) -> str | None:
        """The first of these files that is there."""
        return next((name for name in names if name in self.files), None)

    def text(self, name: str) -> str:
        """The text of a file, "" when it is not there."""
        return self.read(name) if name in self.files else ""

    def ending(self, end: str, deepest: int = 3) -> list[str]:
        """Files with this end, the shallowest first; tests and vendored code left out."""
        found = [file for file in self.files if file.endswith(end) and file.count("/") <= deepest]
        return sorted((file for file in found if not _ASIDE.search(file)), key=lambda file: (file.count("/"), file))

    def folders(self) -> list[str]:
        """Folders one and two deep."""
        names = {
            "/".join(file.split("/")[:depth]) for file in self.files for depth in (1, 2) if file.count("/") >= depth
        }
        return sorted(
            (name for name in names if not _ASIDE.search(name + "/")), key=lambda name: (name.count("/"), name)
        )

    def package(self, *tables: str) -> dict[str, str]:
        """These tables of package.json as one; empty when there is none that can be read."""
        try:
            found: object = json.loads(self.text("package.json") or "{}")
        except ValueError:
            return {}
        parts = [_table(_table(found).get(table)) for table in tables]
        return {key: str(value) for part in parts for key, value in part.items()}

    def mentions(self, word: str, names: Iterable[str]) -> bool:
        """Whether one of these files holds the word."""
        return any(re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", self.text(name)) for name in names)


def _table(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


_ASIDE = re.compile(r"(^|/)(\.[^/]+|tests?|test_[^/]*|node_modules|vendor|examples?|themes|testdata|fixtures)(/|$)")
