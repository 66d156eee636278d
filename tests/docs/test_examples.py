"""Settings that the pages and examples show can be used as they are."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from noren.settings.file import load
from tests.docs.pages import PAGES, ROOT, blocks, name

SHOWN = [
    pytest.param(block, id=f"{name(page)}-{number}")
    for page in PAGES
    for number, block in enumerate(blocks(page, "toml"))
    if "[apps." in block
]
EXAMPLES = sorted((ROOT / "examples").glob("*/noren.toml"))


@pytest.mark.parametrize("block", SHOWN)
def test_settings_that_a_page_shows_load(block: str, tmp_path: Path) -> None:
    for file in re.findall(r'^(?:env_file|ssh_key_file|known_hosts_file)\s*=\s*"(.+?)"', block, re.MULTILINE):
        (tmp_path / file).touch()
    settings = tmp_path / "noren.toml"
    settings.write_text(block)
    assert load(settings).apps


@pytest.mark.parametrize("example", EXAMPLES, ids=name)
def test_an_example_passes_noren_check(example: Path, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "noren.main", "-c", str(example), "check"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=30, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert "[apps." in done.stdout
