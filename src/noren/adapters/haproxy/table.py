"""All routings and the slots of their backends: what HAProxy should know, whole, at any time.

Held by the proxy, rendered into the files before each start, compared with the running HAProxy at each change,
and kept as a file so that a restart of the whole machine starts with what was routed last. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from noren.adapters.haproxy.glob import expression
from noren.adapters.haproxy.view import (
    ACTIVE,
    CACHE_CONTROL,
    CANDIDATE,
    HEADERS,
    LOGINS,
    MAPS,
    NAMES,
    PREVIEWS,
    ROUTES,
    SITES,
    SLOTS,
    TWINS,
    WEIGHT,
    ServerView,
    State,
    View,
    slot_name,
)
from noren.address import LONGEST
from noren.core.errors import TrafficError
from noren.core.model import Backend, Routing, Server

DEEPEST = 8
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_./+-]*")  # nothing that HAProxy's own words are made of
_NOBODY = "-"  # no digest: a login whose variable is missing lets nobody in
_WATCH = "check inter 2s fastinter 200ms downinter 200ms fall 2 rise 1 observe layer4 error-limit 1 on-error mark-down"


@dataclass(frozen=True, slots=True)
class Table:
    """Routings by app, slots by name of backend; ``last`` is the slot given out last: a freed one rests longest."""

    routings: Mapping[str, Routing] = field(default_factory=dict[str, Routing])
    slots: Mapping[str, int] = field(default_factory=dict[str, int])
    last: int = SLOTS - 1

    def put(self, routing: Routing, busy: Collection[str] = ()) -> Table:
        """The table with this routing instead of the app's old one; ``busy`` slots are not given out yet."""
        routings = {app: old for app, old in self.routings.items() if app != routing.app}
        if routing.hosts or routing.backends:
            routings[routing.app] = _checked(routing)
        names = [backend.name for each in routings.values() for backend in each.backends]
        table = Table(routings, {name: slot for name, slot in self.slots.items() if name in names}, self.last)
        for name in names:
            table = table if name in table.slots else table._give(name, busy)
        return table

    def _give(self, name: str, busy: Collection[str]) -> Table:
        used = {slot_name(slot) for slot in self.slots.values()} | set(busy)
        for step in range(1, SLOTS + 1):
            slot = (self.last + step) % SLOTS
            if slot_name(slot) not in used:
                return replace(self, slots={**self.slots, name: slot}, last=slot)
        raise TrafficError(
            f"all {SLOTS} backends of the proxy are in use", seen=f"no room for {name}", hint="retire old releases"
        )

    def slot(self, name: str) -> str:
        """The slot of a backend, as HAProxy names it."""
        return slot_name(self.slots[name])

    def backends(self, app: str) -> tuple[Backend, ...]:
        """The backends of an app."""
        return self.routings[app].backends if app in self.routings else ()

    def view(self, draining: Collection[str] = ()) -> View:
        """What HAProxy should know; ``draining`` instances get no new requests whatever their routing says."""
        maps: dict[str, dict[str, str]] = {name: {} for name in MAPS}
        servers: dict[str, ServerView] = {}
        for routing in self.routings.values():
            for name, key, value in self._entries(routing):
                maps[name].setdefault(key, value)
            for backend in routing.backends:
                servers.update(self._servers(backend, draining))
        return View(maps, servers)

    def _entries(self, routing: Routing) -> Iterator[tuple[str, str, str]]:
        for host in routing.hosts:
            yield ROUTES, *route(host, routing.app)
        if routing.release_header:
            yield HEADERS, routing.app, "1"
        if routing.preview:
            yield PREVIEWS, routing.app, "1"
        if routing.preview and routing.preview.login is not None:
            yield LOGINS, routing.app, routing.preview.login or _NOBODY
        if routing.active:
            yield ACTIVE, routing.app, self.slot(routing.active)
        if routing.candidate and routing.weight > 0:
            yield CANDIDATE, routing.app, self.slot(routing.candidate)
            yield WEIGHT, routing.app, str(round(routing.weight * 10000))
        for backend in routing.backends:
            yield from self._labels(backend)

    def _labels(self, backend: Backend) -> Iterator[tuple[str, str, str]]:
        slot = self.slot(backend.name)
        yield NAMES, slot, f"{backend.app}@{backend.release}"
        if backend.site is not None:
            yield SITES, slot, backend.site
            for glob, value in backend.cache_control:
                yield CACHE_CONTROL, expression(slot, glob), value

    def _servers(self, backend: Backend, draining: Collection[str]) -> Iterator[tuple[str, ServerView]]:
        slot = self.slot(backend.name)
        stopped = {server.instance for server in backend.servers if server.draining or server.instance in draining}
        going = [server for server in backend.servers if server.instance not in stopped]
        others = len({server.instance for server in going}) > 1
        for server in (*backend.servers, *_last_resort(backend, going)):
            state = State.DRAIN if server.instance in stopped else State.READY
            watched = others and state is State.READY and watchable(backend, server)
            for twin in TWINS:
                yield f"{slot}-{twin}/{name_of(server)}", ServerView(state, watched, _arguments(backend, server, twin))


