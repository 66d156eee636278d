"""Pydantic's errors in our words: what was expected, what was seen, and what was probably meant.

Called by ``file`` for each error. Values that may be secret are not repeated.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping

from pydantic_core import ErrorDetails

from noren.settings import tables

_TEXTS = {
    "missing": "is missing",
    "string_type": "must be a string",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "too_short": "must have at least one entry",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "value_error": "{error}",
    "string_pattern_mismatch": "must be a name: a-z first, then a-z, 0-9 and dashes, at most 40 characters",
}
_SECTIONS: Mapping[str, type[tables.Table]] = {
    "build": tables.BuildTable,
    "static": tables.StaticTable,
    "triggers": tables.TriggersTable,
    "webhook": tables.WebhookTable,
    "forge": tables.ForgeTable,
    "pull_requests": tables.PullRequestsTable,
    "ready": tables.ReadyTable,
    "verify": tables.VerifyTable,
    "drain": tables.DrainTable,
    "limits": tables.LimitsTable,
    "kubernetes": tables.KubernetesTable,
}
_LATER_TRIGGERS = ("image",)


def sentence(error: ErrorDetails) -> str:
    """What is wrong with the key of an error."""
    if error["type"] == "extra_forbidden":
        return _unknown(error["loc"])
    text = _TEXTS.get(error["type"], error["msg"]).format(**error.get("ctx", {}))
    return text + _seen(error)


def _seen(error: ErrorDetails) -> str:
    value = error["input"]
    if error["type"] in ("missing", "string_pattern_mismatch") or "env" in error["loc"]:
        return ""
    if isinstance(value, dict | list):
        return f" (seen: a {'table' if isinstance(value, dict) else 'list'})"
    shown = json.dumps(value, ensure_ascii=False, default=str)
    return f" (seen: {shown[:80]})" if "@" not in shown else ""


def _unknown(place: tuple[int | str, ...]) -> str:
    key = str(place[-1])
    if place[-2:-1] == ("triggers",) and key in _LATER_TRIGGERS:
        return "is not yet supported"
    meant = _meant(key, place[:-1])
    return f"is no setting; did you mean {meant}?" if meant else "is no setting"


def _meant(key: str, table: tuple[int | str, ...]) -> str:
    inside = table[1:] if table[:1] == ("defaults",) else table[2:] if table[:1] == ("apps",) else table
    if not table:
        return _close(key, tables.File.model_fields)
    if table == ("server",):
        return _close(key, tables.ServerTable.model_fields)
    if table == ("notify",):
        return _close(key, tables.NotifyTable.model_fields)
    if inside:
        section = _SECTIONS[str(inside[0])]
        return _close(key, section.model_fields) or _nested(key)
    return _close(key, tables.AppTable.model_fields) or _nested(key)


def _nested(key: str) -> str:
    return next((f"{name}.{key}" for name, section in _SECTIONS.items() if key in section.model_fields), "") or (
        f"{key} of the app itself" if key in tables.AppTable.model_fields else ""
    )


def _close(key: str, known: Mapping[str, object]) -> str:
    return next(iter(difflib.get_close_matches(key.lower().replace("-", "_"), known, n=1)), "")
