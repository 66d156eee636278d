"""The Source port against real repositories, well-meaning and hostile."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest
from repository import Repository

from noren.adapters import mirror
from noren.adapters.git import Git
from noren.adapters.git_version import check_git
from noren.core.errors import HostError, OutsideError, ReleaseError
from noren.core.model import App, Commit, Kind

HOSTILE = "$(touch pwned); `touch pwned` 'x' \"y\" \x1b[31m"


@pytest.fixture
def origin(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "origin")


@pytest.fixture
def git(tmp_path: Path) -> Git:
    return Git(tmp_path / "state", timeout=20.0)


@pytest.fixture(autouse=True)
def nothing_was_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    yield
    assert not list(tmp_path.rglob("pwned"))


def latest(git: Git, app: App) -> Commit:
    async def both() -> Commit:
        return await git.commit(app, await git.tip(app))

    return asyncio.run(both())


def test_the_tip_is_that_of_the_branch_or_of_the_default_branch(origin: Repository, git: Git) -> None:
    main = origin.commit({"a": "1"})
    origin.git("checkout", "--quiet", "-b", "next")
    following = origin.commit({"a": "2"})
    origin.git("checkout", "--quiet", "main")
    assert asyncio.run(git.tip(origin.app())) == main
    assert asyncio.run(git.tip(origin.app(branch="next"))) == following


def test_a_branch_is_found_by_its_whole_name(origin: Repository, git: Git) -> None:
    wanted = origin.commit({"a": "1"})
    origin.git("checkout", "--quiet", "-b", "old/refs/heads/main")
    origin.commit({"a": "2"})
    assert asyncio.run(git.tip(origin.app(branch="main"))) == wanted


def test_a_commit_says_who_when_in_utc_and_what(origin: Repository, git: Git) -> None:
    at = "2024-03-01T10:00:00+02:00"
    sha = origin.commit({"a": "1"}, "Fix the menu\n\nlong text", GIT_COMMITTER_DATE=at)
    found = latest(git, origin.app())
    assert found == Commit(revision=sha, subject="Fix the menu", author="Ann", committed_at="2024-03-01T08:00:00Z")


def test_only_commits_below_root_count_by_default(origin: Repository, git: Git) -> None:
    wanted = origin.commit({"docs/site/index.md": "1"})
    origin.commit({"docs/sitemap": "no", "docs/site2/index.md": "no"})
    assert latest(git, origin.app(root="docs/site")).revision == wanted
    assert latest(git, origin.app(root="./docs/site/")).revision == wanted


@pytest.mark.parametrize("watch", ["docs", "docs/", "docs/**", "docs/*/index.md", "./docs", "docs/*"])
def test_watch_takes_folders_and_globs(origin: Repository, git: Git, watch: str) -> None:
    wanted = origin.commit({"docs/en/index.md": "1"})
    origin.commit({"src/docs/en/index.md": "1", "README": "1"})
    assert latest(git, origin.app(watch=(watch,))).revision == wanted


def test_watching_everything_gives_the_tip_itself(origin: Repository, git: Git) -> None:
    origin.commit({"a": "1"})
    empty = origin.commit({}, "an empty commit, to start a build")
    assert latest(git, origin.app(watch=(".",))).revision == empty


def test_a_root_with_glob_characters_is_a_folder_name(origin: Repository, git: Git) -> None:
    wanted = origin.commit({"[ab]/x": "1"})
    origin.commit({"a/x": "1"})
    assert latest(git, origin.app(root="[ab]")).revision == wanted


def test_no_commit_that_touches_watch_is_the_releases_own_fault(origin: Repository, git: Git) -> None:
    origin.commit({"a": "1"})
    with pytest.raises(ReleaseError, match="touches what website watches") as caught:
        latest(git, origin.app(root="gone"))
    assert not isinstance(caught.value, OutsideError)


def test_apps_of_one_repository_share_one_mirror(origin: Repository, git: Git, tmp_path: Path) -> None:
    origin.commit({"en/a": "1", "jp/a": "1"})
    for name in ("en", "jp"):
        latest(git, origin.app(name, root=name))
    assert len(list((tmp_path / "state/mirrors").iterdir())) == 1


def test_a_commit_that_is_in_the_mirror_needs_no_remote(origin: Repository, git: Git, tmp_path: Path) -> None:
    sha = origin.commit({"a": "1"})
    latest(git, origin.app())
    origin.path.rename(tmp_path / "moved")
    for name in (sha, sha[:8]):
        assert asyncio.run(git.commit(origin.app(), name)).revision == sha


def test_concurrent_callers_fetch_once_together(origin: Repository, git: Git) -> None:
    sha = origin.commit({"a": "1"})

    async def many() -> list[Commit]:
        return await asyncio.gather(*(git.commit(origin.app(), sha) for _ in range(12)))

    assert {commit.revision for commit in asyncio.run(many())} == {sha}
    (mirror,) = git._mirrors.values()  # pyright: ignore[reportPrivateUsage]
    assert mirror.fetches <= 2


def test_a_person_may_name_a_tag_a_branch_or_a_short_sha(origin: Repository, git: Git) -> None:
    sha = origin.commit({"a": "1"})
    origin.git("tag", "-a", "v1.0", "-m", "one")
    origin.git("branch", "feature/x")
    origin.commit({"a": "2"})
    for name in ("v1.0", "feature/x", sha[:9], sha):
        assert asyncio.run(git.commit(origin.app(), name)).revision == sha


@pytest.mark.parametrize("name", ["v9", "0" * 40, "--help", "HEAD:a", "main~1", "", "a b", "x\0y", "@{-1}", "main..v1"])
def test_an_unknown_or_tricky_revision_is_refused(origin: Repository, git: Git, name: str) -> None:
    origin.commit({"a": "1"})
    with pytest.raises(ReleaseError, match="no such revision"):
        asyncio.run(git.commit(origin.app(), name))


def test_a_force_push_is_followed_and_a_kept_release_survives_it(origin: Repository, git: Git) -> None:
    origin.commit({"a": "1"})
    app, old = origin.app(), origin.commit({"a": "2"})
    latest(git, app)
    asyncio.run(git.keep(app, 7, old))
    asyncio.run(git.keep(app, 7, old))
    origin.git("reset", "--quiet", "--hard", "HEAD~1")
    new = origin.commit({"a": "3"})
    origin.git("reflog", "expire", "--expire=now", "--all")
    origin.git("gc", "--quiet", "--prune=now")
    assert latest(git, app).revision == new
    (mirror,) = git._mirrors.values()  # pyright: ignore[reportPrivateUsage]
    subprocess.run(["git", "--git-dir", str(mirror.path), "gc", "--quiet", "--prune=now"], check=True)
    assert asyncio.run(git.commit(app, old)).revision == old
    asyncio.run(git.forget(app, 7))
    asyncio.run(git.forget(app, 7))
    subprocess.run(["git", "--git-dir", str(mirror.path), "gc", "--quiet", "--prune=now"], check=True)
    with pytest.raises(ReleaseError, match="no such revision"):
        asyncio.run(git.commit(app, old))


def test_the_state_directory_may_be_relative(
    origin: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    git, sha = Git(Path(".noren")), origin.commit({"a": "1"})
    monkeypatch.chdir("/")
    assert latest(git, origin.app()).revision == sha


def test_forgetting_in_a_mirror_that_is_not_there_is_no_change(origin: Repository, git: Git) -> None:
    asyncio.run(git.forget(origin.app(), 1))


def test_a_renamed_branch_is_named_with_those_that_are_there(origin: Repository, git: Git) -> None:
    origin.commit({"a": "1"})
    app = origin.app(branch="main")
    latest(git, app)
    origin.git("branch", "--move", "main", "trunk")
    with pytest.raises(OutsideError, match="no branch 'main'") as caught:
        latest(git, app)
    assert "trunk" in caught.value.seen
    assert "branch of website" in caught.value.hint


def test_a_branch_may_turn_into_a_folder_of_branches(origin: Repository, git: Git) -> None:
    origin.commit({"a": "1"})
    origin.git("checkout", "--quiet", "-b", "next")
    latest(git, origin.app())
    origin.git("branch", "--move", "next", "next/one")
    sha = origin.commit({"a": "2"})
    assert latest(git, origin.app(branch="next/one")).revision == sha


def test_an_empty_repository_says_so(origin: Repository, git: Git) -> None:
    with pytest.raises(OutsideError, match="has no branch yet"):
        asyncio.run(git.tip(origin.app()))


def test_a_vanished_repository_is_named(origin: Repository, git: Git, tmp_path: Path) -> None:
    origin.commit({"a": "1"})
    app = origin.app()
    latest(git, app)
    origin.path.rename(tmp_path / "elsewhere")
    with pytest.raises(OutsideError, match="there is no repository") as caught:
        asyncio.run(git.tip(app))
    assert str(origin.path) in caught.value.what


@pytest.mark.parametrize("branch", ["-x", "--upload-pack=touch pwned", "a..b", "$(touch pwned) x", "a\nb", "x\0", "*"])
def test_what_cannot_be_a_branch_is_refused(origin: Repository, git: Git, branch: str) -> None:
    origin.commit({"a": "1"})
    with pytest.raises(OutsideError, match=r"cannot be a branch|no branch"):
        asyncio.run(git.tip(origin.app(branch=branch)))


def test_hostile_names_of_everything_stay_text(tmp_path: Path, git: Git) -> None:
    origin = Repository(tmp_path / "a b\n$(touch pwned) -x")
    branch = "$(touch${IFS}pwned);`touch`'x"
    origin.git("checkout", "--quiet", "-b", branch)
    names = {"-rf": "1", "--help": "1", HOSTILE: "1", "a\nb": "1", ":(top)x": "1"}
    sha = origin.commit(names, HOSTILE + "\nbody", GIT_AUTHOR_NAME=HOSTILE)
    app = origin.app(branch=branch, watch=(HOSTILE, "-rf"))
    found = latest(git, app)
    assert found.revision == sha
    assert "\x1b" not in found.subject + found.author
    asyncio.run(git.checkout(app, sha, tmp_path / "tree"))
    assert {*names} <= {entry.name for entry in (tmp_path / "tree").iterdir()}


def test_hooks_and_settings_of_a_repository_and_of_the_user_do_nothing(
    origin: Repository, git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch = f"touch {tmp_path}/pwned"
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(f'[core]\n\tfsmonitor = "{touch}"\n[filter "evil"]\n\tsmudge = "{touch}"\n')
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_SSH_COMMAND", touch)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", touch)
    for hook in ("post-checkout", "pre-receive", "post-update", "reference-transaction"):
        path = origin.path / ".git/hooks" / hook
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{touch}\n")
    sha = origin.commit(
        {".gitattributes": "* filter=evil\n", ".lfsconfig": "[lfs]\nurl = http://127.0.0.1:9/\n", "a": "1"}
    )
    for hook in (origin.path / ".git/hooks").iterdir():
        hook.chmod(0o755)
    assert latest(git, origin.app()).revision == sha
    asyncio.run(git.checkout(origin.app(), sha, tmp_path / "tree"))


def test_a_checkout_has_history_and_is_detached_at_the_revision(origin: Repository, git: Git, tmp_path: Path) -> None:
    first = origin.commit({"a": "1"}, "first")
    origin.commit({"a": "2"}, "second")
    latest(git, origin.app())
    asyncio.run(git.checkout(origin.app(), first, tmp_path / "tree"))
    assert (tmp_path / "tree/a").read_text() == "1"
    log = subprocess.check_output(["git", "log", "--follow", "--format=%s", "a"], cwd=tmp_path / "tree", text=True)
    assert log == "first\n"
    url = subprocess.check_output(["git", "remote", "get-url", "origin"], cwd=tmp_path / "tree", text=True)
    assert url.strip() == str(origin.path)


def test_a_checkout_of_what_is_not_in_the_mirror_is_refused(origin: Repository, git: Git, tmp_path: Path) -> None:
    for revision in ("0" * 40, "main", "--help"):
        with pytest.raises(ReleaseError, match="no such revision"):
            asyncio.run(git.checkout(origin.app(), revision, tmp_path / "tree"))


def test_submodules_come_when_they_are_set_also_by_relative_url(origin: Repository, git: Git, tmp_path: Path) -> None:
    theme = Repository(tmp_path / "theme")
    theme.commit({"theme.css": "body{}"})
    origin.git("submodule", "--quiet", "add", "--", "../theme", "themes/hue")
    sha = origin.commit({"a": "1"})
    latest(git, origin.app())
    asyncio.run(git.checkout(origin.app(), sha, tmp_path / "without"))
    assert not list((tmp_path / "without/themes/hue").iterdir())
    asyncio.run(git.checkout(origin.app(submodules=True), sha, tmp_path / "with"))
    assert (tmp_path / "with/themes/hue/theme.css").read_text() == "body{}"


def test_a_submodule_may_not_use_a_protocol_that_runs_programs(origin: Repository, git: Git, tmp_path: Path) -> None:
    modules = '[submodule "x"]\n\tpath = x\n\turl = ext::sh -c "touch pwned"\n'
    (origin.path / ".gitmodules").write_text(modules)
    other = origin.commit({"a": "1"})
    origin.git("update-index", "--add", "--cacheinfo", f"160000,{other},x")
    origin.git("commit", "--quiet", "-m", "add")
    sha = origin.git("rev-parse", "HEAD")
    latest(git, origin.app())
    with pytest.raises(OutsideError, match="submodules") as caught:
        asyncio.run(git.checkout(origin.app(submodules=True), sha, tmp_path / "tree"))
    assert "not allowed" in str(caught.value)


def test_a_bomb_of_files_is_refused_before_it_is_written(origin: Repository, git: Git, tmp_path: Path) -> None:
    sha = origin.commit({"blob": "x"})
    entry = f"100644 blob {origin.git('rev-parse', 'HEAD:blob')}"
    tree = ""
    for _ in range(9):
        listing = "".join(f"{entry}\tf{number}\n" for number in range(10))
        done = subprocess.run(
            ["git", "mktree"], cwd=origin.path, input=listing, capture_output=True, text=True, check=True
        )
        tree = done.stdout.strip()
        entry = f"040000 tree {tree}"
    sha = origin.git("commit-tree", tree, "-m", "10^9 files")
    origin.git("reset", "--quiet", "--soft", sha)
    latest(git, origin.app())
    started = time.monotonic()
    with pytest.raises(ReleaseError, match="too many files"):
        asyncio.run(git.checkout(origin.app(), sha, tmp_path / "tree"))
    assert time.monotonic() - started < 20
    assert not (tmp_path / "tree").exists()


@pytest.fixture
def silent_server() -> Iterator[int]:
    """Accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def processes_naming(text: str) -> list[str]:
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                found += [entry.name] if text.encode() in (entry / "cmdline").read_bytes() else []
            except OSError:
                continue
    return found


