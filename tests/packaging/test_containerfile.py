"""The Containerfile: what it copies is there and is enough to install Noren, and its settings pass the check.

No image is built: that would need a base from a registry.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import noren
from noren.settings.file import load
from tests.docs.pages import ROOT

TEXT = re.sub(r"\\\n", " ", (ROOT / "Containerfile").read_text())


def lines(instruction: str) -> list[str]:
    """What stands after this word."""
    return re.findall(rf"^{instruction} (.+)$", TEXT, re.MULTILINE)


@pytest.mark.timeout(180)
def test_what_is_copied_into_the_image_is_enough_to_install_noren(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for line in lines("COPY"):
        *names, target = shlex.split(line)
        if target.startswith("/opt/noren/source"):
            below = source / target.removeprefix("/opt/noren/source").lstrip("/")
            for name in names:
                assert (ROOT / name).exists(), name
                folder = (ROOT / name).is_dir()
                below.mkdir(parents=True, exist_ok=True)
                (shutil.copytree if folder else shutil.copy)(
                    ROOT / name, below, **({"dirs_exist_ok": True} if folder else {})
                )
    assert any("pip install " in line and "/opt/noren/source" in line for line in lines("RUN"))
    # Its dependencies are here already; tests/packaging/test_packages.py installs them too.
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", tmp_path / "made", source], cwd=tmp_path, check=True, timeout=100)
    asked = "import noren, noren.main; print(noren.__file__); noren.main.main()"
    argv = [sys.executable, "-c", asked, "--version"]
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "made")}
    said = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=True, timeout=30).stdout
    assert said.split() == [str(tmp_path / "made/noren/__init__.py"), "noren", noren.__version__]
    assert (tmp_path / "made/noren/demo/docs/index.md").is_file()


def test_the_settings_of_the_image_pass_the_check_and_keep_the_state_on_the_volume() -> None:
    (volume,) = lines("VOLUME")
    (copied,) = (line for line in lines("COPY") if line.endswith("/etc/noren/noren.toml"))
    settings = load(ROOT / copied.split()[0])
    assert Path(settings.server.state).is_relative_to(volume)
    (port,) = lines("EXPOSE")
    assert [str(address).rpartition(":")[2] for address in settings.server.listen] == [port]


def test_ctrl_c_is_what_ends_it_and_orphans_have_a_parent() -> None:
    assert lines("STOPSIGNAL") == ["SIGINT"] and lines("CMD") == ['["up"]']
    assert lines("ENTRYPOINT") == ['["tini", "--", "noren"]'] and "tini" in lines("RUN")[0]
    assert sys.version_info >= (3, 11) and "python:3.12" in TEXT
