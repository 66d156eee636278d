"""Which repositories git may talk to, with which credentials, and what its refusals become."""

from __future__ import annotations

import asyncio
import base64
import functools
import http.server
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from repository import Repository

from noren.adapters.git import Git
from noren.adapters.refusal import refusal
from noren.adapters.remote import Remote, prepare
from noren.core.errors import OutsideError
from noren.core.model import App, Credentials, Kind


@pytest.fixture
def origin(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "origin")


@pytest.fixture
def git(tmp_path: Path) -> Git:
    return Git(tmp_path / "state", timeout=20.0)


@pytest.mark.parametrize(
    "repo",
    [
        "ext::sh -c 'touch pwned'",
        "EXT::sh -c 'touch pwned'",
        "fd::17",
        "file:///etc",
        "FILE:///etc",
        "--upload-pack=touch pwned",
        "-h",
        "ssh://-oProxyCommand=touch pwned/x",
        "ssh://-oProxyCommand@host/x",
        "git@host::x",
        "host:-x",
        "http://example.com/x.git",
        "git://example.com/x.git",
        "https://user:hunter2@example.com/x.git",
        "https:///x",
        "https://exa mple.com/x",
        "https://[::1/x",
        "",
        " ",
    ],
)
def test_a_dangerous_url_never_reaches_git(
    git: Git, repo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutsideError, match="is refused") as caught:
        asyncio.run(git.tip(App(name="website", kind=Kind.STATIC, repo=repo)))
    assert "hunter2" not in str(caught.value)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    "repo",
    [
        "https://example.com/x.git",
        "git@github.com:example/x.git",
        "ssh://git@example.com:22/x",
        "http://127.0.0.1:3000/x",
    ],
)
def test_the_usual_urls_are_taken(repo: str) -> None:
    assert Remote.of(repo).url == repo


@pytest.mark.parametrize("setting", ["ssh_key_file", "known_hosts_file"])
def test_a_missing_key_or_hosts_file_is_named(git: Git, tmp_path: Path, setting: str) -> None:
    credentials = Credentials(**{setting: str(tmp_path / "no such")})
    app = App(name="website", kind=Kind.STATIC, repo="git@example.com:x.git", credentials=credentials)
    with pytest.raises(OutsideError, match=f"{setting} for repository git@example.com:x.git is missing"):
        asyncio.run(git.tip(app))


def test_a_missing_token_names_the_variable(git: Git) -> None:
    app = App(
        name="a", kind=Kind.STATIC, repo="https://x.example/x", credentials=Credentials(token_env="NO_SUCH_TOKEN")
    )
    with pytest.raises(OutsideError, match="no token") as caught:
        asyncio.run(git.tip(app))
    assert "NO_SUCH_TOKEN" in caught.value.seen


def test_ssh_trusts_only_the_named_hosts_and_offers_only_the_named_key(tmp_path: Path) -> None:
    key, hosts = tmp_path / "deploy key", tmp_path / "known hosts"
    key.touch()
    hosts.touch()
    credentials = Credentials(ssh_key_file=str(key), known_hosts_file=str(hosts))
    env = Remote.of("git@example.com:x.git").environment(tmp_path, credentials)
    asked = subprocess.check_output(["/bin/sh", "-c", env["GIT_SSH_COMMAND"] + " -G example.com"], text=True)
    for line in (
        "stricthostkeychecking true",
        "identitiesonly yes",
        f"identityfile {key}",
        f"userknownhostsfile {hosts}",
    ):
        assert line in asked.lower().replace(str(tmp_path).lower(), str(tmp_path)).splitlines()
    assert env["GIT_ALLOW_PROTOCOL"] == "https:ssh"


def test_the_token_is_told_to_its_host_only_and_is_in_no_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path / "git")
    monkeypatch.setenv("MY_TOKEN", "s3cret")
    env = Remote.of("https://git.example:8443/x").environment(tmp_path / "git", Credentials(token_env="MY_TOKEN"))

    def answer(question: str) -> str:
        done = subprocess.run([env["GIT_ASKPASS"], question], env=env, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    assert answer("Username for 'https://git.example:8443': ") == "x-access-token"
    assert answer("Password for 'https://x-access-token@git.example:8443': ") == "s3cret"
    for host in (
        "https://evil.example",
        "https://git.example",
        "https://git.example:8443.evil.example",
        "https://x@notgit.example:8443",
    ):
        assert answer(f"Password for '{host}': ") == ""
    assert not [key for key, value in env.items() if "s3cret" in value and key != "NOREN_GIT_TOKEN"]
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and "s3cret" in file.read_text()]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Host key verification failed.\nfatal: Could not read from remote repository.", "host key of R is not known"),
        ("git@h: Permission denied (publickey).", "does not accept our key"),
        ("@ WARNING: UNPROTECTED PRIVATE KEY FILE! @", "can be read by others"),
        ("fatal: could not read Username for 'https://h': terminal prompts disabled", "asks for a user"),
        ("remote: Repository not found.", "there is no repository R"),
        ("fatal: unable to access 'https://h/': Could not resolve host: h", "has no address"),
        ("fatal: write error: No space left on device", "the disk is full"),
    ],
)
def test_what_git_says_is_put_into_our_words(said: str, told: str) -> None:
    assert told in refusal("fetch of R", "R", said).what


def test_no_password_is_repeated() -> None:
    error = refusal("fetch", "R", "fatal: unable to access 'https://u:hunter2@h/': token s3cret\x1b[0m", "s3cret")
    assert "hunter2" not in str(error)
    assert "s3cret" not in str(error)
    assert "\x1b" not in str(error)


class Dumb(http.server.SimpleHTTPRequestHandler):
    """Serves a repository over HTTP to whoever knows the token."""

    def do_GET(self) -> None:
        if base64.b64encode(b"x-access-token:s3cret").decode() in self.headers.get("Authorization", ""):
            return super().do_GET()
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.end_headers()
        return None

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def private(origin: Repository) -> Iterator[str]:
    origin.commit({"a": "1"})
    origin.git("update-server-info")
    handler = functools.partial(Dumb, directory=str(origin.path / ".git"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_a_private_repository_opens_for_the_right_token_only(
    origin: Repository, git: Git, private: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    app = origin.app(repo=private, credentials=Credentials(token_env="MY_TOKEN"))
    monkeypatch.setenv("MY_TOKEN", "s3cret")
    assert asyncio.run(git.commit(app, asyncio.run(git.tip(app)))).subject == "change"
    assert not [file for file in (tmp_path / "state").rglob("*") if file.is_file() and b"s3cret" in file.read_bytes()]
    monkeypatch.setenv("MY_TOKEN", "wr0ng")
    for other in (app, origin.app(repo=private)):
        with pytest.raises(OutsideError, match="asks for a user and password") as caught:
            asyncio.run(git.tip(other))
        assert "wr0ng" not in str(caught.value)
