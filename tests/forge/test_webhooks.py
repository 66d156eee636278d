"""Webhooks through the real proxy to a real daemon: what is believed, what is refused, what follows."""

from __future__ import annotations

import random
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon import Daemon, Repository, no_leftovers
from tests.forge.hook import PUSH, SECRET, post, signed, tell

SETTINGS = """
[server]
listen = ["127.0.0.1:{port}"]
[defaults]
verify = { bake_time = "0s" }
triggers = { poll = "off" }
[apps.website]
repo = "website"
hosts = ["website.example"]
webhook = { secret_env = "WEBSITE_HOOK" }
[apps.silent]
repo = "website"
hosts = ["silent.example"]
[apps.unarmed]
repo = "website"
hosts = ["unarmed.example"]
webhook = { secret_env = "NO_SUCH_VARIABLE" }
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    made = Repository(tmp_path_factory.mktemp("hooks") / "website")
    made.commit({"index.html": "first"})
    return made


@pytest.fixture(scope="module")
def noren(repository: Repository) -> Iterator[Daemon]:
    folder = repository.path.parent
    with pytest.MonkeyPatch.context() as patch, no_leftovers(folder):
        patch.setenv("WEBSITE_HOOK", SECRET)
        with Daemon(folder, SETTINGS) as daemon:
            daemon.kept("website", repository.tip())
            yield daemon


def events(noren: Daemon) -> list[str]:
    return [line["text"] for line in noren.client.events("website", -1000)]


def test_a_webhook_brings_the_tip_live_though_polling_is_off(noren: Daemon, repository: Repository) -> None:
    revision = repository.commit({"index.html": "told"})
    assert tell(noren.port) == 202
    noren.kept("website", revision, timeout=10)
    assert any(text.startswith(f"webhook: {revision[:12]}") for text in events(noren))


def test_dropped_repeated_and_reordered_webhooks_lead_to_the_newest_commit(
    noren: Daemon, repository: Repository
) -> None:
    """Each push is told ten times or not at all, late and in another order; the last word is any of them."""
    chance = random.Random(7)
    told: list[tuple[bytes, str]] = []
    for number in range(10):
        revision = repository.commit({"index.html": f"reordered {number}"})
        body = b'{"ref": "refs/heads/main", "after": "%s"}' % revision.encode()
        told += [(body, f"delivery {number}")] * chance.choice((0, 10))
    told.append((PUSH, "the first of all, late"))
    chance.shuffle(told)
    for body, name in told:
        assert tell(noren.port, body=body, name=name) == 202
    noren.kept("website", repository.tip(), timeout=15)
    built = [r for r in noren.client.releases("website") if r["built_at"]]
    assert len(built) <= 6, "ten commits and a hundred webhooks are few looks and fewer builds"


def test_repeating_a_delivery_three_hundred_times_does_nothing(noren: Daemon) -> None:
    before = events(noren)
    statuses = {tell(noren.port, name="replayed") for _ in range(300)}
    time.sleep(1.5)
    assert statuses == {202}
    assert events(noren) == before


GOOD = signed(PUSH)
REFUSED = {
    "no signature": (401, PUSH, {}),
    "another secret": (401, PUSH, signed(PUSH, "another")),
    "signature of another payload": (401, PUSH + b" ", GOOD),
    "SHA-1 only": (401, PUSH, {"X-Hub-Signature": "sha1=" + "0" * 40}),
    "an association that anybody may claim": (401, b'{"author_association": "OWNER"}', {}),
    "GitLab's token guessed": (401, PUSH, {"X-Gitlab-Token": "guess"}),
    "not JSON": (400, b"ref=main", signed(b"ref=main")),
    "half of it": (400, PUSH[:-1], signed(PUSH[:-1])),
    "a list": (400, b"[]", signed(b"[]")),
    "nothing": (400, b"", signed(b"")),
    "a key twice": (400, b'{"a":1,"a":2}', signed(b'{"a":1,"a":2}')),
    "nested deeply": (400, b"[" * 100_000, signed(b"[" * 100_000)),
    "too large": (413, b" " * 1_000_001, {}),
    "as large as GitHub's largest": (413, b" " * 25_000_000, signed(b" " * 25_000_000)),
}


@pytest.mark.parametrize(("status", "body", "headers"), REFUSED.values(), ids=REFUSED)
def test_what_is_forged_or_malformed_is_refused_and_does_nothing(
    status: int, body: bytes, headers: dict[str, str], noren: Daemon, repository: Repository
) -> None:
    repository.commit({"index.html": f"nobody was told {status}"})
    before = events(noren)
    assert post(noren.port, "/.noren/hooks/website", body, headers)[0] == status
    time.sleep(0.3)
    assert events(noren) == before


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/.noren/hooks/unarmed", 503),
        ("POST", "/.noren/hooks/silent", 404),
        ("POST", "/.noren/hooks/nobody", 404),
        ("POST", "/.noren/hooks/", 404),
        ("POST", "/.noren/hooks/website/more", 404),
        ("POST", "/.noren/hooks/../website", 404),
        ("POST", "/.noren/v1/status", 404),
        ("POST", "/.noren/v1/stop", 404),
        ("GET", "/.noren/hooks/website", 404),
        ("GET", "/.noren/", 404),
        ("PUT", "/.noren/hooks/website", 404),
    ],
)
def test_nothing_else_of_noren_is_public(method: str, path: str, status: int, noren: Daemon) -> None:
    for host in ("website.example", "203.0.113.7"):
        answer, text = post(noren.port, path, PUSH, {**GOOD, "Host": host}, method)
        assert (answer, "traceback" in text.lower()) == (status, False)


def test_an_endless_payload_is_cut_at_the_limit(noren: Daemon) -> None:
    with socket.create_connection(("127.0.0.1", noren.port), timeout=20) as client:
        head = b"POST /.noren/hooks/website HTTP/1.1\r\nHost: website.example\r\nTransfer-Encoding: chunked\r\n\r\n"
        client.sendall(head)
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        sent = 0
        try:
            while sent < 50_000_000:
                client.sendall(chunk)
                sent += 0x10000
        except OSError:
            pass
        assert sent < 40_000_000, "it has been told to stop once it had sent what the largest forge sends"
    assert tell(noren.port) == 202


def test_a_payload_that_drips_is_given_up(noren: Daemon) -> None:
    with socket.create_connection(("127.0.0.1", noren.port), timeout=20) as client:
        client.sendall(b"POST /.noren/hooks/website HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
        began = time.monotonic()
        assert client.recv(100).startswith(b"HTTP/1.1 408")
        assert time.monotonic() - began < 12


def test_while_noren_is_down_a_webhook_is_told_to_come_again_and_nothing_is_missed(
    noren: Daemon, repository: Repository
) -> None:
    noren.end(signal.SIGTERM)
    revision = repository.commit({"index.html": "while it was down"})
    status, text = post(noren.port, "/.noren/hooks/website", PUSH, GOOD)
    assert (status, "next look" in text) == (503, True)
    assert post(noren.port, "/", b"", {"Host": "website.example"}, "GET")[0] == 200
    noren.up()
    noren.kept("website", revision, timeout=15)


def test_neither_secret_nor_payload_is_in_the_state_or_on_a_command_line(noren: Daemon) -> None:
    body = b'{"canary": "payload-canary-4711"}'
    assert tell(noren.port, body=body) == 202
    for file in noren.state.rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            assert SECRET.encode() not in data and b"payload-canary-4711" not in data, file
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert SECRET.encode() not in line.read_bytes()
        except OSError:
            continue
