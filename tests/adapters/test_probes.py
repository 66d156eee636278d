"""Probes against real processes: what counts as ready, and what is said about everything else."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from process_app import INSTANCE, SERVE, SERVER, processes_in, release_of, said, started

from noren.adapters.probes import HttpProbes
from noren.adapters.sockets import answering, listeners
from noren.core.model import App, Instance, Kind, ProbeAnswer, Ready, Release

READY = Ready(timeout=1.0)


async def settled(tmp_path: Path, release: Release, instance: Instance, ready: Ready) -> ProbeAnswer:
    """The first answer after the instance listens."""
    async with asyncio.timeout(5):
        while True:
            answer = await HttpProbes(tmp_path / "state").probe(release.app, instance, ready)
            if not answer.problem.startswith(
                ("does not answer: the app listens on nothing yet", "refused the connection")
            ):
                return answer
            await asyncio.sleep(0.02)


def probed(tmp_path: Path, program: str, ready: Ready = READY, **settings: Any) -> tuple[ProbeAnswer, Instance]:
    async def scenario() -> tuple[ProbeAnswer, Instance]:
        release = release_of(tmp_path, program, **settings)
        async with started(processes_in(tmp_path), release) as instance:
            return await settled(tmp_path, release, instance, ready), instance

    return asyncio.run(scenario())


def port_of(instance: Instance) -> int:
    return int((instance.address or "").rpartition(":")[2])


def answering_with(status: int, body: str, header: str = "pass") -> str:
    """A program that gives every GET this answer."""
    return SERVER + (
        f"def get(self):\n"
        f"    self.send_response({status}); {header}; self.end_headers(); self.wfile.write({body.encode()!r})\n"
        f"Handler.do_GET = get\n"
        f'Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()'
    )


def raw(behaviour: str) -> str:
    """A program that takes every connection as ``c``, reads the request and behaves so."""
    return f"""
import os, socket, time
s = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
while True:
    c, _ = s.accept(); c.recv(65536)
    try:
        {behaviour}
    except OSError: pass
    c.close()
