"""The table as a file: what was routed last, for a daemon that starts where no HAProxy runs any more.

Called by the proxy at its start and at each change.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from noren.adapters.haproxy.table import Table
from noren.core.forge import Preview
from noren.core.model import Backend, Routing, Server


def dump(table: Table) -> str:
    """As JSON."""
    whole = {"routings": list(table.routings.values()), "slots": table.slots, "last": table.last}
    return msgspec.json.encode(whole).decode()


def load(text: str) -> Table:
    """From JSON; raises ValueError, KeyError or TypeError when it is none of ours."""
    data = json.loads(text)
    routings = [_routing(each) for each in data["routings"]]
    return Table({routing.app: routing for routing in routings}, dict(data["slots"]), int(data["last"]))


def _routing(data: dict[str, Any]) -> Routing:
    data["hosts"] = tuple(data["hosts"])
    data["backends"] = tuple(_backend(each) for each in data["backends"])
    data["preview"] = Preview(**data["preview"]) if data.get("preview") else None
    return Routing(**data)


def _backend(data: dict[str, Any]) -> Backend:
    data["servers"] = tuple(Server(**each) for each in data["servers"])
    data["cache_control"] = tuple((glob, value) for glob, value in data["cache_control"])
    return Backend(**data)
