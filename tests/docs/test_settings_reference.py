"""The reference of settings says what the settings are: every key, its default, and when a change takes effect."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from noren.core import model
from noren.settings import tables
from noren.settings.effective import effective
from noren.settings.file import load
from tests.docs.pages import REFERENCE, rows

MINIMAL = """
[apps.files]
repo = "r"
hosts = ["files.example"]
[apps.process]
repo = "r"
hosts = ["process.example"]
run = "x"
[apps.cluster]
repo = "r"
image = "registry.example/cluster"
[apps.cluster.kubernetes]
[apps.adopted]
image = "registry.example/adopted:latest"
[apps.adopted.kubernetes]
deployment = "adopted"
"""
SAID_IN_MINIMAL = {"repo", "hosts", "run", "kind", "image", "kubernetes.deployment"}
CREDENTIALS = {"ssh_key_file", "known_hosts_file", "token_env"}


def _keys(table: type[tables.Table], prefix: str = "") -> Iterator[str]:
    for name, field in table.model_fields.items():
        yield prefix + name
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, tables.Table):
            yield from _keys(inner, f"{name}.")


APP_KEYS = sorted(_keys(tables.AppTable))
SERVER_KEYS = sorted([*_keys(tables.ServerTable, "server."), *_keys(tables.NotifyTable, "notify.")])


@pytest.fixture(scope="module")
def told() -> dict[str, list[str]]:
    found = [row for row in rows(REFERENCE / "settings.md") if len(row) == 5]
    assert len({row[0] for row in found}) == len(found)
    return {row[0].strip("`"): row[1:] for row in found}


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What ``noren check`` prints for settings that say nothing."""
    path = tmp_path_factory.mktemp("settings") / "noren.toml"
    path.write_text(MINIMAL)
    return tomllib.loads(effective(load(path)).replace(f"{path.parent}/", ""))


def test_every_key_is_explained_and_no_other(told: dict[str, list[str]]) -> None:
    assert set(told) == {*APP_KEYS, *SERVER_KEYS}


@pytest.mark.parametrize("key", sorted({*APP_KEYS, *SERVER_KEYS} - SAID_IN_MINIMAL))
def test_the_default_is_the_one_that_check_prints(key: str, told: dict[str, list[str]], shown: dict[str, Any]) -> None:
    values = [_written(value) for value in _defaults(key, shown) if not isinstance(value, dict)]
    # The one default that is another key.
    documented = [] if key == "watch" else re.findall(r"`([^`]+)`", told[key][1])
    assert documented == list(dict.fromkeys(values))


def _defaults(key: str, shown: dict[str, Any]) -> Iterator[object]:
    """Of the process first, then of the site."""
    places = (
        [shown] if key.startswith(("server.", "notify.")) else [shown["apps"][name] for name in ("process", "files")]
    )
    *tables_above, last = key.split(".")
    if "kubernetes" in tables_above:
        places = [shown["apps"]["adopted" if last == "repair" else "cluster"]]
    for place in places:
        table: dict[str, Any] = place
        for name in tables_above:
            table = table.get(name, {})
        if last in table:
            yield table[last]


def _written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    # TOML and JSON write a list of text in the same way.
    return json.dumps(value) if isinstance(value, list) else str(value)


@pytest.mark.parametrize("key", APP_KEYS)
def test_a_key_is_said_to_need_no_new_release_exactly_when_it_needs_none(key: str, told: dict[str, list[str]]) -> None:
    top = "credentials" if key in CREDENTIALS else key.partition(".")[0]
    live = top in model._LIVE  # pyright: ignore[reportPrivateUsage]
    assert (told[key][3] == "reload") == live
