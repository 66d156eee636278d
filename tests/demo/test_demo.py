"""The demo: its commits fit its files, its documentation is ours, and nothing of it stays behind.

``.ci/run`` tells the whole story, and tests/packaging does with an installed Noren.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Generator
from pathlib import Path

import pytest

from noren.demo.commits import APPS, STORY
from noren.demo.documentation import Documentation
from noren.demo.repository import Repository
from noren.demo.team import Team
from noren.settings.file import load
from tests.daemon import no_leftovers
from tests.docs.pages import ROOT


def test_every_commit_of_the_story_can_be_pushed_and_each_kind_of_end_is_there(tmp_path: Path) -> None:
    team = Team(tmp_path, 8080)
    assert set(load(team.settings).apps) == set(APPS)
    commits = [commit for _, chapter in STORY for commit in chapter]
    pushed = [commit.push(team) for commit in commits]
    assert all(found or commit.repo == "docs" for found, commit in zip(pushed, commits, strict=True))
    assert {commit.outcome for commit in commits} == {"kept", "failed", "aborted", "rolled_back"}
    compile((tmp_path / "demo" / "server.py").read_text(), "server.py", "exec")


def project(folder: Path) -> Path:
    """A small checkout with documentation and a history of it."""
    (folder / "docs").mkdir(parents=True)
    made = Repository.new(folder)
    for number in range(5):
        made.commit({"docs/index.md": f"# Page {number}\n"}, f"Change {number}")
        made.commit({"code": str(number)}, "Something else")
    return folder


def test_the_documentation_walks_the_last_commits_that_changed_it(tmp_path: Path) -> None:
    docs = Documentation(tmp_path / "docs", project(tmp_path / "project"))
    assert docs.repository.read("docs/index.md") == "# Page 2\n" and "last 3 commits" in docs.told
    assert [docs.advance() for _ in range(3)][2] is None
    assert docs.repository.read("docs/index.md") == "# Page 4\n"


@pytest.mark.parametrize("kind", ["shallow", "no history", "installed"])
def test_documentation_without_a_history_begins_one_and_says_so(kind: str, tmp_path: Path) -> None:
    checkout, installed = project(tmp_path / "project"), tmp_path / "installed"
    if kind == "shallow":
        argv = ["git", "clone", "--quiet", "--depth", "1", f"file://{checkout}", str(tmp_path / "shallow")]
        subprocess.run(argv, check=True, timeout=20)
        checkout = tmp_path / "shallow"
    elif kind == "no history":
        shutil.rmtree(checkout / ".git")
    else:
        (checkout / "docs").rename(installed)
    docs = Documentation(tmp_path / "docs", checkout, installed)
    assert "without its Git history" in docs.told and docs.advance() is None
    assert docs.repository.read("docs/index.md") == "# Page 4\n"


def pages(source: Path, output: Path) -> subprocess.CompletedProcess[str]:
    """Build a site."""
    argv = [sys.executable, "-P", "-m", "noren.demo.pages", source.name, str(output)]
    return subprocess.run(argv, cwd=source.parent, capture_output=True, text=True, check=False, timeout=30)


def test_the_documentation_of_this_project_is_built_with_the_days_of_its_commits(tmp_path: Path) -> None:
    made = Repository.new(tmp_path)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    made.commit({}, "All of it")
    done = pages(tmp_path / "docs", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    index = (tmp_path / "out" / "index.html").read_text()
    assert re.search(r"Last changed \d{4}-\d\d-\d\d", index) and 'href="tutorial/first-site.html"' in index
    assert len(list((tmp_path / "out").rglob("*.html"))) == len(list((ROOT / "docs").rglob("*.md")))


def test_a_link_that_leads_nowhere_fails_the_build_and_is_named(tmp_path: Path) -> None:
    Repository.new(tmp_path).commit({}, "Begin")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("[Soon](soon.md)\n")
    done = pages(tmp_path / "docs", tmp_path / "out")
    assert done.returncode == 1 and "docs/index.md links to soon.md, which is not there" in done.stderr


@pytest.fixture
def home(tmp_path: Path) -> Generator[Path]:
    """Deeper than the address of a socket may be long."""
    (home := tmp_path / ("x" * 100)).mkdir()
    with no_leftovers(home):
        yield home


def demo(home: Path, path: str = os.environ["PATH"]) -> subprocess.Popen[str]:
    """The demo, in an environment with nothing but a path."""
    env = {"PATH": path, "HOME": str(home), "TMPDIR": str(home)}
    argv = [sys.executable, "-m", "noren.main", "demo"]
    return subprocess.Popen(argv, env=env, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_demo_serves_its_apps_and_leaves_nothing_behind_when_it_is_ended(
    number: signal.Signals, home: Path
) -> None:
    with demo(home) as told:
        assert told.stdout is not None
        # A demo that hangs is ended, so that the reading is.
        watchdog = threading.Timer(45, told.terminate)
        watchdog.start()
        said = ""
        for line in told.stdout:
            said += line
            if "A good day" in line:
                break
        watchdog.cancel()
        urls = re.findall(r"http://([\w-]+).localhost:(\d+)/", said)
        assert [app for app, _ in urls] == list(APPS), said
        for app, port in urls:
            request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Host": f"{app}.localhost"})
            with urllib.request.urlopen(request, timeout=10) as answer:
                assert answer.headers["X-Noren-Release"].startswith(f"{app}@")
        assert re.search(r"first page was served \d+\.\d s after", said), said
        told.send_signal(number)
        told.stdout.read()
        assert told.wait(30) == 130
    assert not list(home.iterdir())


def test_a_demo_that_cannot_begin_says_why_at_once(home: Path, tmp_path: Path) -> None:
    (without := tmp_path / "without-a-shell").mkdir()
    (without / "git").symlink_to(shutil.which("git") or "git")
    with demo(home, str(without)) as told:
        said, _ = told.communicate(timeout=40)
    assert told.returncode == 1 and "website serves no page" in said and "sh: not found" in said
    assert not list(home.iterdir())
