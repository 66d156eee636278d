"""What `noren prove` needs of settings and daemon to begin a trial: where the app listens, and how it is asked.

Called by main.py. ``prove`` itself knows neither settings nor HAProxy.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from noren.adapters.haproxy.addresses import Address
from noren.core.errors import UsageError
from noren.prove.catalogue import Shape
from noren.prove.request import Target
from noren.prove.rollouts import Daemon, Rollouts
from noren.prove.trial import Trial
from noren.settings.file import load
from noren.settings.location import find
from noren.settings.model import Server
from noren.settings.quantity import duration

if TYPE_CHECKING:
    from noren.cli.program import Proving

Json = dict[str, Any]


def trial(config: str | None, daemon: Daemon, asked: Proving, tell: Callable[[str], None]) -> Trial:
    """The trial that was asked for; raises UsageError for what it cannot be."""
    server = load(find(config, os.environ)).server
    bake = _seconds("--bake", asked.bake)
    rollouts = Rollouts(daemon=daemon, app=asked.app, restart=asked.restart, bake=bake or None)
    state = rollouts.state()
    target, prefix = _target(server, state)
    bystander, aside = _bystander(server, daemon, asked.bystander)
    shape = Shape(
        target=target,
        rate=asked.rate,
        paths=tuple(prefix + _path(path) for path in asked.paths),
        post=None if asked.post is None else prefix + _path(asked.post),
        bystander=bystander,
        aside=aside,
        idle=_seconds("--idle", asked.idle),
    )
    return Trial(
        rollouts=rollouts,
        shape=shape,
        loads=asked.loads,
        times=asked.rollouts,
        duration=_seconds("--duration", asked.duration) if asked.duration else 0.0,
        seed=asked.seed,
        orders=Path(server.state) / "data" / asked.app / "ledger",
        tell=tell,
    )


def _bystander(server: Server, daemon: Daemon, app: str | None) -> tuple[Target | None, str]:
    if app is None:
        return None, "/"
    target, prefix = _target(server, Rollouts(daemon=daemon, app=app).state())
    return target, f"{prefix}/"


def _target(server: Server, state: Json) -> tuple[Target, str]:
    """The app through the first public listener, and the path below which it lies."""
    if not state["urls"]:
        raise UsageError(f"{state['name']} has no host", hint="noren prove loads what the public listener serves")
    url = urlsplit(str(state["urls"][0]))
    address, port = Address.parse(server.listen[0]).reachable
    return Target(address=address, port=port, host=url.hostname or "", app=state["name"]), url.path.rstrip("/")


def _path(text: str) -> str:
    if not text.startswith("/"):
        raise UsageError(f"{text!r} is no path", hint="it begins with a slash: --path /about")
    return text


def _seconds(option: str, text: str) -> float:
    try:
        return duration(text)
    except ValueError as error:
        raise UsageError(f"{option} {error}", seen=text) from error
