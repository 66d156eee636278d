"""HAProxy dies, the daemon leaves and comes back: listeners, routing and numbers stay."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
from pathlib import Path

import pytest
from haproxy_parts import another, backend, fetch, free_port, kill, proxy, routing, server, settled, upstreams

from noren.adapters.haproxy import HAProxy, end_left, find_binary
from noren.adapters.haproxy.config import connections
from noren.core.errors import HostError


def inode(port: int) -> set[str]:
    """The inodes of the sockets that listen on a port."""
    lines = [line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()]
    return {line[9] for line in lines if line[1].endswith(f":{port:04X}") and line[3] == "0A"}


def test_a_killed_haproxy_comes_back_on_the_same_listener(tmp_path: Path) -> None:
    async def check() -> None:
        port = free_port()
        async with proxy(tmp_path, port) as haproxy, upstreams("one", "two") as (one, two):
            await haproxy.apply(routing(backend(1, server("i1", 1, one))))
            second = backend(2, server("i2", 2, two), server("i1", 1, one, backup=True))
            await haproxy.apply(routing(second, backend(1, server("i1", 1, one))))
            before, listener = haproxy.pid, inode(port)
            for _ in range(3):
                pid = haproxy.pid
                await kill(pid)
                answers = await asyncio.gather(*(fetch(port) for _ in range(20)))
                assert {answer.body for answer in answers} == {"two"}
                await another(haproxy, pid)
            assert inode(port) == listener and len(listener) == 1 and haproxy.pid != before
            assert (await haproxy.observe("a")).proxy.startswith(f"{haproxy.pid}-")
            two.kill()
            # A write has a connection of its own: a read may meet one of the dead, which are more than it has tries.
            assert (await fetch(port, method="POST")).headers["x-noren-release"] == "a@1"

    asyncio.run(check())


def test_a_shutdown_in_the_middle_of_a_restart_leaves_no_haproxy(tmp_path: Path) -> None:
    """The successor answers before its start is recorded: it is ended all the same."""

    async def check() -> None:
        port = free_port()
        async with proxy(tmp_path, port) as haproxy, upstreams("one") as (one,):
            await haproxy.apply(routing(backend(1, server("i1", 1, one))))
            pid = haproxy.pid
            await kill(pid)
            for _ in range(100_000):
                if started(tmp_path) not in (None, pid):
                    break
                await asyncio.sleep(0)
            assert started(tmp_path) != haproxy.pid == pid, "a start has begun and is not over"
            await haproxy.shutdown()
            assert not left(tmp_path)

    asyncio.run(check())


def started(state: Path) -> int | None:
    """The pid of the HAProxy that is written down, the newest of whose start is known."""
    words = (state / "haproxy" / "identity.json").read_text().partition("\n")[2]
    return int(json.loads(words)["pid"]) if words else None


def left(state: Path) -> list[str]:
    """The pids of all that runs in HAProxy's folder."""
    return [proc.name for proc in Path("/proc").glob("[0-9]*") if here(proc, state / "haproxy")]


def here(proc: Path, folder: Path) -> bool:
    """Whether a process works there."""
    try:
        return (proc / "cwd").readlink() == folder
    except OSError:
        return False


def test_changes_asked_for_while_haproxy_is_dead_are_made_by_its_successor(tmp_path: Path) -> None:
    async def check() -> None:
        port = free_port()
        async with proxy(tmp_path, port) as haproxy, upstreams("one") as (one,):
            await haproxy.apply(routing(backend(1, server("i1", 1, one))))
            await kill(haproxy.pid)
            await haproxy.apply(routing(backend(2, server("i2", 2, one))))
            assert (await fetch(port)).headers["x-noren-release"] == "a@2"

    asyncio.run(check())


def test_the_daemon_may_leave_and_come_back_without_touching_traffic(tmp_path: Path) -> None:
    async def check() -> None:
        port = free_port()
        async with upstreams("one") as (one,):
            wanted = routing(backend(1, server("i1", 1, one)))
            async with proxy(tmp_path, port, end=False) as haproxy:
                pid = haproxy.pid
                await haproxy.apply(wanted)
                for _ in range(5):
                    await fetch(port)
                before = await settled(haproxy, 5)
            assert (await fetch(port)).body == "one"
            async with proxy(tmp_path, port) as haproxy:
                assert haproxy.pid == pid
                after = await settled(haproxy, 6)
                assert after.proxy == before.proxy
                assert (before.releases[1].both.ok, after.releases[1].both.ok) == (5, 6)
                await kill(pid)
                assert (await fetch(port)).body == "one"
                async with asyncio.timeout(5):
                    while not haproxy.samples("a", 0):
                        await fetch(port)

    asyncio.run(check())


