"""Hostile requests through the public listener: no byte from outside of a site, and nothing that is hidden in it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from tests.adapters.traversals import CANARY, HIDDEN, traversals
from tests.daemon import Daemon, Repository, no_leftovers
from tests.proofs.claim import claim

SETTINGS = """
[server]
listen = ["127.0.0.1:{port}"]
[defaults]
triggers = { poll = "500ms" }
verify = { bake_time = "1s" }
[apps.web]
repo = "repo"
hosts = ["web.example", "other.example/below"]
[apps.built]
repo = "repo"
build = "cp -r . $NOREN_OUTPUT"
hosts = ["built.example"]
static = { fallback = "index.html" }
[apps.secret]
repo = "secret"
hosts = ["secret.example"]
"""
HOSTS = ("web.example", "built.example")
PREFIXES = ("", "/below")
STATE = ("noren.db", "noren.toml", ".noren/noren.db", "repo/.git/config", "sites/secret-1/tree/index.html", "secret")


def targets() -> Iterator[tuple[str, bytes]]:
    """(host, target): the corpus of Caddy's own tests, and what only a whole Noren has."""
    names = {
        f"/{up * depth}{name}".encode() for up in ("../", "%2e%2e/", "..%2f") for depth in (1, 4) for name in STATE
    }
    links = {b"/loop", b"/loop/loop", b"/folder-link/.secret", b"/.git/HEAD", b"/.git/"}
    for target in sorted(traversals() | names | links):
        for host in HOSTS:
            yield host, target
        if target.startswith(b"/"):
            yield "other.example", b"/below" + target
    for host in ("web-1.id.noren", "secret-1.id.noren", "../secret-1.id.noren", "web.example/../secret.example"):
        yield host, b"/"


def sent(port: int, host: str, target: bytes) -> bytes:
    """The whole answer to a request whose target goes over the wire as it is."""
    with closing(socket.create_connection(("127.0.0.1", port), 10)) as connection:
        connection.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: " + host.encode() + b"\r\nConnection: close\r\n\r\n")
        received = b""
        while part := connection.recv(65536):
            received += part
        return received


def hostile(path: Path) -> tuple[Repository, str]:
    """A repository full of what must not be served; its links stay inside, as others are refused."""
    repository = Repository(path)
    (path / "loop").symlink_to("loop")
    (path / "docs").mkdir()
    (path / "folder-link").symlink_to("docs")
    files: dict[str, str | None] = {"index.html": "home", "docs/index.html": "docs", "404.html": "not found here"}
    git = ".git/"
    files |= {name: CANARY for name in HIDDEN if not (name.startswith(git) or name.endswith("etag"))}
    return repository, repository.commit(files)


def test_no_request_to_the_public_listener_reads_what_is_outside_or_hidden(tmp_path: Path) -> None:
    _, revision = hostile(tmp_path / "repo")
    secret = Repository(tmp_path / "secret").commit({"index.html": CANARY})
    with no_leftovers(tmp_path), Daemon(tmp_path, SETTINGS) as noren:
        for app, commit in (("web", revision), ("built", revision), ("secret", secret)):
            noren.kept(app, commit)
        for place in (tmp_path, noren.state, noren.state / "sites", noren.state / "sites/web-1"):
            (place / "outside.txt").write_text(CANARY)
        assert CANARY.encode() in sent(noren.port, "secret.example", b"/")
        count = 0
        for host, target in targets():
            got = sent(noren.port, host, target)
            head = got.partition(b"\r\n")[0]
            assert CANARY.encode() not in got and b"root:" not in got and b"[core]" not in got, (host, target, got)
            allowed = (b" 200 ", b" 400 ", b" 404 ") if host == "built.example" else (b" 400 ", b" 404 ")
            assert any(status in head for status in allowed), (host, target, got)
            assert b" 200 " not in head or got.endswith(b"\r\n\r\nhome"), (host, target, got)
            count += 1
        claim("hostile targets through the public listener", f"0 bytes from outside in {count} requests")
        assert count >= 500
