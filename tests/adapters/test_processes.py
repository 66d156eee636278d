"""The Runner of processes against real processes: what they get, how they end, and that nothing is left."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from process_app import INSTANCE, PYTHON, SERVE, pids_with, processes_in, release_of, said, started

from noren.adapters import identity, logfile, proctable
from noren.adapters.cgroup import Cgroups
from noren.core.errors import OutsideError, ReleaseError
from noren.core.model import Exit, Instance, Limits

SLEEP = "import time; print('up', flush=True); time.sleep(60)"


def gone(pid: int) -> bool:
    row = proctable.row(pid)
    return row is None or row.dead


def test_a_process_gets_the_documented_environment_and_nothing_of_the_daemons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> dict[str, str]:
        release = release_of(
            tmp_path,
            "import json, os; print(json.dumps(dict(os.environ)) + ' end', flush=True)",
            env=(("MODE", "production"), ("PORT", "1")),
            secrets=(("TOKEN", "s3cret"),),
        )
        async with started(processes_in(tmp_path), release) as instance:
            log = await said(instance, "end")
            assert instance.address is not None
            return {**json.loads(log.removesuffix(" end\n")), "expected port": instance.address.partition(":")[2]}

    monkeypatch.setenv("DAEMON_SECRET", "x")
    seen = asyncio.run(scenario())
    state = tmp_path / "state"
    assert seen.pop("PORT") == seen.pop("expected port") != "1"
    shell = {"PWD", "OLDPWD", "SHLVL", "_", "LC_CTYPE"}
    assert {name: value for name, value in seen.items() if name not in shell} == {
        "PATH": os.environ["PATH"],
        "HOME": str(state / "home" / "api"),
        "LANG": "C.UTF-8",
        "TMPDIR": str(state / "tmp" / INSTANCE.id),
        "NOREN_APP": "api",
        "NOREN_RELEASE": "42",
        "NOREN_REVISION": "c0ffee",
        "NOREN_DATA": str(state / "data" / "api"),
        "NOREN_INSTANCE": INSTANCE.id,
        "NOREN_LOG_LIMIT": "50000000",
        "MODE": "production",
        "TOKEN": "s3cret",
    }
    assert (state / "data" / "api").is_dir()


def test_a_process_starts_in_the_artifact_in_its_own_session_with_empty_input_and_no_descriptors_of_ours(
    tmp_path: Path,
) -> None:
    program = """
        import os, sys
        descriptors = sorted(map(int, os.listdir("/proc/self/fd")))
        print(os.getcwd(), os.getsid(0) == os.getpid(), repr(sys.stdin.read()), descriptors[3:], "end", flush=True)
    """

    async def scenario() -> str:
        with socket.socket() as leaking:
            leaking.set_inheritable(True)
            async with started(processes_in(tmp_path), release_of(tmp_path, program)) as instance:
                return await said(instance, "end")

    # The one descriptor beyond 0-2 is the listing's own.
    assert asyncio.run(scenario()) == f"{tmp_path / 'artifact'} True '' [3] end\n"


def test_limits_reach_the_process(tmp_path: Path) -> None:
    program = """
        import resource
        print(resource.getrlimit(resource.RLIMIT_NOFILE), open("/proc/self/oom_score_adj").read(), "end", flush=True)
    """

    async def scenario() -> str:
        release = release_of(tmp_path, program, limits=Limits(open_files=300))
        async with started(processes_in(tmp_path), release) as instance:
            return await said(instance, "end")

    assert asyncio.run(scenario()).split() == ["(300,", "300)", "200", "end"]


def test_memory_and_processes_are_limited_where_the_host_has_control_groups(tmp_path: Path) -> None:
    async def scenario() -> None:
        release = release_of(tmp_path, SLEEP, limits=Limits(memory=64_000_000))
        async with started(processes_in(tmp_path), release) as instance:
            await said(instance, "up")
            group = Cgroups(tmp_path / "state").of(instance.id)
            if not group.pids():
                pytest.skip("no writable control groups here")
            assert instance.pid in group.pids()
            lines = Path(f"/proc/{instance.pid}/cgroup").read_text()
            mounts = [Path("/sys/fs/cgroup") / kind / path.lstrip("/") for _, kind, path in _groups(lines)]
            found = {
                name: (mount / name).read_text().strip()
                for mount in mounts
                for name in _LIMITS
                if (mount / name).exists()
            }
            assert found.get("pids.max", "4096") == "4096"
            assert int(found.get("memory.limit_in_bytes", found.get("memory.max", 64_000_000))) <= 64_000_000
        assert not [folder for folder in mounts if instance.id in str(folder) and folder.exists()]

    asyncio.run(scenario())


_LIMITS = ("pids.max", "memory.limit_in_bytes", "memory.max")


def _groups(lines: str) -> list[list[str]]:
    return [line.split(":", 2) for line in lines.splitlines()]


@pytest.mark.parametrize(
    ("run", "named"),
    [("./server --port $PORT", "./server"), ("no-such-program-here --x", "no-such-program-here"), (" ", "no command")],
)
def test_a_missing_program_is_named_before_anything_starts(tmp_path: Path, run: str, named: str) -> None:
    with pytest.raises(ReleaseError, match=named) as caught:
        asyncio.run(processes_in(tmp_path).start(release_of(tmp_path, "", run=run), INSTANCE))
    assert not isinstance(caught.value, OutsideError)
    assert caught.value.hint


def test_a_program_that_is_not_executable_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"\./app\.py, is missing or not executable"):
        asyncio.run(processes_in(tmp_path).start(release_of(tmp_path, "", run="./app.py"), INSTANCE))


def test_a_missing_working_directory_is_named(tmp_path: Path) -> None:
    release = release_of(tmp_path, SLEEP)
    away = replace(release, artifact=replace(release.artifact, path=str(tmp_path / "nowhere")))
    with pytest.raises(ReleaseError, match="does not exist") as caught:
        asyncio.run(processes_in(tmp_path).start(away, INSTANCE))
    assert "nowhere" in caught.value.seen


@pytest.mark.parametrize("run", [f"cd . && {PYTHON}", f"MODE=x {PYTHON}", f'test -n "$PORT" && exec {PYTHON}'])
def test_a_command_line_may_use_the_shell(tmp_path: Path, run: str) -> None:
    async def scenario() -> None:
        async with started(processes_in(tmp_path), release_of(tmp_path, SLEEP, run=run)) as instance:
            await said(instance, "up")

    asyncio.run(scenario())


def test_starting_the_same_instance_again_returns_the_one_that_runs(tmp_path: Path) -> None:
    async def scenario() -> None:
        runner, release = processes_in(tmp_path), release_of(tmp_path, SLEEP)
        async with started(runner, release) as instance:
            assert await runner.start(release, instance) == instance
            assert await runner.start(release, INSTANCE) == instance

    asyncio.run(scenario())


def test_a_port_that_anybody_uses_is_never_given(tmp_path: Path) -> None:
    async def scenario() -> None:
        with (
            socket.create_server(("127.0.0.1", 0)) as thief,
            socket.create_server(("::1", 0), family=socket.AF_INET6) as other,
        ):
            for taken in (thief, other):
                port = taken.getsockname()[1]
                runner = processes_in(tmp_path, first_port=port, last_port=port)
                with pytest.raises(OutsideError, match="No port is free"):
                    await runner.start(release_of(tmp_path, SLEEP), INSTANCE)

    asyncio.run(scenario())


def test_two_instances_get_two_ports_and_a_returned_port_rests(tmp_path: Path) -> None:
    async def scenario(rest: float) -> None:
        release, probe = release_of(tmp_path, SLEEP), processes_in(tmp_path)
        async with started(probe, release) as sample:
            first = int((sample.address or "").partition(":")[2])
        runner = processes_in(tmp_path, first_port=first, last_port=first, rest=rest)
        async with started(runner, release, id="a"):
            with pytest.raises(OutsideError):
                await runner.start(release, replace(INSTANCE, id="b"))
        if rest:
            with pytest.raises(OutsideError, match="No port"):
                await runner.start(release, replace(INSTANCE, id="c"))
        else:
            async with started(runner, release, id="c") as again:
                assert again.address == sample.address

    asyncio.run(scenario(60))
    asyncio.run(scenario(0))


@pytest.mark.parametrize(
    ("program", "code", "sentence"),
    [
        ("import sys; sys.exit('cannot reach \\x1b[31mthe database\\x1b[0m\\x07')", 1, "exited with code 1"),
        ("import os; os.kill(os.getpid(), 9)", -9, "was ended by signal 9"),
        ("import time; print('cannot reach the database'); time.sleep(0.2)", 0, "exited with code 0"),
    ],
)
def test_an_exit_tells_the_code_and_the_last_lines(tmp_path: Path, program: str, code: int, sentence: str) -> None:
    async def scenario() -> Exit:
        runner = processes_in(tmp_path)
        async with started(runner, release_of(tmp_path, program)) as instance, asyncio.timeout(5):
            return await runner.exited(instance)

    end = asyncio.run(scenario())
    assert (end.code, str(end)) == (code, sentence)
    assert end.log_tail == ("" if code == -9 else "cannot reach the database")


def test_an_instant_exit_is_not_missed_by_a_late_watcher_nor_by_stop(tmp_path: Path) -> None:
    async def scenario() -> list[int | None]:
        runner = processes_in(tmp_path)
        instance = await runner.start(release_of(tmp_path, "", run="exit 3"), INSTANCE)
        await asyncio.sleep(0.1)
        late = await runner.exited(instance)
        other = await runner.start(release_of(tmp_path, SLEEP), replace(INSTANCE, id="other"))
        watcher = asyncio.create_task(runner.exited(other))
        await asyncio.sleep(0.1)
        await runner.stop(other, 5)
        await runner.stop(instance, 5)
        return [late.code, (await watcher).code]

    assert asyncio.run(scenario()) == [3, -signal.SIGTERM]


def test_an_instance_whose_main_process_exits_has_ended_and_stop_ends_its_children(tmp_path: Path) -> None:
    program = f"""
        import subprocess, sys
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60) # {tmp_path.name}"])
    """

    async def scenario() -> None:
        runner = processes_in(tmp_path)
        async with started(runner, release_of(tmp_path, program)) as instance, asyncio.timeout(5):
            assert (await runner.exited(instance)).code == 0
            assert proctable.row(instance.pid or 0) is None
            assert pids_with(f"# {tmp_path.name}")
        assert not pids_with(f"# {tmp_path.name}")

    asyncio.run(scenario())


# Leaves the session, and the second time also the parent; the last one overwrote its environment too.
ESCAPING = """
    import os, subprocess, sys, time
    child = [sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60) # %s"]
    subprocess.Popen(child, start_new_session=True)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv(child[0], child)
        os._exit(0)
    subprocess.Popen(child, env={"PATH": "/bin"})
    os.wait()
    time.sleep(0.3)
    print("up", flush=True)
    time.sleep(60)
