"""The API promises: only the owner gets in, errors arrive as raised, streams end when either side does."""

from __future__ import annotations

import http.client
import json
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from noren.api.client import Client
from noren.api.desk import Desk
from noren.api.server import listen
from noren.core.errors import HostError, NorenError, NotRunningError, UsageError
from tests.api.fake_desk import RECEIPT, STATUS, Daemon, event, running


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with running(tmp_path) as found:
        yield found


@pytest.fixture
def client(daemon: Daemon) -> Client:
    return Client(daemon.path, by="ann")


def test_the_fake_is_a_desk(daemon: Daemon) -> None:
    desk: Desk = daemon.desk
    assert desk


def test_only_the_owner_may_use_the_socket_and_it_goes_with_the_daemon(daemon: Daemon) -> None:
    mode = daemon.path.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600
    daemon.stop()
    assert not daemon.path.exists()


def test_reads_answer_what_the_desk_says(client: Client) -> None:
    assert client.status() == {"apps": [STATUS]}
    assert client.receipt("website", 7) == client.receipt("website") == RECEIPT
    assert [release["release"] for release in client.releases("website")] == [42, 41]
    assert client.quarantine()[0]["app"] == "website"
    assert client.run("website")["environment"]["NOREN_RELEASE"] == "42"
    assert [line["seq"] for line in client.events(None, after=-5)] == [1]


def test_acts_reach_the_desk_with_who_asked(client: Client, daemon: Daemon) -> None:
    assert client.deploy("website", "abc") == 7
    assert client.rollback("website") == 7
    assert client.restart("website") == 7
    client.hold("website", "freeze")
    client.resume("website")
    client.lift("website", "abc")
    assert client.reload(prune=False, dry=True) == ["website: a new release of the same revision"]
    client.stop(everything=True)
    assert daemon.desk.asked == [
        ("deploy", "website", "abc", "ann"),
        ("rollback", "website", None, "ann"),
        ("restart", "website", "ann"),
        ("hold", "website", "freeze", "ann"),
        ("resume", "website", "ann"),
        ("lift", "website", "abc", "ann"),
        ("reload", False, True),
        ("stop", True),
    ]


def test_errors_arrive_as_they_were_raised(client: Client) -> None:
    with pytest.raises(UsageError, match="there is no app nope") as usage:
        client.releases("nope")
    assert (usage.value.seen, usage.value.hint) == ("apps: website", "noren status")
    with pytest.raises(NorenError, match="nothing to promote") as refused:
        client.promote("website")
    assert refused.value.exit_code == 1
    with pytest.raises(NorenError, match="has an error") as settings:
        client.reload(prune=True, dry=False)
    assert settings.value.exit_code == 2


def test_a_fault_of_ours_is_told_and_the_daemon_goes_on(client: Client) -> None:
    with pytest.raises(NorenError, match="the daemon failed to answer"):
        client.abort("website")
    assert client.status()


@pytest.mark.parametrize("app", ["", "a/b", "../status", "."])
def test_what_is_no_name_asks_nothing_else(client: Client, app: str) -> None:
    with pytest.raises(UsageError, match="is no name of an app"):
        client.releases(app)


def test_no_daemon_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(NotRunningError, match="no daemon answers") as missing:
        Client(tmp_path / "noren.sock").status()
    assert missing.value.hint == "noren up"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "noren.sock"))
    with pytest.raises(NotRunningError, match="no daemon answers"):
        list(Client(tmp_path / "noren.sock").follow(None, 0))


def test_a_dead_daemon_s_socket_is_replaced_and_a_living_one_s_is_not(tmp_path: Path) -> None:
    path = tmp_path / "noren.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with listen(path), pytest.raises(HostError, match="another Noren answers"):
        listen(path)
    with pytest.raises(HostError, match="cannot listen"):
        listen(tmp_path / "missing" / "noren.sock")


def test_a_state_folder_deeper_than_a_socket_address_works(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100) / ("y" * 100)
    folder.mkdir(parents=True)
    with running(folder) as daemon:
        assert Client(daemon.path).status()