"""


def test_a_good_answer_from_the_instances_own_socket_is_ready(tmp_path: Path) -> None:
    answer, instance = probed(tmp_path, SERVE, Ready(path="/healthz?full=1", body="ok"))
    assert (answer.ok, answer.status, answer.problem, answer.hint) == (True, 200, "", "")
    assert answer.url == f"http://{instance.address}/healthz?full=1"
    assert answer.body == "ok api.example", "the host of the app is sent, without its path"
    assert 0 < answer.seconds < 1


def test_the_host_can_be_chosen(tmp_path: Path) -> None:
    assert probed(tmp_path, SERVE, Ready(host="inner.example"))[0].body == "ok inner.example"


@pytest.mark.parametrize("bind", ["0.0.0.0", "::"])
def test_binding_all_addresses_is_fine(tmp_path: Path, bind: str) -> None:
    family = "Server.address_family = 10\n" if ":" in bind else ""
    serve = f'{SERVER}{family}Server(("{bind}", int(os.environ["PORT"])), Handler).serve_forever()'
    assert probed(tmp_path, serve)[0].problem == ""


def test_a_listener_of_a_child_that_left_the_session_is_the_instances_own(tmp_path: Path) -> None:
    program = f"import os, time\nif os.fork(): time.sleep(60)\nos.setsid()\n{SERVE}"
    assert probed(tmp_path, program)[0].problem == ""


@pytest.mark.parametrize(
    ("ready", "ok"),
    [
        (Ready(status=204), True),
        (Ready(), True),
        (Ready(status=200), False),
        (Ready(body="all is well"), False),
    ],
)
def test_status_and_body_can_be_demanded(tmp_path: Path, ready: Ready, ok: bool) -> None:
    answer, _ = probed(tmp_path, answering_with(204, ""), ready)
    assert (answer.ok, answer.problem == "") == (ok, ok)


def test_an_error_is_told_with_its_status_and_the_head_of_the_body_without_control_characters(tmp_path: Path) -> None:
    answer, _ = probed(tmp_path, answering_with(503, "no \x1b[31mdatabase\n" + "x" * 500))
    assert answer.problem == "answered 503"
    assert answer.body.startswith("no  [31mdatabase xxx")
    assert len(answer.body) == 200


def test_a_redirect_is_not_followed_but_told(tmp_path: Path) -> None:
    header = 'self.send_header("Location", "https://api.example/")'
    answer, _ = probed(tmp_path, answering_with(301, "", header))
    assert (answer.ok, answer.problem) == (False, "answered 301 to https://api.example/")
    assert "ready.path" in answer.hint


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, "Invalid host header"),
        (400, "<h1>DisallowedHost at /</h1>"),
        (403, 'Blocked request. This host ("api.example") is not allowed.'),
        (421, ""),
    ],
)
def test_a_refused_host_is_recognized_and_the_way_out_named(tmp_path: Path, status: int, body: str) -> None:
    answer, _ = probed(tmp_path, answering_with(status, body))
    assert f"answered {status}" in answer.problem
    assert "Host: api.example;" in answer.hint
    assert "ready.host" in answer.hint


def test_an_app_that_ignores_its_port_is_told_where_it_listens(tmp_path: Path) -> None:
    serve = f'{SERVER}s = Server(("127.0.0.1", 0), Handler); print("at", s.server_port, flush=True); s.serve_forever()'

    async def scenario() -> tuple[ProbeAnswer, Instance, str]:
        release = release_of(tmp_path, serve)
        async with started(processes_in(tmp_path), release) as instance:
            answer = await settled(tmp_path, release, instance, READY)
            return answer, instance, (await said(instance, "at")).split()[1]

    answer, instance, port = asyncio.run(scenario())
    assert answer.problem == f"does not answer: the app listens on 127.0.0.1:{port}, but $PORT is {port_of(instance)}"
    assert "$PORT" in answer.hint


def test_an_app_on_ipv6_loopback_only_is_told_so(tmp_path: Path) -> None:
    program = f'{SERVER}Server.address_family = 10\nServer(("::1", int(os.environ["PORT"])), Handler).serve_forever()'
    answer, instance = probed(tmp_path, program)
    assert answer.problem == f"does not answer: the app listens on [::1]:{port_of(instance)} only, not on 127.0.0.1"
    assert "127.0.0.1" in answer.hint


def test_an_app_that_does_not_listen_yet_is_told_so(tmp_path: Path) -> None:
    async def scenario() -> ProbeAnswer:
        release = release_of(tmp_path, "import time; time.sleep(60)")
        async with started(processes_in(tmp_path), release) as instance:
            return await HttpProbes(tmp_path / "state").probe(release.app, instance, READY)

    answer = asyncio.run(scenario())
    assert answer.problem.startswith("does not answer: the app listens on nothing yet")


@contextlib.contextmanager
def thief(port: int) -> Any:
    """Somebody else's server on that port, which answers 200 to everything."""
    code = f'{SERVER}import os; s = Server(("127.0.0.1", {port}), Handler); print("up", flush=True); s.serve_forever()'
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"up\n"
        try:
            yield process.pid
        finally:
            process.kill()


def test_a_good_answer_by_a_thief_of_the_port_is_not_ready_and_the_thief_is_named(tmp_path: Path) -> None:
    async def scenario() -> tuple[ProbeAnswer, int]:
        release = release_of(tmp_path, "import time; time.sleep(60)")
        async with started(processes_in(tmp_path), release) as instance:
            with thief(port_of(instance)) as pid:
                return await HttpProbes(tmp_path / "state").probe(release.app, instance, READY), pid

    answer, pid = asyncio.run(scenario())
    assert (answer.ok, answer.status) == (False, 200)
    assert f"belongs to pid {pid} (" in answer.problem
    assert "not to this instance" in answer.problem


def test_another_instance_with_the_same_id_in_another_state_directory_is_a_stranger(tmp_path: Path) -> None:
    async def scenario() -> ProbeAnswer:
        (other := tmp_path / "other").mkdir()
        idle, serving = release_of(tmp_path, "import time; time.sleep(60)"), release_of(other, SERVE)
        async with (
            started(processes_in(tmp_path), idle) as instance,
            started(processes_in(other, first_port=(p := port_of(instance)), last_port=p), serving) as stranger,
        ):
            assert stranger.address == instance.address
            await settled(other, serving, stranger, READY)
            return await HttpProbes(tmp_path / "state").probe(idle.app, instance, READY)

    assert "not to this instance" in asyncio.run(scenario()).problem


