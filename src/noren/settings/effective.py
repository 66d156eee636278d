"""The settings as they take effect, written as TOML: every default filled in, no secret in it.

Called by main.py for ``noren check``. The text is itself a settings file that means the same; only
the variables of ``env_file`` are comments, with their values masked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from noren.core.model import App, Kind
from noren.core.source import WATCHED
from noren.settings.defaults import UNFIT, unfit
from noren.settings.document import items, table
from noren.settings.model import Server, Settings
from noren.settings.quantity import write_duration, write_size

_DURATIONS = frozenset(
    (
        *("keep_warm", "min_ready", "timeout", "interval", "deadline", "bake_time"),
        *("requests", "connections", "grace", "poll", "ttl", "pre_stop"),
    )
)
_SIZES = frozenset({"memory", "log"})
_INTERNAL = frozenset({"name", "secrets", "credentials", "preview"})
_HIDDEN = frozenset({"login", "secrets"})


def effective(settings: Settings) -> str:
    """TOML text of the effective settings."""
    parts = [f"# effective settings of {_comment(str(settings.path))}", *_server(settings.server)]
    if any(asdict(settings.notify).values()):
        parts += ["", *_lines("notify", asdict(settings.notify))]
    for app in settings.apps.values():
        parts += ["", *_app(app)]
    return "\n".join(parts) + "\n"


def _comment(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f]", "?", text)


def _server(server: Server) -> Iterator[str]:
    values = asdict(server) | {"ports": "{}-{}".format(*server.ports)}
    yield from _lines("server", values)


def _app(app: App) -> Iterator[str]:
    values = {key: value for key, value in asdict(app).items() if key not in _INTERNAL | unfit(app.kind)}
    if app.repo.startswith(WATCHED):
        del values["repo"]
    values |= asdict(app.credentials) | {"env": dict(app.env)}
    if app.kind is Kind.STATIC:
        values["static"] |= {"cache_control": dict(app.static.cache_control)}
    if app.kubernetes is not None:
        values["kubernetes"] = {k: v for k, v in asdict(app.kubernetes).items() if k not in UNFIT[app.kubernetes.mode]}
    if app.pull_requests is not None:
        values["pull_requests"] = {k: v for k, v in asdict(app.pull_requests).items() if k not in _HIDDEN}
    yield from _lines(f"apps.{app.name}", values)
    for name, _ in app.secrets:
        yield f'# from env_file: {name} = "***"'
    for name, _ in app.pull_requests.secrets if app.pull_requests else ():
        yield f'# from pull_requests.env_file: {name} = "***"'


def _lines(name: str, values: Mapping[str, Any]) -> Iterator[str]:
    yield f"[{name}]"
    tables = {key: table(value) for key, value in values.items() if table(value)}
    for key, value in values.items():
        if key == "poll" and value is None:
            yield 'poll = "off"'
        elif key not in tables and value not in (None, (), {}):
            yield f"{_key(key)} = {_value(key, value)}"
    for key, inner in tables.items():
        yield from _lines(f"{name}.{_key(key)}", inner)


def _key(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else _string(text)


def _value(key: str, value: Any) -> str:
    if listed := items(value):
        return "[" + ", ".join(_string(str(item)) for item in listed) + "]"
    if isinstance(value, str):
        return _string(value)
    if key in _DURATIONS:
        return _string(write_duration(value))
    return _string(write_size(value)) if key in _SIZES else json.dumps(value)


def _string(text: str) -> str:
    # JSON's strings are TOML's basic strings, but for DEL, which TOML wants escaped, and for surrogate pairs.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
