"""Reads a settings file as text and TOML, or says with line and column why it cannot.

Called by ``file`` and by ``location``; knows nothing of keys. Imports no pydantic: ``noren status``
needs only the state folder and should answer at once.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, cast

from noren.core.errors import SettingsError

_LIMIT = 1_000_000
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")

# What tomllib says, by its beginning, and what people meant.
_HINTS = (
    ("Invalid value", 'put text in quotes: key = "text"; yes and no are true and false'),
    ("Illegal character '\\n'", 'close the quote: key = "text"'),
    ("Unescaped '\\'", r"write text with a backslash in single quotes: 'C:\x'"),
    ("Expected '=' after a key", 'write key = "text"; a key with spaces or dots in quotes'),
    ("Expected ']' at the end", "close the name of the table: [apps.website]"),
    ("Cannot overwrite", "the key is there twice: remove one"),
    ("Cannot declare", "the table is there twice: put all its keys under one heading"),
    ("Unclosed array", 'close the list, with commas between: key = ["a", "b"]'),
    ("Unclosed inline table", 'close the table on the same line, with commas between: key = { a = "x", b = 3 }'),
    ("Invalid initial character", "keep a table in braces on one line, without a comma at its end"),
    ("Expected newline", "one key a line: the rest of this line belongs in the quotes, or behind #"),
)


def read(path: Path) -> str:
    """The text of a settings file; raises SettingsError."""
    try:
        if path.exists() and not path.is_file():
            raise SettingsError(f"{path} is not a file")
        with path.open("rb") as file:
            raw = file.read(_LIMIT + 1)
    except (OSError, ValueError) as exc:
        reason = (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
        raise SettingsError(f"{path} cannot be read", seen=reason, hint="check its name, owner and mode") from exc
    if len(raw) > _LIMIT:
        raise SettingsError(f"{path} is larger than 1 MB", hint="is this the right file?")
    return _text(path, raw)


def _text(path: Path, raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError as exc:
        line = raw.count(b"\n", 0, exc.start) + 1
        raise SettingsError(f"{path.name}:{line}: not UTF-8 text", seen=f"byte {raw[exc.start]:#04x}") from exc
    if not text.strip():
        raise SettingsError(f"{path} is empty", hint="was it caught half-written? `noren init` writes a first one")
    return text


def parse(path: Path, text: str) -> dict[str, Any]:
    """The TOML of a text; raises SettingsError."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise _syntax(path, text, str(exc)) from exc
    except (ValueError, RecursionError) as exc:
        raise SettingsError(f"{path} is beyond what can be read as TOML", seen=str(exc).split(":")[0]) from exc


def _syntax(path: Path, text: str, message: str) -> SettingsError:
    place = _PLACE.search(message)
    line, column = (place[1], place[2]) if place else (None, None)
    if line is None:
        line, column = str(text.count("\n") + 1), "end"
    source = text.split("\n")[int(line) - 1].strip()[:120]
    return SettingsError(
        f"{path.name}:{line}:{column}: not TOML: {_PLACE.sub('', message)}",
        seen="" if _secret(source) else source,
        hint="the file ends too early: was it caught half-written?" if column == "end" else _hint(message),
    )


def _hint(message: str) -> str:
    return next((hint for start, hint in _HINTS if message.startswith(start)), "")


def table(value: object) -> dict[str, Any]:
    """A value of the document that should be a table; an empty one when it is something else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def items(value: object) -> list[object]:
    """A value of the document that should be a list; an empty one when it is something else."""
    return [*cast("list[object]", value)] if isinstance(value, list | tuple) else []


def _secret(source: str) -> bool:
    return bool(re.search(r"secret|token|password|key|://[^/]*@", source, re.IGNORECASE))
