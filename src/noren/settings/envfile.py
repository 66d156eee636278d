"""The file of secrets: ``KEY=VALUE`` lines, as shells and containers know them, without expansion.

Called by ``file``. Values never appear in an error: a line of this file is likely a secret.
"""

from __future__ import annotations

import re
from pathlib import Path

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_QUOTED = re.compile(r"""(?:"((?:[^"\\]|\\.)*)"|'([^']*)')\s*(?:\#.*)?""")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_LIMIT = 1_000_000


def reserved(name: str) -> str:
    """Why a variable may not be declared; "" when it may."""
    if not _NAME.fullmatch(name):
        return "must be a variable name: letters, digits and underscores"
    if name == "PORT" or name.startswith("NOREN_"):
        return "is set by Noren itself"
    return ""


def read(path: Path) -> tuple[dict[str, str], list[tuple[int, str]]]:
    """The variables, and what is wrong as (line, sentence); raises ValueError when the file cannot be read."""
    try:
        with path.open("rb") as file:
            raw = file.read(_LIMIT + 1)
    except OSError as exc:
        raise ValueError(f"cannot be read: {exc.strerror or exc}") from exc
    if len(raw) > _LIMIT:
        raise ValueError("is larger than 1 MB")
    try:
        return _parse(raw.decode().removeprefix("\ufeff"))
    except UnicodeDecodeError as exc:
        raise ValueError(f"is not UTF-8 text (byte {exc.start})") from exc


def _parse(text: str) -> tuple[dict[str, str], list[tuple[int, str]]]:
    variables: dict[str, str] = {}
    problems: list[tuple[int, str]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            name, value = _variable(line.strip())
            variables[name] = value
        except ValueError as exc:
            problems.append((number, str(exc)))
    return variables, problems


def _variable(line: str) -> tuple[str, str]:
    name, equals, value = line.removeprefix("export ").partition("=")
    if not equals:
        raise ValueError("has no =: write KEY=VALUE")
    if reason := reserved(name.strip()):
        raise ValueError(f"{name.strip()} {reason}" if reason.startswith("is") else f"the name {reason}")
    return name.strip(), _value(value.strip())


def _value(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a NUL byte")
    if text[:1] not in ("'", '"'):
        return re.split(r"\s+#", text, maxsplit=1)[0]
    match = _QUOTED.fullmatch(text)
    if match is None:
        raise ValueError("has a quote that does not end on its line, or text after it")
    if match[2] is not None:
        return match[2]
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), match[1])