def test_a_server_that_says_nothing_is_given_up_and_nothing_is_left(silent_server: int, tmp_path: Path) -> None:
    git = Git(tmp_path / "state", timeout=0.5)
    repo = f"http://127.0.0.1:{silent_server}/x.git"
    started = time.monotonic()
    for ask in (git.tip, lambda app: git.commit(app, "1" * 40)):
        with pytest.raises(OutsideError, match="was given up"):
            asyncio.run(ask(App(name="website", kind=Kind.STATIC, repo=repo)))
    assert time.monotonic() - started < 5
    assert not processes_naming(repo)


class Backend(BaseHTTPRequestHandler):
    """Git's own server, with a line that is slow, or is cut after so many bytes of a pack."""

    pace: ClassVar[float] = float("inf")  # bytes a second
    cut: ClassVar[int | None] = None
    root: ClassVar[Path]

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        env = {"GIT_PROJECT_ROOT": str(self.root), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query}
        env |= {"REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type", "")}
        env |= {"GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), "PATH": os.environ["PATH"]}
        env |= {"HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", "")}
        asked = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        done = subprocess.run(["git", "http-backend"], env=env, input=asked, capture_output=True, check=False)
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        self.wfile.write(b"HTTP/1.0 200 OK\r\n" + head + b"\r\n\r\n")
        with suppress(OSError):  # the other side gives up
            self._send(body[: self.cut] if b"PACK" in body else body)

    do_POST = do_GET

    def _send(self, body: bytes) -> None:
        step = len(body) if self.pace == float("inf") else 1
        for start in range(0, len(body), step or 1):
            self.wfile.write(body[start : start + step])
            time.sleep(step / self.pace)

    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture
