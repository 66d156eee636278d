"""Where each key of a TOML text stands, so that every error can name its line.

Called by ``file``. tomllib gives no positions, and neither does tomlkit for a parsed document, so
this walks the text once more. The text has passed tomllib before: here it is only split at keys
and values, never judged. A path is the tuple of keys and, within arrays, of indices.
"""

from __future__ import annotations

import re
import tomllib

Path = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r"[A-Za-z0-9_-]+|\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'")
_STRING = re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'', re.DOTALL)
_SCALAR = re.compile(r"[^,\]}\n#]+")


def key_lines(text: str) -> dict[Path, int]:
    """The line (from 1) on which each key or array item of a valid TOML text is first named."""
    walk = _Walk(text)
    walk.document()
    return walk.lines


class _Walk:
    """One pass over a text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Path, int] = {}
        self._last_item: dict[Path, int] = {}  # of each [[array of tables]]
        self._counted = (0, 1)  # an offset and its line

    def document(self) -> None:
        table: Path = ()
        self._skip(_BLANK)
        while self.at < len(self.text):
            if self._take("["):
                table = self._header()
            else:
                self._pair(table)
            self._skip(_BLANK)

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise ValueError(f"no TOML at offset {self.at}")
        self.at = match.end()
        return match[0]

    def _take(self, character: str) -> bool:
        self._skip(_BLANK)
        found = self.text.startswith(character, self.at)
        self.at += found
        return found

    def _mark(self, path: Path) -> Path:
        """Note the line of what was just read or comes next."""
        offset, line = self._counted
        line += self.text.count("\n", offset, self.at)
        self._counted = (self.at, line)
        self.lines.setdefault(path, line)
        return path

    def _header(self) -> Path:
        array = self.text.startswith("[", self.at) and self._take("[")
        path = self._keys(())
        self._take("]")
        if not array:
            return path
        self._take("]")
        self._last_item[path] = self._last_item.get(path, -1) + 1
        return self._mark((*path, self._last_item[path]))

    def _keys(self, path: Path) -> Path:
        while True:
            if path in self._last_item:
                path = (*path, self._last_item[path])
            self._skip(_BLANK)
            path = self._mark((*path, self._key()))
            if not self._take("."):
                return path

    def _key(self) -> str:
        raw = self._skip(_KEY)
        return tomllib.loads(f"key = {raw}")["key"] if raw[0] in "\"'" else raw

    def _pair(self, table: Path) -> None:
        path = self._keys(table)
        self._take("=")
        self._value(path)

    def _value(self, path: Path) -> None:
        self._skip(_BLANK)
        if self._take("["):
            self._array(path)
        elif self._take("{"):
            while not self._take("}"):
                self._pair(path)
                self._take(",")
        else:
            self._skip(_STRING if self.text[self.at] in "\"'" else _SCALAR)

    def _array(self, path: Path) -> None:
        index = 0
        while not self._take("]"):
            self._mark((*path, index))
            self._value((*path, index))
            self._take(",")
            index += 1
