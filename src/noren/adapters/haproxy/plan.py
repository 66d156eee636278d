"""Compares what HAProxy should know with what it knows: commands as data.

Called by the proxy for each change and after each start. Order matters: servers in before maps name them,
maps before servers go out, and a candidate's weight only while its slot is named.
"""

from __future__ import annotations

from dataclasses import dataclass

from noren.adapters.haproxy.runtime import word
from noren.adapters.haproxy.view import (
    ACTIVE,
    CACHE_CONTROL,
    CANDIDATE,
    HEADERS,
    LOGINS,
    NAMES,
    PREVIEWS,
    ROUTES,
    SITES,
    WEIGHT,
    ServerView,
    State,
    View,
)

# What is looked up by slot first, then what leads to a slot, and the way in last; taken away the other way round.
_FILL = (NAMES, SITES, CACHE_CONTROL, HEADERS, LOGINS, PREVIEWS, CANDIDATE, ACTIVE, WEIGHT, ROUTES)
_CLEAR = (ROUTES, WEIGHT, CANDIDATE, ACTIVE, PREVIEWS, LOGINS, HEADERS, CACHE_CONTROL, SITES, NAMES)


@dataclass(frozen=True, slots=True)
class Plan:
    """Commands to run in the order of the fields; ``gone`` are servers to take out (``s007-read/42-abc``)."""

    servers: tuple[str, ...] = ()
    maps: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.servers or self.maps or self.gone)


def plan(wanted: View, found: View, *, clear: bool = True) -> Plan:
    """What turns ``found`` into ``wanted``; empty when nothing is to do.

    Without ``clear``, what is there beyond ``wanted`` stays: it may be of apps that are not in the table yet.
    """
    servers = [
        command for name, server in wanted.servers.items() for command in _server(name, server, found.servers.get(name))
    ]
    filled = [command for name in _FILL for command in _fill(name, wanted, found)]
    cleared = [command for name in _CLEAR for command in _clear(name, wanted, found)] if clear else []
    gone = [name for name in found.servers if name not in wanted.servers] if clear else []
    return Plan(tuple(servers), (*filled, *cleared), tuple(gone))


def _server(name: str, wanted: ServerView, found: ServerView | None) -> list[str]:
    commands: list[str] = []
    if found is None:
        commands.append(f"add server {name} {wanted.arguments}")
        found = ServerView(State.MAINTENANCE)
    if wanted.watched != found.watched:
        commands += [f"enable health {name}"] if wanted.watched else [f"disable health {name}", _up(name)]
    if wanted.state != found.state:
        commands.append(f"set server {name} state {wanted.state}")
    return commands


def _up(name: str) -> str:
    # Marked down while it was watched, it would stay so for ever once nothing checks it.
    return f"set server {name} health up"


def _fill(name: str, wanted: View, found: View) -> list[str]:
    there = found.maps.get(name, {})
    return [
        f"{'set' if key in there else 'add'} map {name} {word(key)} {word(value)}"
        for key, value in wanted.maps.get(name, {}).items()
        if there.get(key) != value
    ]


def _clear(name: str, wanted: View, found: View) -> list[str]:
    keep = wanted.maps.get(name, {})
    return [f"del map {name} {word(key)}" for key in found.maps.get(name, {}) if key not in keep]
