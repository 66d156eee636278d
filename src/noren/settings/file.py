"""``noren.toml`` → Settings: the one way in. Tells every error at once, each with its line.

Called by main.py at the start, at ``noren check`` and at ``noren reload``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from noren.core.errors import SettingsError
from noren.core.model import Notifications
from noren.settings import defaults, document, outside, rules
from noren.settings.app import effective_app
from noren.settings.document import table
from noren.settings.explain import sentence
from noren.settings.location import STATE
from noren.settings.model import Server, Settings
from noren.settings.outside import Outside
from noren.settings.positions import Path as Key
from noren.settings.positions import key_lines
from noren.settings.problems import Problems
from noren.settings.tables import File, ServerTable


def load(path: Path) -> Settings:
    """Read and check a settings file and the files it names; raises SettingsError that lists all errors."""
    path = path.absolute()
    text = document.read(path)
    try:
        return _checked(path, document.parse(path, text), text)
    except RecursionError as exc:
        raise SettingsError(f"{path} is nested too deeply") from exc


def _checked(path: Path, raw: dict[str, Any], text: str) -> Settings:
    problems = Problems(path, key_lines(text))
    merged = _merged(raw, problems.lines)
    apps = {name: table(value) for name, value in table(merged.get("apps")).items() if table(value) is value}
    found = {name: _app(name, app, problems) for name, app in apps.items()}
    host = (*rules.server(table(merged.get("server"))), *rules.notify(table(merged.get("notify"))))
    for key, sentence_ in (*rules.claims(apps), *rules.previews(apps), *host):
        problems.add(key, sentence_)
    outside.look_host(table(merged.get("notify")), problems)
    file = _validated(merged, problems)
    problems.raise_any()
    return _settings(path, file, found)


def _merged(raw: dict[str, Any], lines: dict[Key, int]) -> dict[str, Any]:
    merged = dict(raw)
    base = defaults.expand(table(raw.get("defaults")), ("defaults",), lines)
    if isinstance(raw.get("apps"), dict):
        merged["apps"] = {name: _with(base, name, app, lines) for name, app in table(raw["apps"]).items()}
    return merged


def _with(base: dict[str, Any], name: str, app: object, lines: dict[Key, int]) -> object:
    own = table(app)
    if own is not app:
        return app
    return defaults.laid_under(defaults.expand(own, ("apps", name), lines), base)


def _app(name: str, app: dict[str, Any], problems: Problems) -> Outside:
    for key, text in rules.app(app):
        problems.add(("apps", name, *key), text)
    return outside.look(app, ("apps", name), problems)


def _validated(merged: dict[str, Any], problems: Problems) -> File:
    try:
        return File.model_validate(merged)
    except ValidationError as exc:
        for error in exc.errors():
            key: Key = tuple(part for part in error["loc"] if part != "[key]")
            problems.add(key, sentence(error))
        problems.raise_any()
        raise SettingsError(f"{problems.path} is not valid", seen=str(exc)) from exc


def _settings(path: Path, file: File, found: dict[str, Outside]) -> Settings:
    apps: dict[str, Any] = file.written().get("apps", {})
    return Settings(
        path=path,
        server=_server(path.parent, file.server if "server" in file.model_fields_set else ServerTable()),
        notify=Notifications(**_notify(path.parent, file)),
        apps={name: effective_app(name, app, found[name]) for name, app in apps.items()},
    )


def _notify(folder: Path, file: File) -> dict[str, Any]:
    written = file.notify.written() if "notify" in file.model_fields_set else {}
    if "apprise_file" in written:
        written["apprise_file"] = str(folder / written["apprise_file"])
    return written


def _server(folder: Path, server: ServerTable) -> Server:
    written = server.written()
    written["state"] = str(folder / written.get("state", STATE))
    if "listen" in written:
        written["listen"] = tuple(written["listen"])
    if "haproxy" in written:
        written["haproxy"] = str(folder / written["haproxy"])
    return Server(**written)
