"""Caddy outlives the daemon, its listener outlives Caddy, and no request reads what is not in a site."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from site_client import BINARY, answer, artifact, ask, connected, instance, release, request, running, site
from traversals import CANARY, HIDDEN, traversals

from noren.adapters import proctable
from noren.adapters.caddy import Caddy
from noren.adapters.caddy_config import config
from noren.adapters.httpget import get
from noren.adapters.identity import Identity, start_ticks
from noren.adapters.static import Sites
from noren.core.errors import HostError

PAGE = {"index.html": "home"}


def pid_of(caddy: Caddy) -> int:
    assert caddy.pid is not None
    return caddy.pid


def socket_inode(descriptor: Path) -> str:
    """ "" for what is no socket, or closed since it was listed."""
    with suppress(FileNotFoundError):
        kind, _, inode = str(descriptor.readlink()).partition(":")
        return inode.strip("[]") if kind == "socket" else ""
    return ""


def twin(pid: int, listener: socket.socket) -> subprocess.Popen[bytes]:
    """Another Caddy with the command and the environment of this one."""
    words, env = proctable.words(pid), proctable.environment(pid)
    return subprocess.Popen(words, env=env, stdin=listener, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def answered_over_a_death(caddy: Caddy, number: signal.Signals) -> int:
    """A request that waits in the queue of a stopped Caddy, which then dies."""
    pid = pid_of(caddy)
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED)
    with connected(caddy) as connection:
        connection.sendall(request("/"))
        os.kill(pid, number)
        with suppress(ProcessLookupError):  # SIGKILL does not wait for it
            os.kill(pid, signal.SIGCONT)
        return answer(connection).status


def test_nothing_runs_before_the_first_site(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as caddy:
            assert caddy.pid is None
            await caddy.ensure()
            first = pid_of(caddy)
            await asyncio.gather(caddy.ensure(), caddy.ensure())
            assert caddy.pid == first

    asyncio.run(run())


def test_only_the_owner_may_connect(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as caddy:
            await caddy.ensure()
            assert (tmp_path / "caddy/caddy.sock").stat().st_mode & 0o777 == 0o600
            assert (tmp_path / "caddy").stat().st_mode & 0o777 == 0o700

    asyncio.run(run())


def test_a_killed_caddy_loses_no_queued_request(tmp_path: Path) -> None:
    async def run() -> None:
        async with site(tmp_path, PAGE) as caddy:
            for _ in range(3):
                before = caddy.pid
                assert await asyncio.to_thread(answered_over_a_death, caddy, signal.SIGKILL) == 200
                assert caddy.pid != before

    asyncio.run(run())


def test_the_socket_stays_when_someone_ends_caddy_politely(tmp_path: Path) -> None:
    async def run() -> None:
        async with site(tmp_path, PAGE) as caddy:
            ending = Identity.of(pid_of(caddy))
            assert ending is not None
            ending.send(signal.SIGTERM)
            await ending.ended()
            assert (await asyncio.to_thread(ask, caddy, "/")).status == 200

    asyncio.run(run())


def test_caddy_serves_on_without_the_daemon_and_is_adopted(tmp_path: Path) -> None:
    async def run() -> None:
        async with Caddy(tmp_path / "state", BINARY) as caddy:
            await Sites(caddy).start(release(artifact(tmp_path / "build", PAGE)), instance())
            pid = pid_of(caddy)
        assert ask(caddy, "/").status == 200
        async with running(tmp_path / "state") as successor:
            await successor.ensure()
            assert successor.pid == pid
            assert await Sites(successor).adopt(instance()) is not None
            assert await asyncio.to_thread(answered_over_a_death, successor, signal.SIGKILL) == 200

    asyncio.run(run())


def test_one_that_a_daemon_left_amid_a_change_of_caddies_is_ended(tmp_path: Path) -> None:
    """Two run for a moment when the configuration changes; the later one serves, whichever a daemon knew of."""

    async def run() -> None:
        async with Caddy(tmp_path, BINARY) as caddy:
            await caddy.ensure()
            earlier = pid_of(caddy)
        with socket.socket() as elsewhere:
            elsewhere.listen()
            later = twin(earlier, elsewhere)
            async with running(tmp_path) as successor:
                assert successor.pid == later.pid
                assert start_ticks(earlier) is None
            later.returncode = 0  # reaped by the one that ended it

    asyncio.run(run())


def test_a_caddy_that_died_while_the_daemon_was_away_is_started_by_the_next_site(tmp_path: Path) -> None:
    async def run() -> None:
        async with Caddy(tmp_path, BINARY) as caddy:
            await caddy.ensure()
            pid = pid_of(caddy)
        os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(os.waitpid, pid, 0)
        async with running(tmp_path) as successor:
            assert successor.pid is None
            await successor.ensure()
            assert ask(successor, "/").status == 404

    asyncio.run(run())


async def earlier(state: Path) -> tuple[int, int]:
    """A Caddy of a Noren that configures it differently goes on alone; its pid, and the inode of its socket."""
    with pytest.MonkeyPatch.context() as then:
        then.setattr("noren.adapters.caddy.config", lambda folder, sites: config(folder, sites) + "\n")
        async with Caddy(state, BINARY) as caddy:
            await caddy.ensure()
            return pid_of(caddy), (state / "caddy/caddy.sock").stat().st_ino


@pytest.fixture(params=["queue taken back", "queue not to be had"])
def shared(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the daemon may take the listener back from the Caddy that runs: some kernels are told to refuse."""
    if request.param == "queue not to be had":
        monkeypatch.setattr("noren.adapters.caddy.taken_back", lambda pid, descriptor: None)
    return request.param == "queue taken back"