"""


def test_children_that_left_the_session_are_gone_after_stop(tmp_path: Path) -> None:
    async def scenario() -> None:
        runner = processes_in(tmp_path)
        async with started(runner, release_of(tmp_path, ESCAPING % tmp_path.name)) as instance:
            await said(instance, "up")
            assert len(pids_with(f"# {tmp_path.name}")) == 3
        assert not pids_with(f"# {tmp_path.name}")

    asyncio.run(scenario())


def test_children_are_found_without_control_groups_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noren.adapters.cgroup._parents", lambda: iter(()))
    test_children_that_left_the_session_are_gone_after_stop(tmp_path)


def test_a_process_that_ignores_sigterm_is_killed_after_the_grace_and_not_before(tmp_path: Path) -> None:
    program = """
        import signal, time
        signal.signal(signal.SIGTERM, lambda *_: print("heard", flush=True))
        print("up", flush=True)
        while True: time.sleep(60)
    """

    async def scenario() -> None:
        runner = processes_in(tmp_path)
        instance = await runner.start(release_of(tmp_path, program), INSTANCE)
        await said(instance, "up")
        before = time.monotonic()
        await runner.stop(instance, 0.4)
        assert 0.4 <= time.monotonic() - before < 1.5
        assert "heard" in await said(instance, "heard")
        assert gone(instance.pid or 0)
        await runner.stop(instance, 5)

    asyncio.run(scenario())


def test_a_shell_around_the_server_does_not_hide_it_from_sigterm(tmp_path: Path) -> None:
    program = """
        import signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(print("bye", flush=True)))
        print("up", flush=True)
        time.sleep(60)
    """

    async def scenario() -> None:
        runner = processes_in(tmp_path)
        instance = await runner.start(release_of(tmp_path, program, run=f"{PYTHON}; echo after"), INSTANCE)
        await said(instance, "up")
        before = time.monotonic()
        await runner.stop(instance, 5)
        assert time.monotonic() - before < 2
        assert "bye" in await said(instance, "bye")

    asyncio.run(scenario())


def test_a_fork_bomb_ends_with_its_instance(tmp_path: Path) -> None:
    program = """
        import os, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("up", flush=True)
        for _ in range(6): os.fork()
        while True:
            time.sleep(0.05)
            if os.fork() == 0: time.sleep(0.2); os._exit(0)
    """

    async def scenario() -> int:
        runner = processes_in(tmp_path)
        async with started(runner, release_of(tmp_path, program)) as instance:
            await said(instance, "up")
            await asyncio.sleep(0.3)
            return instance.pid or 0

    leader = asyncio.run(scenario())
    assert not [row for row in proctable.rows() if row.session == leader and not row.dead]


# Another daemon: starts an instance, prints its pid and is killed before it can commit anything.
CRASHING = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from process_app import *
async def main():
    folder = Path(sys.argv[1])
    instance = await processes_in(folder).start(release_of(folder, (folder / "program").read_text()), INSTANCE)
    await said(instance, "up")
    print(instance.pid, instance.start_ticks, instance.boot_id, instance.address, instance.log, flush=True)
    os.kill(os.getpid(), 9)
asyncio.run(main())
"""


