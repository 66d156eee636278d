"""Reads fields of the API server's objects, which leave out what is empty.

Used by the pure functions beside this; objects stay the plain data that came.
"""

from __future__ import annotations

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