def test_another_configuration_replaces_the_adopted_caddy_without_losing_its_queue(
    shared: bool, tmp_path: Path
) -> None:
    async def run() -> None:
        pid, inode = await earlier(tmp_path)
        async with running(tmp_path) as successor:
            assert pid_of(successor) != pid
            assert start_ticks(pid) is None
            assert (await asyncio.to_thread(ask, successor, "/")).status == 404
            assert ((tmp_path / "caddy/caddy.sock").stat().st_ino == inode) is shared
            assert not (tmp_path / "caddy/caddy.sock.new").exists()

    asyncio.run(run())


BROKEN = {
    "no such luck": "#!/bin/sh\necho no such luck >&2\nexit 3\n",
    "unknown module": '#!/bin/sh\nsed s/file_server/nonsense/ "$3" >worse.json\nexec {caddy} run --config worse.json\n',
    "No such file": None,
}


@pytest.mark.parametrize("said", BROKEN)
def test_a_binary_that_does_not_start_replaces_no_caddy(
    said: str, shared: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken, state = tmp_path / "broken", tmp_path / "state"
    if script := BROKEN[said]:
        broken.write_text(script.replace("{caddy}", str(BINARY)).replace("worse.json", str(tmp_path / "worse.json")))
        broken.chmod(0o755)

    async def run() -> None:
        pid, inode = await earlier(state)
        for _ in range(2):  # the next daemon tries again
            async with Caddy(state, broken) as successor:
                try:
                    assert pid_of(successor) == pid
                    assert (await asyncio.to_thread(ask, successor, "/")).status == 404
                    assert (state / "caddy/caddy.sock").stat().st_ino == inode
                    assert not (state / "caddy/caddy.sock.new").exists()
                    assert said in caplog.text
                except AssertionError:
                    await successor.shutdown()
                    raise
            caplog.clear()
        async with running(state) as successor:
            assert pid_of(successor) != pid

    asyncio.run(run())


def test_a_daemon_that_ends_amid_a_change_of_caddies_leaves_one_that_is_reached(shared: bool, tmp_path: Path) -> None:
    async def run() -> None:
        await earlier(tmp_path)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await Caddy(tmp_path, BINARY).__aenter__()
        async with running(tmp_path) as successor:
            assert (await asyncio.to_thread(ask, successor, "/")).status == 404
            if shared:
                assert await asyncio.to_thread(answered_over_a_death, successor, signal.SIGKILL) == 404
            assert not (tmp_path / "caddy/caddy.sock.new").exists()

    asyncio.run(run())


def test_shutdown_leaves_no_process_and_no_socket(tmp_path: Path) -> None:
    async def run() -> None:
        async with Caddy(tmp_path, BINARY) as caddy:
            await caddy.ensure()
            pid = pid_of(caddy)
            await caddy.shutdown()
            await caddy.shutdown()
        assert start_ticks(pid) is None
        assert not (tmp_path / "caddy/caddy.sock").exists()

    asyncio.run(run())


def test_a_caddy_that_cannot_start_is_reported_with_what_it_said(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no such luck >&2\nexit 3\n")
    broken.chmod(0o755)

    async def run(binary: Path) -> str:
        async with Caddy(tmp_path / "state", binary) as caddy:
            with pytest.raises(HostError) as caught:
                await caddy.ensure()
        return str(caught.value)

    assert "no such luck" in asyncio.run(run(broken))
    assert "No such file" in asyncio.run(run(tmp_path / "missing"))


def test_a_state_folder_deeper_than_a_socket_address_works(tmp_path: Path) -> None:
    async def run() -> None:
        async with site(tmp_path / ("x" * 100), PAGE) as caddy:
            assert ask(caddy, "/").status == 200
            assert (await get(caddy.address, host="web-42.id.noren", path="/", timeout=5)).status == 200

    asyncio.run(run())


def test_caddy_has_no_admin_and_no_port(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as caddy:
            await caddy.ensure()
            settings = json.loads((tmp_path / "caddy/caddy.json").read_text())
            assert settings["admin"]["disabled"] is True
            held = {inode for entry in Path(f"/proc/{caddy.pid}/fd").iterdir() if (inode := socket_inode(entry))}
            assert held
            for table in ("tcp", "tcp6", "udp", "udp6"):
                rows = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
                assert not held & {row.split()[9] for row in rows}

    asyncio.run(run())


# --- No request reads a byte from outside, or of what is hidden. ---


def test_no_request_reads_what_is_outside_or_hidden(tmp_path: Path) -> None:
    async def run() -> None:
        files = PAGE | {"docs/index.html": "docs", ".well-known/security.txt": "public"}
        files |= {name: CANARY for name in HIDDEN if not name.endswith("etag")}
        async with site(tmp_path, files) as caddy:
            neighbour = artifact(tmp_path / "neighbour", {"index.html": CANARY})
            await Sites(caddy).start(release(neighbour, 420), instance("i2", 420))
            for place in (tmp_path, caddy.sites, caddy.sites / "web-42"):
                (place / "outside.txt").write_text(CANARY)
            targets = traversals()
            assert len(targets) > 500
            missing = ask(caddy, "/missing")
            for target in sorted(targets):
                got = ask(caddy, target)
                assert CANARY.encode() not in got.body and b"root:" not in got.body, target
                assert got.status in (400, 404), (target, got)
                assert got.status == 400 or got.body == missing.body, (target, got)

    asyncio.run(run())


def test_only_the_exact_host_of_a_site_selects_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with site(tmp_path, PAGE) as caddy:
            assert ask(caddy, "/").status == 200
            for host in (
                "web-4.id.noren",
                "web-420.id.noren",
                "web-42.br.noren",
                "web-42.id.noren.evil.example",
                "x.web-42.id.noren",
                "web-42.id.noren:80",
                "..id.noren",
                "../web-42.id.noren",
                "web-42/../web-42.id.noren",
                ".web-42.new.id.noren",
                "-.id.noren",
                "{env.HOME}.id.noren",
            ):
                assert ask(caddy, "/", host).status in (400, 404), host

    asyncio.run(run())
