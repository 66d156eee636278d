"""Repositories that vanish, hang, are rewritten or renamed, or are full of odd names: nobody else notices."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

from tests.daemon import Daemon, Repository
from tests.proofs.claim import claim, sized
from tests.proofs.pair import SETTINGS, page, pair

ODD = (
    "a b.html",
    "--help.html",
    "-rf.html",
    "$(touch pwned).html",
    "`touch pwned`.html",
    "ü 暖簾.html",
)
LINE = "new\nline.html"
MESSAGE = "$(touch pwned) `touch pwned` \x1b[31mred\x1b[0m; touch pwned\n\n--exec=touch pwned\r\n"


def git(repository: Repository, *words: str) -> None:
    subprocess.run(["git", *words], cwd=repository.path, check=True, capture_output=True, timeout=10)


@contextmanager
def silent_server() -> Generator[int]:
    """Accepts connections and says nothing; its port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(50)
        yield listener.getsockname()[1]


def test_a_repository_that_vanishes_is_said_once_and_heals(tmp_path: Path) -> None:
    with pair(tmp_path, "a repository that vanished") as both:
        away = tmp_path / "away"
        both.victim.path.rename(away)
        both.said("victim")
        both.bystander_goes_on("while it is away")
        away.rename(both.victim.path)
        both.noren.kept("victim", both.victim.commit(page("back")), timeout=40)
        assert not both.quarantined()


@sized("patience", 0.0, 70.0, minutes=5)
def test_a_repository_that_hangs_holds_up_nobody_and_not_the_end_either(tmp_path: Path, patience: float) -> None:
    with silent_server() as port, pair(tmp_path, "a repository that hangs") as both:
        hanging = f'\n[apps.hanging]\nrepo = "https://127.0.0.1:{port}/x.git"\nhosts = ["hanging.example"]\n'
        both.noren.configure(SETTINGS + hanging)
        both.noren.client.reload(prune=False, dry=False)
        both.noren.kept("victim", both.victim.commit(page("meanwhile")))
        both.bystander_goes_on("meanwhile")
        time.sleep(patience)
        lines = [line for line in both.noren.client.events("hanging", -50) if line["kind"] == "source"]
        assert bool(lines) == bool(patience), lines
        began = time.monotonic()
        assert both.noren.client.reload(prune=False, dry=False) == ["nothing has changed"]
        both.noren.configure(SETTINGS)
        both.noren.client.reload(prune=True, dry=False)
        assert time.monotonic() - began < 5, "the hanging git held up the reload"


def test_a_force_push_goes_live_like_any_commit(tmp_path: Path) -> None:
    with pair(tmp_path, "a repository that is force-pushed") as both:
        second = both.victim.commit(page("second"))
        both.noren.kept("victim", second)
        git(both.victim, "checkout", "-q", "--orphan", "other")
        git(both.victim, "branch", "-D", "main")
        git(both.victim, "branch", "-m", "main")
        both.noren.kept("victim", both.victim.commit(page("rewritten")))
        git(both.victim, "gc", "-q", "--prune=now")
        rollout = both.noren.client.rollback("victim", 2)
        both.noren.until(
            lambda: both.noren.status("victim")["active"]["release"] == 2, f"rollout {rollout} is back at 2"
        )


def test_a_renamed_branch_is_followed_or_missed_by_name(tmp_path: Path) -> None:
    named = (
        SETTINGS + '[apps.named]\nrepo = "victim"\nbranch = "main"\nhosts = ["named.example"]\nbuild = "sh build.sh"\n'
    )
    with pair(tmp_path, "a branch that is renamed", named) as both:
        git(both.victim, "branch", "-m", "main", "trunk")
        revision = both.victim.commit(page("on trunk"))
        both.noren.kept("victim", revision)
        told = both.noren.until(lambda: problem(both.noren, "named"), "the missing branch is said")
        assert "main" in told and both.noren.status("named")["active"]["release"] == 1
        git(both.victim, "branch", "main")
        both.noren.kept("named", revision, timeout=40)


def problem(noren: Daemon, app: str) -> str:
    """The newest line about the source."""
    lines = [line["text"] for line in noren.client.events(app, -50) if line["kind"] == "source"]
    return lines[-1] if lines else ""


def got(port: int, name: str) -> str:
    """The page of the app odd with this name."""
    request = Request(f"http://127.0.0.1:{port}/{quote(name)}", headers={"Host": "odd.example"})
    with suppress(HTTPError), urlopen(request, timeout=5) as answer:
        return answer.read().decode()
    return "no page"


def test_odd_names_of_files_branches_and_messages_are_only_names(tmp_path: Path) -> None:
    branch = "feature/$(touch${IFS}pwned);`id`&x"
    odd = SETTINGS + f'[apps.odd]\nrepo = "odd"\nbranch = \'{branch}\'\nhosts = ["odd.example"]\n'
    repository = Repository(tmp_path / "odd")
    files: dict[str, str | None] = {"index.html": "home"}
    files |= {name: f"page {number}" for number, name in enumerate(ODD)} | {
        LINE: "refused like every control character"
    }
    git(repository, "checkout", "-q", "-b", branch)
    revision = repository.commit(files, MESSAGE)
    with pair(tmp_path, "odd names", odd) as both:
        both.noren.kept("odd", revision)
        for number, name in enumerate(ODD):
            assert (name, got(both.noren.port, name)) == (name, f"page {number}")
        assert got(both.noren.port, LINE) == "no page"
        both.noren.kept("odd", repository.commit({"--output=pwned": "x", "index.html": "two"}, "-m --amend"))
        told = "".join(line["text"] for line in both.noren.client.events("odd", -50))
        assert "\x1b" not in told and "\r" not in told
        assert not list(tmp_path.rglob("pwned"))
    claim("odd names", f"{len(ODD)} files served, nothing executed")