def started_by_a_daemon_that_crashed(folder: Path, program: str) -> Instance:
    (folder / "program").write_text(program)
    here = str(Path(__file__).parent)
    crashed = subprocess.run(
        [sys.executable, "-c", CRASHING, str(folder), here], capture_output=True, text=True, timeout=20, check=False
    )
    pid, ticks, boot, address, log = crashed.stdout.split()
    return replace(INSTANCE, pid=int(pid), start_ticks=int(ticks), boot_id=boot, address=address, log=log)


@pytest.mark.parametrize("committed", [True, False], ids=["identity committed", "crash before the commit"])
def test_an_instance_outlives_the_daemon_and_is_adopted(tmp_path: Path, committed: bool) -> None:
    async def scenario() -> None:
        was = started_by_a_daemon_that_crashed(tmp_path, SLEEP)
        runner = processes_in(tmp_path)
        adopted = await runner.adopt(was if committed else INSTANCE)
        try:
            assert adopted == was
            assert not gone(was.pid or 0)
            assert was.pid is not None
            watcher = asyncio.create_task(runner.exited(was))
            await asyncio.sleep(0.05)
            os.kill(was.pid, signal.SIGKILL)
            end = await asyncio.wait_for(watcher, 5)
            assert end.code is None
            assert "adopted" in str(end)
            assert end.log_tail == "up"
            assert await runner.adopt(was) is None
        finally:
            await runner.stop(was, 0.1)

    asyncio.run(scenario())


