"""The wheel and the sdist: built, looked into, and installed for real in clean environments, with pip and with uv."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from noren import __version__
from tests.docs.pages import ROOT, blocks

UV = Path(sys.executable).with_name("uv")


def said(*argv: str | Path, **env: str) -> str:
    """The output of a command that must succeed."""
    done = subprocess.run(
        argv, cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, check=False, timeout=180
    )
    assert done.returncode == 0, done
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a wheel and an sdist."""
    folder = tmp_path_factory.mktemp("dist")
    said(sys.executable, "-m", "hatchling", "build", "-d", folder)
    return folder


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def test_the_wheel_holds_every_file_of_the_package_and_the_license(dist: Path) -> None:
    names = set(zipfile.ZipFile(only(dist, "*.whl")).namelist())
    source = ROOT / "src"
    files = (file for file in (source / "noren").rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    assert {str(file.relative_to(source)) for file in files} <= names
    assert {"noren/py.typed", f"noren-{__version__}.dist-info/licenses/LICENSE"} <= names


def test_the_sdist_holds_what_is_needed_to_build_test_and_read_it(dist: Path) -> None:
    with tarfile.open(only(dist, "*.tar.gz")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "Makefile", "requirements.lock", "docs/index.md", "tests/daemon.py"} <= names


def works(program: Path, folder: Path) -> None:
    """Version, help, check of the README's example, and the proxies that came along."""
    assert said(program, "--version").strip() == f"noren {__version__}"
    assert "Upgrade web sites" in said(program, "--help")
    example = next(block for block in blocks(ROOT / "README.md", "toml") if "[apps.website]" in block)
    (folder / "noren.toml").write_text(example)
    assert "[apps.website]" in said(program, "-c", folder / "noren.toml", "check")
    doctor = subprocess.run([program, "doctor", "--json"], cwd=folder, capture_output=True, text=True, timeout=60)
    found = {row["name"]: row for row in json.loads(doctor.stdout)["findings"]}
    for part in ("HAProxy", "Caddy"):
        assert found[part]["level"] == "fine" and str(folder) in found[part]["seen"], found[part]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("package", ["*.whl", "*.tar.gz"])
def test_pip_installs_it_with_all_it_needs_into_a_clean_environment(package: str, dist: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    said(python, "-m", "pip", "install", "--quiet", "--no-cache-dir", only(dist, package), HOME=str(tmp_path))
    works(python.with_name("noren"), tmp_path)


@pytest.mark.timeout(300)
def test_uv_installs_it_as_a_tool_in_a_clean_home(dist: Path, tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "UV_TOOL_DIR": str(tmp_path / "tools"), "UV_TOOL_BIN_DIR": str(tmp_path / "bin")}
    env |= {"UV_CACHE_DIR": str(tmp_path / "cache"), "UV_PYTHON_DOWNLOADS": "never"}
    said(UV, "tool", "install", "--quiet", "--python", sys.executable, only(dist, "*.whl"), **env)
    works(tmp_path / "bin" / "noren", tmp_path)
