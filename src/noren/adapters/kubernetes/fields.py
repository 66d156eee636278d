"""Reads and joins fields of the API server's objects, which leave out what is empty.

Used by the pure functions beside this; objects stay the plain data that came.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Json = dict[str, Any]


def table(thing: Json, *path: str) -> Json:
    """What lies at the path, {} when it is absent or null."""
    for key in path:
        thing = thing.get(key) or {}
    return thing


def items(thing: Json, *path: str) -> list[Json]:
    """The list that lies at the path, [] when it is absent or null."""
    found: list[Json] | None = table(thing, *path[:-1]).get(path[-1])
    return found or []


def selector(deployment: Json) -> str:
    """The labels of its pods, as a query."""
    return ",".join(f"{key}={value}" for key, value in table(deployment, "spec", "selector", "matchLabels").items())


def merged(parts: Iterable[Json]) -> Json:
    """One object of several; lists of named things are merged by name."""
    result: Json = {}
    for part in parts:
        result = _merged(result, part)
    return result


def _merge(a: Any, b: Any) -> Any:
    kind: str = type(a).__name__
    if a is None or b is None:
        return b if a is None else a
    if kind == "dict":
        return _merged(a, b)
    if kind == "list":
        items: list[Json] = [*a, *b]
        return [merged(i for i in items if i["name"] == name) for name in dict.fromkeys(i["name"] for i in items)]
    return b


def _merged(a: Json, b: Json) -> Json:
    return {key: _merge(a.get(key), b.get(key)) for key in {**a, **b}}
