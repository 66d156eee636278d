"""Every command of the pages is typed: the tutorials step by step, the others where the apps they name are running.

A page needs no entry here unless its commands cannot be typed beside a running `website` and `api`.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.daemon import Repository, no_leftovers
from tests.docs.pages import PAGES, ROOT, blocks, fences, name
from tests.docs.terminal import Terminal

TUTORIALS = [page for page in PAGES if page.parent.name == "tutorial"]
OTHERS = [page for page in PAGES if page not in TUTORIALS and blocks(page, "sh")]
pytestmark = pytest.mark.timeout(300)
SECRET = "walk-through-secret"

# What is proved by another file that says these words, for it takes minutes or changes the machine.
ELSEWHERE = {
    "make demo": (".ci/run", "make demo"),
    "make install": (".ci/run", "make check"),  # every target does it first
    "make test": (".ci/run", "make test"),
    "make check": (".ci/run", "make check"),
    "make proofs": (".ci/run", "make proofs"),
    "make test-forge": (".ci/run", "make test-forge"),
    "make test-kubernetes": (".ci/run", "make test-kubernetes"),
    "uv tool install .": ("tests/packaging/test_packages.py", '"tool", "install"'),
    "python3 -m venv /opt/noren": ("tests/packaging/test_packages.py", "venv.create"),
    "/opt/noren/bin/pip install .": ("tests/packaging/test_packages.py", '"-m", "pip", "install"'),
    "noren init": ("tests/init/test_init.py", 'noren(checkout, "init")'),
    ".venv/bin/noren install": ("tests/install/test_install.py", "really"),
}
# What runs nowhere in a test, and why. Targets of make are still asked what they would do.
UNPROVED = {
    "cd path/to/your/site": "is the reader's",
    "make format": "changes the checkout",
    "make prove": "takes ten minutes",
    "make prove-mutants": "takes twenty minutes; make proofs has three of them",
    "make sweep": "takes hours",
    "make faults": "takes more than an hour",
    "make prove-night": "takes a night",
    "make proofs-full": "takes an hour",
    "make bench": "takes minutes, and its figures are the machine's",
    "systemctl": "needs systemd as the first process",
    "journalctl": "needs systemd as the first process",
    "ssh-keyscan": "git.example is nobody's; tests/mistakes/test_private_mistakes.py has a real server",
}


def prepare(terminal: Terminal, text: str) -> None:
    """Short bake times, so that a walk takes seconds."""
    defaults = '[defaults]\nverify = { bake_time = "1s" }\ntriggers = { poll = "1s" }\nready = { successes = 2 }\n'
    text = re.sub(r"^(verify|triggers) = .*\n", "", text, flags=re.MULTILINE)
    terminal.write("noren.toml", text.replace("[apps.", f"{defaults}[apps.", 1))


@pytest.fixture
def terminal(tmp_path: Path) -> Generator[Terminal]:
    """In an empty folder, with nothing left running."""
    with no_leftovers(tmp_path), Terminal(tmp_path) as made:
        yield made


def walk(terminal: Terminal, page: Path, between: dict[str, tuple[str, ...]]) -> None:
    """Type a tutorial; ``between``: the first line of a block → what its reader does or waits for before it."""
    done: set[str] = set()
    for language, text, before in fences(page):
        first = text.splitlines()[0]
        if first in between:
            terminal.until(*between[first]) if len(between[first]) == 2 else terminal.run(between[first][0])
            done.add(first)
        if language == "toml":
            prepare(terminal, text)
        elif language == "python":
            terminal.write(re.findall(r"`([\w/.]+\.py)`", before)[-1], text)
        elif language == "sh" and not text.startswith("make install"):
            terminal.block(text)
    assert done == set(between)


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is missing")
def test_the_tutorial_of_a_site_can_be_followed_word_for_word(terminal: Terminal) -> None:
    between = {
        "curl -i http://hello.localhost:8080/": ("noren status", "hello .* idle"),
        "noren receipt hello": ("noren releases hello", r"(?m)^2 .* kept"),
        "noren deploy hello --wait": ("curl -s http://hello.localhost:8080/", "<h1>Hello</h1>"),
    }
    walk(terminal, ROOT / "docs/tutorial/first-site.md", between)
    assert "x-noren-release: hello@1" in terminal.said.lower() and "release 1 → 2" in terminal.said


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is missing")
def test_the_tutorial_of_an_app_can_be_followed_word_for_word(terminal: Terminal) -> None:
    broken = "sed -i 's/^import os/import os\\nimport nothing_like_that/' shop/server.py"
    mended = "sed -i -e /nothing_like_that/d -e s/Hello/Welcome/ shop/server.py"
    between = {
        "curl http://shop.localhost:8080/": ("noren status", "shop .* idle"),
        'git -C shop commit -a -m "A bad day"': (broken,),
        "noren quarantine list": ("noren releases shop", "aborted .*nothing_like_that"),
        'git -C shop commit -a -m "Better"': (mended,),
    }
    walk(terminal, ROOT / "docs/tutorial/first-app.md", between)
    assert "Hello from release 1" in terminal.said and "shop-2-2-0 exited with code 1" in terminal.said
    assert re.search(r"\d+ in /", terminal.said)


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Generator[Terminal]:
    """`website` and `api` with three kept releases and a revision in quarantine."""
    folder = tmp_path_factory.mktemp("team")
    apps = '[apps.website]\nrepo = "repo"\nhosts = ["website.localhost"]\nwebhook = { secret_env = "WEBSITE_HOOK" }\n'
    apps += (
        '[apps.api]\nrepo = "repo"\nhosts = ["api.localhost"]\nrun = "exec python3 -m http.server -b 127.0.0.1 $PORT"\n'
    )
    with no_leftovers(folder), Terminal(folder, WEBSITE_HOOK=SECRET) as made:
        prepare(made, '[server]\nlisten = ["127.0.0.1:8080"]\n' + apps)
        (folder / ".venv").symlink_to(Path(sys.executable).parents[1])
        repository = Repository(folder / "repo")
        for number in (1, 2, 3):
            repository.commit({"index.html": str(number)})
            made.block("noren up") if number == 1 else None
            for app in ("website", "api"):
                made.until(f"noren releases {app}", rf"(?m)^{number} .* kept")
        bad = repository.commit({"index.html": None, "other.html": "bad"})
        made.until("noren releases website", r"(?m)^4 .* failed")
        made.until("noren releases api", r"(?m)^4 .* kept")
        made.swaps |= {
            "3f2c1ab": bad,
            " api 41": " api 1",
            "https://website.example": f"http://website.localhost:{made.port}",
        }
        yield made


@pytest.mark.parametrize("page", OTHERS, ids=name)
def test_the_commands_of_a_page_do_what_they_are_there_for(page: Path, team: Terminal) -> None:
    for text in blocks(page, "sh"):
        lines = [line for line in text.splitlines() if not aside(line)]
        stopped = "noren down" in lines  # else it runs already
        team.block("\n".join(line for line in lines if stopped or line != "noren up"))


def aside(line: str) -> bool:
    """Whether a line is proved elsewhere or cannot be; what make would do is asked in any case."""
    if line.startswith("make "):
        argv = ["make", "-n", *shlex.split(line)[1:]]
        told = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=30)
        assert told.returncode == 0, told.stderr
    if line.split(" ARGS=")[0] in ELSEWHERE:
        file, words = ELSEWHERE[line.split(" ARGS=")[0]]
        assert words in (ROOT / file).read_text(), f"{file} does not prove {line!r}"
        return True
    return line.split(" ARGS=")[0] in UNPROVED or line.split()[0] in UNPROVED


def test_every_choice_of_proofs_that_a_page_shows_chooses_some() -> None:
    argv = [sys.executable, "-m", "pytest", "--collect-only", "-q", "tests/proofs"]
    listed = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=150).stdout.lower().splitlines()
    tests = [line for line in listed if "::" in line]
    shown = {found for page in PAGES for found in re.findall(r'make proofs[a-z-]* ARGS="-k (.+?)"', page.read_text())}
    assert shown and tests
    for choice in shown:
        words = re.split(r" and | or ", choice.strip("'"))
        kinds = [[word in test for test in tests] for word in words]
        assert any(map(all if " and " in choice else any, zip(*kinds, strict=True))), choice
