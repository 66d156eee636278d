"""The JSON Schema of ``noren.toml``, for editors and for the docs.

Called by main.py for ``noren check --schema`` and by the docs' tests.
"""

from __future__ import annotations

from typing import Any

from noren.settings.document import items, table
from noren.settings.tables import File


def schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of what may be written."""
    found = File.model_json_schema(mode="validation")
    _without_null_defaults(found)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | found | {"title": "noren.toml"}


def _without_null_defaults(node: object) -> None:
    # "default": null only means that the key may be absent: TOML has no null.
    found = table(node)
    if found.get("default", ...) is None:
        del found["default"]
    for value in (*found.values(), *items(node)):
        _without_null_defaults(value)