def route(host: str, app: str) -> tuple[str, str]:
    """``Shop.example/api`` is found by the key ``shop.example/api/``; its value tells how many segments to strip."""
    name, _, path = host.partition("/")
    prefix = f"/{path.strip('/')}" if path.strip("/") else ""
    depth = prefix.count("/")
    return f"{name.partition(':')[0].lower()}{prefix}/", f"{app}|{depth}|{prefix}" if depth else app


def name_of(server: Server) -> str:
    """``42-abc``, a backup ``42-abc.b``: what answered is read from its first part, its role from the last."""
    return f"{server.release}-{word_of(server.instance)}{'.b' if server.backup else ''}"


def word_of(instance: str) -> str:
    """The id of an instance as HAProxy takes it in a name."""
    return re.sub(r"[^A-Za-z0-9_:-]", "_", instance)


def instance_of(name: str) -> str:
    """``abc`` of ``42-abc`` and of ``42-abc.b``."""
    return name.partition("-")[2].removesuffix(".b")


def _last_resort(backend: Backend, going: Sequence[Server]) -> list[Server]:
    """Where no other release stands by, servers stand in for themselves, and drain as such.

    HAProxy marks a server down at one connection error, and one that it does not check, for there is no other, for
    ever: a queue of connections that was full for a moment would be the end of the app.
    """
    if any(server.backup for server in going):
        return []
    return [replace(server, backup=True) for server in backend.servers if watchable(backend, server)]


def watchable(backend: Backend, server: Server) -> bool:
    """Whether it can be marked down: the one file server is waited for, and a backup is the last resort."""
    return backend.site is None and not server.backup


def _arguments(backend: Backend, server: Server, twin: str) -> str:
    words = [_within_reach(server.address)]
    words += ["backup"] if server.backup else []
    words += [_WATCH] if watchable(backend, server) else []
    # Only reads of apps use a connection again: an app's idle close would hit a POST, and a file server that dies
    # closes more of them at once than a read has tries.
    words += ["pool-max-conn 0"] if twin == "write" or backend.site is not None else []
    return " ".join(words)


def _within_reach(address: str) -> str:
    """HAProxy takes no long path and no space in one, but runs in a folder beside that of Caddy's socket."""
    path = address.removeprefix("unix@")
    if path == address or (len(path) <= LONGEST and _PLAIN_PATH.fullmatch(path)):
        return address
    return f"unix@../{'/'.join(path.split('/')[-2:])}"


def _checked(routing: Routing) -> Routing:
    names = {backend.name for backend in routing.backends}
    for name in (routing.active, routing.candidate):
        if name is not None and name not in names:
            raise TrafficError(f"the routing of {routing.app} names a backend that it does not have", seen=name)
    for host in routing.hosts:
        if host.strip("/").count("/") > DEEPEST:
            raise TrafficError(f"{host} has too many path segments", hint=f"use at most {DEEPEST}")
    return routing
