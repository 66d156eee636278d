"""The names that requests come in by: ``host`` or ``host/path``, and that no two apps claim one.

Called by ``tables`` for each entry and by ``rules`` for all apps together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_SEGMENT = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._~!$&'()*+,;=:@-]+")


def host(value: object) -> str:
    """The entry in its one spelling: host in lower case, no slash at the end; raises ValueError."""
    if not isinstance(value, str) or not value:
        raise ValueError('must be a host such as "example.org" or host and path such as "example.org/api"')
    if "://" in value:
        raise ValueError("must be a host without https://")
    name, _, path = value.partition("/")
    return "/".join([_name(name), *_segments(path)])


NUMBER = "{number}"


def preview_host(value: object) -> str:
    """As ``host``, with ``{number}`` in it once; raises ValueError."""
    if not isinstance(value, str) or value.count(NUMBER) != 1:
        raise ValueError('must be a host with {number} in it, such as "pr-{number}.example.org"')
    return host(value.replace(NUMBER, "4711")).replace("4711", NUMBER)


def previews(template: str) -> re.Pattern[str]:
    """Matches every host that a template of previews can become."""
    before, _, after = template.partition(NUMBER)
    return re.compile(rf"{re.escape(before)}[1-9][0-9]*{re.escape(after)}")


def _name(name: str) -> str:
    if not name.isascii():
        raise ValueError(f"must be written in ASCII{_punycode(name)}")
    if ":" in name:
        raise ValueError("must be a host without a port: the ports are those of [server] listen")
    lowered = name.lower().removesuffix(".")
    if len(lowered) > 253 or not all(_LABEL.fullmatch(label) for label in lowered.split(".")):
        raise ValueError("must be a host name: labels of letters, digits and inner dashes, joined by dots")
    return lowered


def _punycode(name: str) -> str:
    try:
        return f": {name.encode('idna').decode()}"
    except UnicodeError:
        return ""


def _segments(path: str) -> list[str]:
    path = path.removesuffix("/")
    if path and not all(_SEGMENT.fullmatch(segment) for segment in path.split("/")):
        raise ValueError("must have a path of plain segments, without empty ones, dots, queries or % escapes")
    return path.split("/") if path else []


def spelled(values: Iterable[object]) -> list[str | None]:
    """Each entry in its one spelling, None where it is no host: what is wrong is told elsewhere."""
    return [_spelled(value) for value in values]


def _spelled(value: object) -> str | None:
    try:
        return host(value)
    except ValueError:
        return None
