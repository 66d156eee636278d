"""``noren init`` on many layouts: what it writes passes the check and, where it can be, is built and served."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import Daemon, Repository, no_leftovers
from tests.init.layouts import LAYOUTS


def noren(folder: Path, *words: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    """A command in a folder."""
    env = {**os.environ, "PATH": os.environ["PATH"] if path is None else path}
    argv = [sys.executable, "-m", "noren.main", *words]
    return subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=30)


def repository(folder: Path, files: dict[str, str]) -> Repository:
    """A checkout with these files."""
    made = Repository(folder)
    made.commit(dict(files))
    return made


def apps(folder: Path) -> dict[str, dict[str, Any]]:
    """What was written."""
    return tomllib.loads((folder / "noren.toml").read_text())["apps"]


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_recognised_and_what_is_written_passes_the_check(name: str, tmp_path: Path) -> None:
    layout = LAYOUTS[name]
    checkout = repository(tmp_path / name, layout.files).path
    done = noren(checkout, "init")
    assert done.returncode == 0, done.stderr
    written = apps(checkout)
    assert set(written) == set(layout.apps)
    for app, expected in layout.apps.items():
        assert {key: written[app][key] for key in expected} == expected
        assert ("build" in written[app], "run" in written[app]) == (
            "build" in expected or app == "docs",
            "run" in expected,
        )
    assert all(line in (checkout / "noren.toml").read_text() for line in layout.settings)
    assert layout.says in done.stdout
    assert noren(checkout, "check").returncode == 0


@pytest.mark.parametrize("name", [name for name, layout in LAYOUTS.items() if layout.tools])
def test_a_tool_that_is_missing_is_named(name: str, tmp_path: Path) -> None:
    layout = LAYOUTS[name]
    checkout = repository(tmp_path / name, layout.files).path
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").symlink_to(shutil.which("git") or "git")
    said = noren(checkout, "init", path=str(tmp_path / "bin")).stdout
    assert [tool for tool in layout.tools if f"missing on this host: {tool}." not in said] == []
    everything = {tool for other in LAYOUTS.values() for tool in other.tools}
    assert not [tool for tool in everything - set(layout.tools) if f"missing on this host: {tool}." in said]


@pytest.mark.timeout(180)  # Go compiles its library first, in the private home of a build
@pytest.mark.parametrize("name", [name for name, layout in LAYOUTS.items() if layout.builds])
def test_what_needs_no_network_is_built_and_served(name: str, tmp_path: Path) -> None:
    layout = LAYOUTS[name]
    for tool in layout.tools:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is missing")
    checkout = repository(tmp_path / name, layout.files)
    assert noren(tmp_path, "init", name).returncode == 0
    text = (tmp_path / "noren.toml").read_text()
    with no_leftovers(tmp_path), Daemon(tmp_path, '[server]\nlisten = ["127.0.0.1:{port}"]\n' + text) as daemon:
        for app in layout.apps:
            daemon.until(lambda app=app: daemon.status(app)["active"], f"{app} serves", 150)
            assert daemon.status(app)["active"]["revision"] == checkout.tip()


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    checkout = repository(tmp_path / "site", {"index.html": "x"}).path
    (checkout / "noren.toml").write_text("# mine\n")
    done = noren(checkout, "init")
    assert done.returncode == 2 and "exists already" in done.stderr and "--print" in done.stderr
    assert (checkout / "noren.toml").read_text() == "# mine\n"
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert noren(checkout, "-c", str(tmp_path / "link"), "init").returncode == 2
    assert not (tmp_path / "nowhere").exists()


def test_print_writes_nothing(tmp_path: Path) -> None:
    checkout = repository(tmp_path / "site", {"index.html": "x"}).path
    done = noren(checkout, "init", "--print")
    assert "[apps.site]" in tomllib.loads(done.stdout) or "site" in tomllib.loads(done.stdout)["apps"]
    assert not (checkout / "noren.toml").exists()


def test_the_origin_is_what_is_watched_without_a_password_in_it(tmp_path: Path) -> None:
    checkout = repository(tmp_path / "here", {"index.html": "x"}).path
    origin = ["git", "remote", "add", "origin", "https://ada:s3cret@git.example/team/Our_Site.git"]
    subprocess.run(origin, cwd=checkout, check=True, timeout=10)
    assert noren(tmp_path, "init", "here").returncode == 0
    assert apps(tmp_path)["our-site"]["repo"] == "https://git.example/team/Our_Site.git"
    assert "token_env" in (tmp_path / "noren.toml").read_text()


@pytest.mark.parametrize("name", ["Ünïcode site", "123", "--help", "a" * 60, "$(touch pwned)"])
def test_any_folder_gets_a_name_that_the_settings_allow(name: str, tmp_path: Path) -> None:
    checkout = repository(tmp_path / name, {"index.html": "x"}).path
    assert noren(checkout, "init").returncode == 0
    assert noren(checkout, "check").returncode == 0
    assert not list(tmp_path.rglob("pwned"))


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"README.md": "x"}, ("nothing was recognised", "README.md", "looked for: Hugo", "$NOREN_OUTPUT")),
        ({"Dockerfile": "FROM x\n"}, ("only Dockerfile", "no command in it", "does not run containers yet", "`run`")),
        ({"package.json": "{", "x": ""}, ("nothing was recognised", "package.json")),
    ],
)
def test_what_is_not_recognised_says_what_was_looked_for(
    files: dict[str, str], words: tuple[str, ...], tmp_path: Path
) -> None:
    done = noren(repository(tmp_path / "site", files).path, "init")
    assert done.returncode == 1
    assert not [word for word in words if word not in done.stderr], done.stderr
    assert not (tmp_path / "site" / "noren.toml").exists()


def test_a_folder_that_is_no_repository_or_not_there_is_refused(tmp_path: Path) -> None:
    assert "not in a Git repository" in noren(tmp_path, "init").stderr
    assert "is not a folder" in noren(tmp_path, "init", "nowhere").stderr
    Repository(tmp_path / "empty")
    assert "has no files" in noren(tmp_path / "empty", "init").stderr