def test_an_adopted_port_is_not_given_to_another(tmp_path: Path) -> None:
    async def scenario() -> None:
        was = started_by_a_daemon_that_crashed(tmp_path, SLEEP)
        port = int((was.address or "").partition(":")[2])
        runner = processes_in(tmp_path, first_port=port, last_port=port)
        assert await runner.adopt(was)
        try:
            with pytest.raises(OutsideError, match="No port"):
                await runner.start(release_of(tmp_path, SLEEP), replace(INSTANCE, id="other"))
        finally:
            await runner.stop(was, 1)
        next_daemon = processes_in(tmp_path, first_port=port, last_port=port)
        await next_daemon.stop(was, 1)
        with pytest.raises(OutsideError, match="No port"):
            await next_daemon.start(release_of(tmp_path, SLEEP), replace(INSTANCE, id="other"))

    asyncio.run(scenario())


def test_everything_of_a_state_directory_is_found_without_a_ledger(tmp_path: Path) -> None:
    async def scenario() -> None:
        was = started_by_a_daemon_that_crashed(tmp_path, SLEEP)
        (tmp_path / "other").mkdir()
        async with started(processes_in(tmp_path / "other"), release_of(tmp_path, SLEEP)) as stranger:
            runner = processes_in(tmp_path)
            assert [(one.id, one.app, one.release, one.pid) for one in runner.running()] == [
                (was.id, "api", 42, was.pid)
            ]
            for one in runner.running():
                await runner.stop(one, 1)
            assert gone(was.pid or 0)
            assert runner.running() == []
            assert not gone(stranger.pid or 0)

    asyncio.run(scenario())