def backend(origin: Repository) -> Iterator[tuple[type[Backend], App]]:
    """The handler to spoil, and an app of the repository behind it."""
    handler = type("Spoilt", (Backend,), {"root": origin.path.parent})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        yield handler, origin.app(repo=f"http://127.0.0.1:{server.server_port}/origin/.git")
        handler.pace = float("inf")
        server.shutdown()
        serving.join()


def test_a_server_that_drips_is_given_up_and_nothing_is_left(
    origin: Repository, backend: tuple[type[Backend], App], tmp_path: Path
) -> None:
    handler, app = backend
    sha = origin.commit({"a": "1"})
    git = Git(tmp_path / "state", timeout=1.0)
    handler.pace = 10
    started = time.monotonic()
    for ask in (git.tip, lambda app: git.commit(app, sha)):
        with pytest.raises(OutsideError, match="was given up"):
            asyncio.run(ask(app))
    assert time.monotonic() - started < 10
    assert not processes_naming(app.repo)
    handler.pace = float("inf")
    assert latest(git, app).revision == sha, "it heals by itself"


def test_a_server_that_drips_and_keeps_git_talking_is_given_up_by_its_speed(
    origin: Repository, backend: tuple[type[Backend], App], git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler, app = backend
    sha = origin.commit({"a": "1"})
    assert "http.lowSpeedTime=30" in mirror.HARDENED
    monkeypatch.setattr(mirror, "HARDENED", (*mirror.HARDENED, "http.lowSpeedTime=2"))
    handler.pace = 10
    started = time.monotonic()
    with pytest.raises(OutsideError) as caught:
        asyncio.run(git.commit(app, sha))
    assert "too slow" in caught.value.seen
    assert time.monotonic() - started < 15, "before the limits of silence and of time"
    assert not processes_naming(app.repo)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_response_cut_in_the_middle_of_a_pack_is_a_failed_fetch_and_the_next_one_is_whole(
    origin: Repository, backend: tuple[type[Backend], App], git: Git, tmp_path: Path, share: float
) -> None:
    handler, app = backend
    first = origin.commit({"a": "1"})
    assert latest(git, app).revision == first
    (kept,) = (tmp_path / "state/mirrors").iterdir()
    sha = origin.commit({"large": os.urandom(200_000).hex()})
    handler.cut = int(share * 200_000)
    for _ in range(3):
        with pytest.raises(OutsideError, match="fetch of"):
            asyncio.run(git.commit(app, sha))
    assert asyncio.run(git.commit(app, first)).revision == first, "what was there before is still there"
    assert not list(kept.rglob("tmp_*")), "what came of it fills the disk"
    assert not processes_naming(app.repo)
    handler.cut = None
    assert latest(git, app).revision == sha


def test_what_is_damaged_at_the_server_costs_nothing_that_was_fetched_before(
    origin: Repository, backend: tuple[type[Backend], App], git: Git, tmp_path: Path
) -> None:
    _, app = backend
    first = origin.commit({"a": "1"})
    assert latest(git, app).revision == first
    sha = origin.commit({"a": "2"})
    blob = origin.git("rev-parse", f"{sha}:a")
    loose = origin.path / ".git/objects" / blob[:2] / blob[2:]
    loose.chmod(0o600)
    os.truncate(loose, 5)
    with pytest.raises(OutsideError, match="fetch of"):
        asyncio.run(git.commit(app, sha))
    assert asyncio.run(git.commit(app, first)).revision == first
    assert len(list((tmp_path / "state/mirrors").iterdir())) == 1, "it was fetched anew"


def test_cancelling_ends_git(silent_server: int, git: Git) -> None:
    repo = f"http://127.0.0.1:{silent_server}/x.git"

    async def cancelled() -> None:
        task = asyncio.create_task(git.tip(App(name="website", kind=Kind.STATIC, repo=repo)))
        await asyncio.sleep(0.3)
        assert processes_naming(repo)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert not processes_naming(repo)


def test_a_refused_connection_is_told(git: Git) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(OutsideError, match="cannot be reached"):
        asyncio.run(git.tip(App(name="website", kind=Kind.STATIC, repo=f"http://127.0.0.1:{port}/x.git")))


def test_locks_that_a_crash_left_do_not_stop_the_next_fetch(origin: Repository, tmp_path: Path) -> None:
    origin.commit({"a": "1"})
    latest(Git(tmp_path / "state"), origin.app())
    (mirror,) = (tmp_path / "state/mirrors").iterdir()
    for lock in ("packed-refs.lock", "refs/heads/main.lock"):
        (mirror / lock).touch()
    sha = origin.commit({"a": "2"})
    assert latest(Git(tmp_path / "state"), origin.app()).revision == sha


def test_git_is_asked_for_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_git()[0].isdigit()
    old = tmp_path / "git"
    old.write_text("#!/bin/sh\necho git version 2.20.1\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(HostError, match="too old"):
        check_git()
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(HostError, match="not installed"):
        check_git()


def without_head(mirror: Path) -> None:
    (mirror / "HEAD").unlink()


def with_a_cut_pack(mirror: Path) -> None:
    subprocess.run(["git", "--git-dir", str(mirror), "gc", "--quiet"], check=True)
    (pack,) = mirror.glob("objects/pack/*.pack")
    pack.chmod(0o600)
    os.truncate(pack, 100)


def with_files(pattern: str, content: Callable[[int], bytes]) -> Callable[[Path], None]:
    """As a power loss leaves what was not synced."""

    def damage(mirror: Path) -> None:
        files = [file for file in mirror.glob(pattern) if file.is_file()]
        assert files
        for file in files:
            size = file.stat().st_size
            file.unlink()
            file.write_bytes(content(size))

    damage.__name__ = f"{pattern} {'empty' if content is empty else 'zeros'}"
    return damage


def empty(size: int) -> bytes:
    return b""


LOST = [
    with_files(pattern, content)
    for pattern in ("HEAD", "config", "refs/heads/main", "objects/pack/*.pack", "objects/pack/*.idx", "**/*")
    for content in (empty, bytes)
]


@pytest.mark.parametrize("damage", [without_head, with_a_cut_pack, *LOST], ids=lambda damage: damage.__name__)
def test_a_damaged_mirror_is_mended_by_the_next_fetch(
    origin: Repository, git: Git, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    old = origin.commit({"a": "1"})
    latest(git, origin.app())
    (mirror,) = (tmp_path / "state/mirrors").iterdir()
    damage(mirror)
    sha = origin.commit({"a": "2"})
    assert latest(git, origin.app()).revision == sha
    asyncio.run(git.checkout(origin.app(), old, tmp_path / "tree"))


def test_the_newest_version_among_the_tags_is_followed(origin: Repository, git: Git) -> None:
    app = origin.app(tags="v*")
    first = origin.commit({"a": "1"})
    origin.git("tag", "-a", "-m", "annotated", "v1.9.0")
    second = origin.commit({"a": "2"})
    origin.git("tag", "v1.10.0")
    origin.commit({"a": "3"})
    origin.git("tag", "v2.0.0-rc.1")
    origin.git("tag", "unrelated")
    assert asyncio.run(git.tip(app)) == second
    found = latest(git, app)
    assert (found.revision, found.tag) == (second, "v1.10.0")
    assert latest(git, origin.app(tags="v*", prereleases=True)).tag == "v2.0.0-rc.1"
    assert latest(git, origin.app(tags="v1.9.*")).revision == first, "annotated: the commit that it points to"


def test_a_moved_tag_and_a_tag_on_an_older_commit_are_seen(origin: Repository, git: Git) -> None:
    app = origin.app(tags="v*")
    first = origin.commit({"a": "1"})
    second = origin.commit({"a": "2"})
    origin.git("tag", "v1.0.0")
    assert latest(git, app).revision == second
    origin.git("tag", "v1.1.0", first)
    found = latest(git, app)
    assert (found.revision, found.tag) == (first, "v1.1.0"), "the commit was in the mirror, its tag was not"
    third = origin.commit({"a": "3"})
    origin.git("tag", "--force", "v1.1.0", third)
    found = latest(git, app)
    assert (found.revision, found.tag) == (third, "v1.1.0")
    assert asyncio.run(git.commit(app, first)).tag is None


def test_a_tag_leads_to_the_last_commit_that_touches_what_is_watched(origin: Repository, git: Git) -> None:
    wanted = origin.commit({"site/a": "1"})
    origin.commit({"other/a": "1"})
    origin.git("tag", "v1.0.0")
    found = latest(git, origin.app(tags="v*", root="site"))
    assert (found.revision, found.tag) == (wanted, "v1.0.0")


def test_no_version_among_the_tags_is_told_with_what_is_there(origin: Repository, git: Git) -> None:
    origin.commit({"a": "1"})
    origin.git("tag", "v1.0.0-beta")
    with pytest.raises(OutsideError, match=r"(?s)has no version among the tags 'v\*'.*v1\.0\.0-beta.*set prereleases"):
        asyncio.run(git.tip(origin.app(tags="v*")))
    with pytest.raises(OutsideError, match="none matches"):
        asyncio.run(git.tip(origin.app(tags="release-*")))