def test_a_proxy_whose_identity_was_lost_is_adopted_and_can_be_ended_without_a_daemon(tmp_path: Path) -> None:
    async def check() -> None:
        port = free_port()
        async with proxy(tmp_path, port, end=False) as haproxy:
            pid = haproxy.pid
        (tmp_path / "haproxy/identity.json").unlink()
        async with proxy(tmp_path, port, end=False) as haproxy:
            assert haproxy.pid == pid
        assert await end_left(tmp_path)
        assert not inode(port) and not await end_left(tmp_path)

    asyncio.run(check())


def test_haproxy_may_open_as_many_files_as_its_connections_need(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))

    async def check() -> None:
        async with proxy(tmp_path, free_port()) as haproxy:
            limits = Path(f"/proc/{haproxy.pid}/limits").read_text()
            assert (
                int(next(line for line in limits.splitlines() if "open files" in line).split()[3]) > 2 * connections()
            )

    try:
        asyncio.run(check())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_was_routed_last_is_routed_again_after_everything_ended(tmp_path: Path) -> None:
    async def check() -> None:
        port = free_port()
        async with upstreams("one") as (one,):
            async with proxy(tmp_path, port) as haproxy:
                await haproxy.apply(routing(backend(1, server("i1", 1, one))))
            async with proxy(tmp_path, port):
                assert (await fetch(port)).body == "one"

    asyncio.run(check())


def test_an_address_in_use_is_named(tmp_path: Path) -> None:
    async def check() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            with pytest.raises(HostError, match=f"cannot listen on {address}") as caught:
                async with HAProxy(tmp_path, [address], find_binary()):
                    pass
            assert "in use" in caught.value.seen and "ss -ltnp" in caught.value.hint

    asyncio.run(check())


def test_other_addresses_than_those_of_the_running_proxy_are_refused(tmp_path: Path) -> None:
    async def check() -> None:
        port = free_port()
        async with proxy(tmp_path, port):
            pass
        async with proxy(tmp_path, port, end=False):
            pass
        with pytest.raises(HostError, match="listens elsewhere"):
            async with proxy(tmp_path, free_port()):
                pass
        async with proxy(tmp_path, port):
            pass

    asyncio.run(check())


def test_too_few_open_files_are_refused_with_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 1024))

    async def check() -> None:
        with pytest.raises(HostError, match="open files") as caught:
            async with HAProxy(tmp_path, ["127.0.0.1:1"], find_binary()):
                pass
        assert "hard limit 1024" in caught.value.seen

    asyncio.run(check())


def test_a_state_folder_may_be_deeper_than_a_socket_path_can_be_long(tmp_path: Path) -> None:
    async def check() -> None:
        port = free_port()
        async with proxy(tmp_path / ("d" * 100), port):
            assert (await fetch(port)).status == 404

    asyncio.run(check())


def test_a_binary_that_is_no_haproxy_is_refused() -> None:
    with pytest.raises(HostError, match="is no HAProxy"):
        find_binary("/bin/echo")
    with pytest.raises(HostError, match="cannot be run"):
        find_binary("/nowhere/haproxy")


def test_a_state_folder_that_cannot_be_written_stops_neither_a_switch_nor_a_restart(tmp_path: Path) -> None:
    async def check() -> None:
        port = free_port()
        async with proxy(tmp_path, port) as haproxy, upstreams("one", "two") as (one, two):
            await haproxy.apply(routing(backend(1, server("i1", 1, one))))
            # Root may write anywhere: a folder in the place of the new file fails for it too, as a full disk would.
            for name in ("haproxy.cfg", "active.map", "routes.map", "table.json", "slots.json", "identity.json"):
                (tmp_path / f"haproxy/{name}.new").mkdir()
            await haproxy.apply(routing(backend(2, server("i2", 2, two))))
            assert (await fetch(port)).body == "two"
            await kill(haproxy.pid)
            await haproxy.apply(routing(backend(2, server("i2", 2, two))))
            assert (await fetch(port)).body == "two"

    asyncio.run(check())
