"""The APIs of the forges as they document them, and forges that misbehave."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from noren.adapters import rest
from noren.adapters.forge import Forges
from noren.core.errors import OutsideError
from noren.core.forge import Forge, ForgeKind, PullRequest, State, Status
from noren.core.model import App, Kind

SHA = "3f2c1ab4c5d6e7f8091a2b3c4d5e6f708192a3b4"
STATUS = Status(revision=SHA, state=State.FAILURE, context="noren/a", text="release 3: exit code 1")
GITHUB: dict[str, Any] = {
    "number": 12,
    "author_association": "OWNER",
    "updated_at": "2999-01-01T00:00:00Z",
    "head": {"sha": SHA, "ref": "main", "repo": {"id": 1}},
    "base": {"ref": "main", "repo": {"id": 1}},
}
GITLAB: dict[str, Any] = {
    "iid": 12,
    "sha": SHA,
    "target_branch": "main",
    "source_project_id": 1,
    "target_project_id": 1,
    "updated_at": "2999-01-01T00:00:00.000Z",
}


class Server:
    """Answers with what it is given; ``asked`` are (method, path, headers, body)."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []
        self.url = ""

    def will(self, answer: Any, status: int = 200, **headers: str) -> None:
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.answers.append((status, headers, body))


@contextmanager
def serving() -> Iterator[Server]:
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            server.asked.append((self.command, self.path, dict(self.headers), body))
            status, headers, answer = server.answers.pop(0)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("TOKEN", "a token")
    with serving() as made:
        yield made


def app(server: Server, kind: str, token_env: str | None = "TOKEN") -> App:
    forge = Forge(kind=ForgeKind(kind), url=server.url, project="team/sub/a", token_env=token_env)
    return App(name="a", kind=Kind.STATIC, repo="/a", hosts=("a.example",), forge=forge)


def pulls(made: App) -> list[PullRequest]:
    return list(asyncio.run(Forges(lambda _: "http://a.example/").pulls(made)))


def tell(made: App) -> None:
    asyncio.run(Forges(lambda _: "http://a.example/").tell(made, STATUS))


@pytest.mark.parametrize(
    ("kind", "row", "path", "token", "ref"),
    [
        (
            "github",
            GITHUB,
            "/api/v3/repos/team/sub/a/pulls?state=open&per_page=100&page=1",
            "Bearer a token",
            "refs/pull/12/head",
        ),
        (
            "gitea",
            GITHUB,
            "/api/v1/repos/team/sub/a/pulls?state=open&limit=50&page=1",
            "token a token",
            "refs/pull/12/head",
        ),
        (
            "gitlab",
            GITLAB,
            "/api/v4/projects/team%2Fsub%2Fa/merge_requests?state=opened&per_page=100&page=1",
            "Bearer a token",
            "refs/merge-requests/12/head",
        ),
    ],
)
def test_pull_requests_are_read_as_each_forge_tells_them(
    server: Server, kind: str, row: dict[str, Any], path: str, token: str, ref: str
) -> None:
    server.will([row])
    assert pulls(app(server, kind)) == [PullRequest(number=12, head=SHA, ref=ref, base="main", fork=False)]
    method, asked, headers, _ = server.asked[0]
    assert (method, asked, headers["Authorization"]) == ("GET", path, token)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("github", {"head": {"sha": SHA, "repo": {"id": 2}}}),
        ("github", {"head": {"sha": SHA, "repo": None}}),
        ("github", {"head": {"sha": SHA}}),
        ("gitea", {"head": {"sha": SHA, "repo": None}, "base": {"ref": "main", "repo": None}}),
        ("gitlab", {"source_project_id": 2}),
        ("gitlab", {"source_project_id": None}),
        ("gitlab", {"source_project_id": None, "target_project_id": None}),
    ],
)
def test_what_is_not_known_to_be_of_the_repository_itself_is_a_forks(
    server: Server, kind: str, change: dict[str, Any]
) -> None:
    server.will([(GITLAB if kind == "gitlab" else GITHUB) | change])
    assert pulls(app(server, kind))[0].fork


def test_all_pages_are_read(server: Server) -> None:
    server.will([GITHUB | {"number": number} for number in range(1, 51)])
    server.will([GITHUB | {"number": 51}])
    assert len(pulls(app(server, "gitea"))) == 51
    assert [path.rpartition("=")[2] for _, path, _, _ in server.asked] == ["1", "2"]


@pytest.mark.parametrize(
    ("kind", "path", "state", "context"),
    [
        ("github", f"/api/v3/repos/team/sub/a/statuses/{SHA}", "failure", "context"),
        ("gitea", f"/api/v1/repos/team/sub/a/statuses/{SHA}", "failure", "context"),
        ("gitlab", f"/api/v4/projects/team%2Fsub%2Fa/statuses/{SHA}", "failed", "name"),
    ],
)
def test_a_status_is_set_as_each_forge_wants_it(server: Server, kind: str, path: str, state: str, context: str) -> None:
    server.will({}, 201)
    tell(app(server, kind))
    method, asked, _, body = server.asked[0]
    assert (method, asked) == ("POST", path)
    told = {"state": state, "description": STATUS.text, context: "noren/a", "target_url": "http://a.example/"}
    assert body == told


def test_gitlab_may_be_told_twice(server: Server) -> None:
    server.will({"message": "Cannot transition status via :enqueue from :pending"}, 400)
    tell(app(server, "gitlab"))


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (b"<html>", 200, "no list of pull requests"),
        ({}, 200, "no list of pull requests"),
        ([{"number": "12"}], 200, "cannot be read"),
        ([GITHUB | {"head": {"sha": "--upload-pack=x"}}], 200, "cannot be read"),
        ([GITHUB | {"number": 0}], 200, "cannot be read"),
        ([None], 200, "cannot be read"),
        (b"[" * 100_000, 200, "no list of pull requests"),
        ({"message": "Bad credentials\x1b[31m"}, 401, "is the token right"),
        ({"message": "API rate limit exceeded"}, 403, "too much was asked"),
        ({}, 404, "forge.project"),
        (b"", 502, "tried again"),
    ],
)
def test_a_forge_that_misbehaves_is_told_of_as_a_fault_outside(
    server: Server, answer: Any, status: int, said: str
) -> None:
    server.will(answer, status)
    with pytest.raises(OutsideError) as caught:
        pulls(app(server, "gitea"))
    assert said in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_token_follows_no_redirect(server: Server) -> None:
    with serving() as elsewhere:
        server.will(b"", 302, Location=f"{elsewhere.url}/api/v1/repos")
        with pytest.raises(OutsideError, match="refused"):
            pulls(app(server, "gitea"))
        assert elsewhere.asked == []


def test_a_token_that_is_missing_is_told_and_nothing_is_asked(server: Server) -> None:
    with pytest.raises(OutsideError, match="no token"):
        pulls(app(server, "gitea", "NO_SUCH_TOKEN"))
    assert server.asked == []


def test_nobody_there_is_a_fault_outside(server: Server) -> None:
    made = app(server, "gitea")
    server.url = ""
    with serving() as gone:
        made = app(gone, "gitea")
    with pytest.raises(OutsideError, match="could not be asked"):
        pulls(made)


def test_an_answer_may_neither_swell_nor_drip(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "_LARGEST", 1000)
    server.will([GITHUB] * 50)
    with pytest.raises(OutsideError, match="could not be asked"):
        pulls(app(server, "gitea"))