def test_followers_get_history_and_then_what_happens(client: Client, daemon: Daemon) -> None:
    lines = client.follow("website", after=0)
    assert next(lines)["seq"] == 1
    daemon.call(daemon.desk.add, event(2, "building"))
    assert next(lines)["seq"] == 2


def test_a_follower_that_leaves_is_let_go(client: Client, daemon: Daemon) -> None:
    lines = client.follow(None, after=0)
    next(lines)
    lines.close()  # pyright: ignore
    deadline = time.monotonic() + 5
    while not daemon.desk.follower_gone.is_set() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert daemon.desk.follower_gone.is_set()


def test_streams_end_with_the_daemon_and_do_not_delay_it(client: Client, daemon: Daemon) -> None:
    lines = client.follow(None, after=0)
    next(lines)
    started = time.monotonic()
    stopper = threading.Thread(target=daemon.stop)
    stopper.start()
    assert list(lines) == []
    stopper.join()
    assert time.monotonic() - started < 1.5


def test_the_answer_to_stop_is_out_before_the_daemon_ends(client: Client, daemon: Daemon) -> None:
    daemon.desk.ended = lambda: daemon.task.cancel()
    client.stop(everything=True)
    daemon.thread.join(5)
    assert not daemon.thread.is_alive()


def test_an_error_within_a_stream_is_raised(client: Client) -> None:
    with pytest.raises(UsageError, match="there is no app nope"):
        list(client.follow("nope", after=0))


def test_waiting_tells_the_phases_and_then_the_outcome(client: Client) -> None:
    told = list(client.verdict("website", client.deploy("website")))
    assert [item["event"]["phase"] for item in told[:-1]] == ["building", "baking", "kept"]
    assert told[-1]["outcome"]["outcome"] == "kept"


def test_waiting_ends_without_an_outcome_when_the_daemon_stops(client: Client, daemon: Daemon) -> None:
    daemon.desk.stuck = True
    told = client.verdict("website", client.deploy("website"))
    assert "event" in next(told)
    threading.Thread(target=daemon.stop).start()
    assert not any("outcome" in item for item in told)


def test_logs_are_followed_across_a_turned_over_file(client: Client, daemon: Daemon, tmp_path: Path) -> None:
    log = tmp_path / "active.log"
    log.write_text("one\ntwo\nthree\nhal")
    lines = client.logs("website", release=None, build=False, last=2, follow=True)
    assert [next(lines), next(lines)] == ["two", "three"]
    with log.open("a") as file:
        file.write("f\n")
    assert next(lines) == "half"
    log.replace(tmp_path / "active.log.1")
    log.write_text("four\n")
    assert next(lines) == "four"


def test_the_last_lines_of_a_log_end_with_an_unfinished_one(client: Client, tmp_path: Path) -> None:
    (tmp_path / "build.log").write_bytes(b"x" * 70_000 + b"\nA\xff\nerror")
    lines = list(client.logs("website", release=None, build=True, last=3, follow=False))
    assert [line[:5] for line in lines] == ["xxxxx", "A\ufffd", "error"]
    with pytest.raises(UsageError, match="has no log yet"):
        list(client.logs("website", release=9, build=False, last=3, follow=False))


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"unknown": 1}', b'{"revision": 3}', b'{"revision": ""}', b"\xff", b'{"by": null}']
)
def test_a_body_that_makes_no_sense_is_refused(daemon: Daemon, body: bytes) -> None:
    connection = http.client.HTTPConnection("noren")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(daemon.path))
    connection.request("POST", "/v1/apps/website/deploy", body)
    answer = connection.getresponse()
    assert answer.status == 404
    assert json.loads(answer.read())["exit_code"] == 2
    connection.close()
    assert daemon.desk.asked == []


def test_the_client_starts_fast() -> None:
    code = "import sys, noren.api.client; print({'asyncio', 'starlette', 'pydantic', 'rich'} & sys.modules.keys())"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20)
    assert answer.stdout.strip() == "set()"
