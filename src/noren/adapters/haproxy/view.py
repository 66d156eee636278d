"""What HAProxy knows, as data: map entries and servers. The same shape for what is wanted and what is there.

Made by the table (wanted) and read from the admin socket (found); the plan compares both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

ROUTES, ACTIVE, CANDIDATE, WEIGHT = "routes.map", "active.map", "candidate.map", "weight.map"
NAMES, HEADERS, SITES, CACHE_CONTROL = "names.map", "headers.map", "sites.map", "cache_control.map"
PREVIEWS, LOGINS = "previews.map", "logins.map"
MAPS = (ROUTES, ACTIVE, CANDIDATE, WEIGHT, NAMES, HEADERS, SITES, CACHE_CONTROL, PREVIEWS, LOGINS)

# Five releases at once (active, candidate, three retiring) of 51 apps; each costs 18 kB of memory.
SLOTS = 256
TAKEN_OVER = "successor"  # in the place of a slot: whatever is asked goes to the HAProxy that took over
TWINS = ("read", "write")

_MAINTENANCE, _DRAIN = 0x01 | 0x02 | 0x04 | 0x20 | 0x40, 0x08 | 0x10
_CHECK_ENABLED = 0x04
_SLOT = re.compile(r"s\d+-")


def slot_name(slot: int) -> str:
    """``s007``."""
    return f"s{slot:03}"


def slot_of(server: str) -> str:
    """``s007`` of ``s007-read/42-abc``."""
    return server.partition("-")[0]


class State(StrEnum):
    """The administrative state of a server."""

    READY = "ready"
    DRAIN = "drain"
    MAINTENANCE = "maint"


@dataclass(frozen=True, slots=True)
class ServerView:
    """A server in one twin. ``watched``: it is marked down at its first connection error, others can answer.

    ``arguments`` is what it is added with; empty where it was read, HAProxy does not tell it.
    """

    state: State = State.READY
    watched: bool = False
    arguments: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class View:
    """Entries by map, and servers by ``s007-read/42-abc``."""

    maps: Mapping[str, Mapping[str, str]]
    servers: Mapping[str, ServerView]


def parse_map(text: str) -> dict[str, str]:
    """``show map FILE``: a reference, the key, the rest of the line is the value."""
    entries: dict[str, str] = {}
    for line in text.split("\n"):  # a value may hold what else ends a line for Python
        if line.startswith("0x"):
            _, key, value = (*line.split(" ", 2), "")[:3]
            entries.setdefault(key, value)
    return entries


def parse_servers(text: str) -> dict[str, ServerView]:
    """``show servers state``: columns are named in the second line; only what has a slot is of an app."""
    lines = text.splitlines()
    header = next((line for line in lines if line.startswith("# ")), "# ")[2:].split()
    servers: dict[str, ServerView] = {}
    for line in lines:
        row = dict(zip(header, line.split(" "), strict=False))
        if line[:1].isdigit() and len(row) > 1 and _SLOT.match(row["be_name"]):
            servers[f"{row['be_name']}/{row['srv_name']}"] = _server(row)
    return servers


def _server(row: Mapping[str, str]) -> ServerView:
    admin = int(row["srv_admin_state"])
    state = State.MAINTENANCE if admin & _MAINTENANCE else State.DRAIN if admin & _DRAIN else State.READY
    return ServerView(state, bool(int(row["srv_check_state"]) & _CHECK_ENABLED))
