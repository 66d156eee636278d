"""Settings read by a process of their own are the same settings, and the same errors."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from noren.core.errors import SettingsError
from noren.settings.file import load
from noren.settings.reader import read

GOOD = """
[apps.website]
repo = "https://github.com/example/hue.git"
root = "docs/gethue"
build = "hugo --minify --destination $NOREN_OUTPUT"
hosts = ["gethue.example"]
static = { cache_control = { "assets/*" = "public, max-age=31536000, immutable" } }
[apps.api]
repo = "https://github.com/example/api.git"
run = ".venv/bin/uvicorn api:app --port $PORT"
ready = "/healthz"
hosts = ["api.example", "gethue.example/api"]
env = { B = "2", A = "1" }
"""


def test_what_the_reader_hands_over_equals_what_it_read(tmp_path: Path) -> None:
    file = tmp_path / "noren.toml"
    file.write_text(GOOD)
    assert asyncio.run(read(file)) == load(file)


def test_errors_come_over_whole(tmp_path: Path) -> None:
    file = tmp_path / "noren.toml"
    file.write_text(GOOD.replace("hosts", "host"))
    with pytest.raises(SettingsError) as direct:
        load(file)
    with pytest.raises(SettingsError) as handed:
        asyncio.run(read(file))
    assert str(handed.value) == str(direct.value)
