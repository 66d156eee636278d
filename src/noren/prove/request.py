"""What the loads ask and what they got: targets, requests, answers, and where requests come from.

A load calls its ``Requests`` once for each intended start; it decides method, path and id.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where to connect (TCP), the Host header, and the app that must answer (None: any)."""

    address: str = "127.0.0.1"
    port: int
    host: str = "localhost"
    app: str | None = None


@dataclass(slots=True)
class Request:
    """One request. ``once``: it must be executed exactly once, the app writes ``id`` into its own ledger."""

    id: str
    method: str = "GET"
    path: str = "/"
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    once: bool = False

    def encode(self, host: str) -> bytes:
        """Head and body as they go over the wire."""
        lines = [f"{self.method} {self.path} HTTP/1.1", f"Host: {host}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if self.body:
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "\r\n"]).encode("latin-1") + self.body


@dataclass(slots=True)
class Answer:
    """A complete answer; names of ``headers`` are lower case, ``body`` is empty where it went to a sink."""

    status: int
    headers: dict[str, str]
    body: bytes
    reusable: bool

    @property
    def release(self) -> str | None:
        """The release that answered, as ``website@42``."""
        return self.headers.get("x-noren-release")


Requests = Callable[[str, random.Random], Request]
"""(id, random) → the next request."""


def gets(*paths: str) -> Requests:
    """GETs of these paths in random order."""
    return lambda id, rng: Request(id, path=rng.choice(paths))


def posts(path: str = "/orders") -> Requests:
    """POSTs of ``{"id": …}`` that must be executed exactly once."""
    return lambda id, rng: Request(
        id, "POST", path, {"Content-Type": "application/json"}, json.dumps({"id": id}).encode(), once=True
    )


def mix(share: float, some: Requests, others: Requests) -> Requests:
    """``share`` (0..1) of the requests from ``some``, the rest from ``others``."""
    return lambda id, rng: (some if rng.random() < share else others)(id, rng)
