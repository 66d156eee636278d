"""``[defaults]`` laid under each app: tables merge deeply, lists replace, what does not fit its kind is left out.

Called by ``file`` before validation, so nothing here trusts the types it meets.
"""

from __future__ import annotations

from typing import Any

from noren.settings import document
from noren.settings.positions import Path as Key
from noren.settings.words import expanded

SHORT = {"build": "run", "ready": "path"}
FITS = {
    **dict.fromkeys(("run", "instances", "strategy", "surge"), ("process",)),
    **dict.fromkeys(("min_ready", "ready", "limits"), ("process", "kubernetes")),
    **dict.fromkeys(("static", "publish"), ("static",)),
    **dict.fromkeys(("image", "kubernetes"), ("kubernetes",)),
    "pull_requests": ("static", "process"),
}
# Of the table ``kubernetes``, by its mode.
UNFIT = {"adopt": frozenset({"port", "replicas", "env_from", "route"}), "own": frozenset({"repair"})}
_KINDS = frozenset(kind for kinds in FITS.values() for kind in kinds)


def unfit(kind: object) -> frozenset[str]:
    """The keys that mean nothing for a kind; none for a kind that is unknown."""
    return frozenset(key for key, kinds in FITS.items() if str(kind) in _KINDS and kind not in kinds)


def kind_of(table: dict[str, Any]) -> object:
    """``kind``, else process if ``run`` is set, else kubernetes if its table is there, else static."""
    implied = "process" if "run" in table else "kubernetes" if "kubernetes" in table else "static"
    return table.get("kind", implied)


def laid_under(app: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """The app with what it lacks from the defaults of its kind."""
    kind = app.get("kind") or defaults.get("kind") or kind_of({**defaults, **app})
    fitting = {key: value for key, value in defaults.items() if key not in unfit(kind)}
    return _merged(app, fitting)


def _merged(own: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    # The own keys first: the first pattern of cache_control that matches wins.
    result = dict(own)
    for key, value in base.items():
        if key not in own:
            result[key] = value
        elif isinstance(own[key], dict):
            result[key] = _merged(own[key], document.table(value))
    return result


def expand(table: dict[str, Any], place: Key, lines: dict[Key, int]) -> dict[str, Any]:
    """Short forms as tables; their keys get the line of the short form."""
    result = dict(table)
    for name, key in SHORT.items():
        if isinstance(table.get(name), str):
            result[name] = expanded(key, table[name])
            lines[*place, name, key] = lines[*place, name]
    return result
