"""The loads L1 to L9 by name, each in its shape, for one app: what `noren prove --load` and campaigns run.

L1, L2, L3, L7, L8 and L9 suit any app. L4, L5 and L6 need what ``examples/ledger`` answers: /stream, /upload, /download
and a WebSocket at /ws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from noren.core.errors import UsageError
from noren.prove.checks import Check
from noren.prove.downloads import Downloads
from noren.prove.hostile import Hostile
from noren.prove.keepalive import KeepAlive, NewConnection
from noren.prove.load import Load
from noren.prove.race import KeepAliveRace
from noren.prove.request import Requests, Target, gets, mix, posts
from noren.prove.streams import Streams
from noren.prove.uploads import Uploads

WORDS = {
    "L1": "a new connection for each request",
    "L2": "kept-alive connections, reads and writes",
    "L3": "gaps around the app's idle time-out",
    "L4": "event streams of 20 s",
    "L5": "uploads and downloads, compared by hash",
    "L6": "WebSockets that echo",
    "L7": "HTTP/2 in clear text, many streams a connection",
    "L8": "clients that drip, read slowly, half-close and pipeline",
    "L9": "another app that is not touched: the bystander",
}
MB = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What the loads ask: ``paths`` by GET and, if any, ``post`` by POST; ``rate`` is that of the whole, per second.

    ``bystander`` is the target of L9, ``aside`` its path. ``idle``, for L3: seconds after which the app closes an idle
    connection.
    """

    target: Target
    rate: float
    paths: tuple[str, ...] = ("/",)
    post: str | None = None
    bystander: Target | None = None
    aside: str = "/"
    idle: float = 5.0
    check: Check | None = None

    @property
    def reads(self) -> Requests:
        """GETs."""
        return gets(*self.paths)

    @property
    def writes(self) -> Requests:
        """POSTs if there may be any, else GETs."""
        return posts(self.post) if self.post else self.reads

    @property
    def mixed(self) -> Requests:
        """70 % reads, 30 % writes."""
        return mix(0.7, self.reads, self.writes)


def loads(names: tuple[str, ...], shape: Shape) -> list[Load]:
    """The loads of these names; those of short requests share the rate. Raises UsageError for a name that is none."""
    unknown = [name for name in names if name not in _MAKERS]
    if unknown:
        raise UsageError(f"no load is named {', '.join(unknown)}", hint=f"one of {', '.join(_MAKERS)}")
    short = [name for name in names if name in _SHORT]
    share = shape.rate / len(short) if short else shape.rate
    return [load for name in names for load in _MAKERS[name](name, shape, share)]


_Maker = Callable[[str, Shape, float], list[Load]]
_SHORT = ("L1", "L2", "L7", "L9")


def _l1(name: str, shape: Shape, rate: float) -> list[Load]:
    requests, check = shape.reads, shape.check
    return [NewConnection(name=name, target=shape.target, rate=rate, requests=requests, check=check)]


def _l2(name: str, shape: Shape, rate: float) -> list[Load]:
    return [KeepAlive(name=name, target=shape.target, rate=rate, requests=shape.mixed, check=shape.check)]


def _l3(name: str, shape: Shape, _: float) -> list[Load]:
    more: dict[str, Any] = {"reads": shape.reads, "writes": shape.writes, "check": shape.check}
    return [KeepAliveRace(name=name, target=shape.target, idle=shape.idle, clients=20, **more)]


def _l4(name: str, shape: Shape, _: float) -> list[Load]:
    return [Streams(name=name, target=shape.target, rate=0.5)]


def _l5(name: str, shape: Shape, _: float) -> list[Load]:
    more: dict[str, Any] = {"target": shape.target, "rate": 0.25, "size": 8 * MB, "speed": 2.0 * MB}
    return [Uploads(name=f"{name}-up", **more), Downloads(name=f"{name}-down", **more)]


def _l6(name: str, shape: Shape, _: float) -> list[Load]:
    return [_optional("sockets").WebSockets(name=name, target=shape.target, clients=50)]


def _l7(name: str, shape: Shape, rate: float) -> list[Load]:
    requests, check = shape.mixed, shape.check
    return [_optional("http2").Http2(name=name, target=shape.target, rate=rate, requests=requests, check=check)]


def _l8(name: str, shape: Shape, _: float) -> list[Load]:
    return [Hostile(name=name, target=shape.target, rate=2.0, requests=shape.reads, check=shape.check)]


def _l9(name: str, shape: Shape, rate: float) -> list[Load]:
    if shape.bystander is None:
        raise UsageError("L9 needs another app of the same daemon", hint="--bystander APP")
    return [KeepAlive(name=name, target=shape.bystander, rate=rate, requests=gets(shape.aside))]


def _optional(module: str) -> Any:
    """A load whose package only those have who asked for it."""
    try:
        return import_module(f"noren.prove.{module}")
    except ImportError as error:
        raise UsageError(
            "this load needs a package that is not installed", seen=str(error), hint="pip install 'noren[prove]'"
        ) from error


_MAKERS: dict[str, _Maker] = {
    **{"L1": _l1, "L2": _l2, "L3": _l3, "L4": _l4, "L5": _l5},
    **{"L6": _l6, "L7": _l7, "L8": _l8, "L9": _l9},
}
