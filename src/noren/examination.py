"""Everything that ``noren doctor`` looks at, in order: settings, programs, ports, disk, limits.

Called by main.py; beside daemon.py because it knows both the settings and the adapters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from noren.adapters import host
from noren.core.diagnosis import Finding, Level
from noren.core.errors import NorenError
from noren.daemon import caddy_binary
from noren.settings.file import load
from noren.settings.model import Server


def examine(find: Callable[[], Path], running: bool) -> list[Finding]:
    """All findings; ``find`` gives the settings file or raises SettingsError. Changes nothing on the host."""
    settings, server = _settings(find)
    return [settings, *_host(server, running)]


def _settings(find: Callable[[], Path]) -> tuple[Finding, Server]:
    usual = Server(state=str(Path(".noren").absolute()))
    try:
        path = find()
    except NorenError as exc:
        return Finding("settings", Level.RISK, f"{exc.what}: the defaults are examined", exc.hint), usual
    try:
        settings = load(path)
    except NorenError as exc:
        seen = " ".join(f"{exc.what} {exc.seen}".split())
        return Finding("settings", Level.BAD, seen, exc.hint or "noren check"), usual
    apps = f"{len(settings.apps)} app" + ("" if len(settings.apps) == 1 else "s")
    return Finding("settings", Level.FINE, f"{path}: {apps}"), settings.server


def _host(server: Server, running: bool) -> Iterator[Finding]:
    yield from host.programs(server.haproxy, caddy_binary)
    for address in server.listen:
        yield host.public(address, running=running)
    yield host.ports(*server.ports)
    yield from host.folder(Path(server.state))
    yield from host.limits()