@pytest.mark.parametrize(
    ("behaviour", "problem"),
    [
        ("time.sleep(60)", "gave no complete answer within 0.5 s"),
        ("c.sendall(b'HTTP/1.1 200 OK\\r\\n'); time.sleep(60)", "gave no complete answer within 0.5 s"),
        (
            "c.sendall(b'HTTP/1.1 200 OK\\r\\n\\r\\n')\n        while 1: c.sendall(b'x'); time.sleep(0.05)",
            "gave no complete answer within 0.5 s (status 200 came, but the body did not end)",
        ),
        ("while 1: c.sendall(b'HTTP/1.1 100 Continue\\r\\n\\r\\n'); time.sleep(0.01)", "gave no complete answer"),
        ("pass", "closed the connection before a complete answer"),
        ("c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-')", "closed the connection before a complete answer"),
        (
            "c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 9\\r\\n\\r\\nshort')",
            "closed the connection before a complete answer",
        ),
        ("c.sendall(b'\\x00\\xffgarbage\\r\\n\\r\\n')", "answered what is not HTTP"),
        ("c.sendall(b'HTTP/1.1 200 OK\\r\\nA: ' + b'x' * 1000000)", "answered what is not HTTP"),
    ],
    ids=["hangs", "half a header", "drip", "100 for ever", "closes", "closes mid-header", "short", "garbage", "huge"],
)
def test_whatever_the_instance_does_is_an_answer_and_takes_no_longer_than_the_timeout(
    tmp_path: Path, behaviour: str, problem: str
) -> None:
    answer, _ = probed(tmp_path, raw(behaviour), Ready(timeout=0.5))
    assert not answer.ok
    assert answer.problem.startswith(problem)
    assert answer.seconds < 0.8


def test_a_body_of_a_hundred_megabytes_is_read_to_64_kb_only(tmp_path: Path) -> None:
    program = raw(
        "c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 100000000\\r\\n\\r\\n'); "
        "[c.sendall(b'x' * 1000000) for _ in range(100)]"
    )
    answer, _ = probed(tmp_path, program, Ready(timeout=2.0))
    assert answer.ok
    assert answer.seconds < 0.5


def test_a_path_that_cannot_be_sent_is_a_problem_and_no_crash(tmp_path: Path) -> None:
    answer, _ = probed(tmp_path, SERVE, Ready(path="/a b\n"))
    assert answer.problem.startswith("cannot be asked for")


@contextlib.asynccontextmanager
async def unix_server(path: Path, answer: Callable[[bytes], bytes]) -> AsyncIterator[None]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(await reader.readuntil(b"\r\n\r\n")))
        await writer.drain()
        writer.close()

    async with await asyncio.start_unix_server(serve, path):
        yield


def test_a_static_release_is_asked_over_the_socket_by_its_label(tmp_path: Path) -> None:
    async def scenario() -> ProbeAnswer:
        app = App(name="website", kind=Kind.STATIC, repo="/r", hosts=("site.example",))
        instance = Instance(id="w", app="website", release=42, ordinal=0, address=f"unix@{tmp_path}/c.sock")
        async with unix_server(tmp_path / "c.sock", lambda asked: b"HTTP/1.1 200 OK\r\n\r\n" + asked):
            return await HttpProbes(tmp_path / "state").probe(app, instance, Ready(path="/ignored", body="GET / "))

    answer = asyncio.run(scenario())
    assert answer.ok, answer
    assert "website-42.id.noren" in answer.body
    assert answer.url == "http://website-42.id.noren/"


def test_a_socket_that_is_not_there_and_an_instance_not_started_are_problems(tmp_path: Path) -> None:
    async def scenario(address: str | None) -> ProbeAnswer:
        instance = Instance(id="w", app="api", release=42, ordinal=0, address=address)
        return await HttpProbes(tmp_path / "state").probe(release_of(tmp_path, "").app, instance, READY)

    assert "No such file" in asyncio.run(scenario(f"unix@{tmp_path}/none.sock")).problem
    assert asyncio.run(scenario(None)).problem == "has no address: it is not started"
    assert INSTANCE.address is None


def test_who_answers_ipv4_loopback_is_read_from_the_kernel() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as four,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as six,
    ):
        four_port, six_port = four.getsockname()[1], six.getsockname()[1]
        everyone = listeners()
        assert [str(found) for found in answering(four_port, everyone)] == [f"127.0.0.1:{four_port}"]
        assert f"[::1]:{six_port}" in map(str, everyone)
        assert answering(six_port, everyone) == []