def test_a_reused_pid_is_not_taken_for_the_instance_nor_stopped(tmp_path: Path) -> None:
    async def scenario(was: Instance) -> None:
        runner = processes_in(tmp_path)
        assert await runner.adopt(was) is None
        await runner.stop(was, 0.1)

    with subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger:
        row = proctable.row(stranger.pid)
        assert row is not None
        asyncio.run(
            scenario(replace(INSTANCE, pid=stranger.pid, start_ticks=row.start_ticks - 1, boot_id=identity.boot_id()))
        )
        assert stranger.poll() is None
        stranger.kill()


def test_a_flood_of_output_stays_within_the_limit_and_does_not_stop_the_app(tmp_path: Path) -> None:
    program = """
        import sys, time
        until = time.monotonic() + 1.3
        while time.monotonic() < until:
            sys.stdout.write(("x" * 99 + "\\n") * 500); sys.stdout.flush(); time.sleep(0.005)
        print("survived", flush=True)
        time.sleep(60)
    """

    async def scenario() -> None:
        runner = processes_in(tmp_path)
        async with started(runner, release_of(tmp_path, program, limits=Limits(log=1_000_000))) as instance:
            guard = asyncio.create_task(runner.guard_logs())
            await said(instance, "survived")
            await asyncio.sleep(1.1)
            guard.cancel()
            log = Path(instance.log or "")
            assert log.stat().st_size + logfile.previous(log).stat().st_size <= 1_000_000
            assert not gone(instance.pid or 0)
            assert logfile.tail(log).endswith("survived")

    asyncio.run(scenario())


def test_trimming_keeps_the_end_and_appending_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    with logfile.opened(log) as output:
        os.write(output, b"old\n" * 100 + b"newest\n")
        assert logfile.trim(log, 100)
        assert not logfile.trim(log, 100)
        os.write(output, b"next\n")
    assert logfile.previous(log).read_bytes().endswith(b"old\nnewest\n")
    assert logfile.previous(log).stat().st_size == 50
    assert log.read_bytes() == b"next\n"
    assert logfile.tail(log, lines=2) == "newest\nnext"


def test_old_logs_of_an_app_are_removed_but_never_those_of_what_runs(tmp_path: Path) -> None:
    for number in range(55):
        (tmp_path / f"i{number}.log").write_text("x")
        os.utime(tmp_path / f"i{number}.log", (number, number))
    logfile.prune(tmp_path, {"i1"})
    assert sorted(file.stem for file in tmp_path.iterdir()) == sorted(["i1", *(f"i{n}" for n in range(5, 55))])


def test_what_serves_goes_on_serving_after_the_loop_is_closed(tmp_path: Path) -> None:
    runner = processes_in(tmp_path)
    instance = asyncio.run(runner.start(release_of(tmp_path, SERVE), INSTANCE))
    try:
        assert not gone(instance.pid or 0)
    finally:
        asyncio.run(runner.stop(instance, 2))


def test_a_log_is_cut_though_its_end_cannot_be_kept(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    log.write_text("x" * 10_000)
    logfile.previous(log).mkdir()  # stands for a disk that the log has filled
    assert logfile.trim(log, 1000)
    assert log.stat().st_size == 0
