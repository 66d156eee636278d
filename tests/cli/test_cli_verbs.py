"""The command line against a daemon on a real socket: what it prints, and the codes it exits with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from noren.cli.commands import VERBS, noren
from noren.core.errors import SettingsError
from tests.api.fake_desk import RECEIPT, STATUS, Daemon, event, running


class FakeProgram:
    """What main.py supplies; ``asked`` has what was asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: list[tuple[str, str | None]] = []

    def socket(self, config: str | None) -> Path:
        self.asked.append(("socket", config))
        return self.path

    def serve(self, config: str | None) -> None:
        self.asked.append(("serve", config))

    def down(self, config: str | None) -> list[str]:
        self.asked.append(("down", config))
        return ["stopped 2 instances of website"]

    def check(self, config: str | None) -> str:
        if config == "bad.toml":
            raise SettingsError("bad.toml has an error", seen="\n  bad.toml:3: x", hint="noren init")
        return "[server]\n"

    def schema(self) -> str:
        return "{}"


class Shell:
    """``noren …`` with a program."""

    def __init__(self, program: FakeProgram) -> None:
        self.program = program

    def __call__(self, *words: str) -> Result:
        return CliRunner().invoke(noren, words, obj=self.program)

    def good(self, *words: str) -> str:
        result = self(*words)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.good(*words, "--json"))


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with running(tmp_path) as found:
        yield found


@pytest.fixture
def shell(daemon: Daemon) -> Shell:
    return Shell(FakeProgram(daemon.path))


@pytest.fixture
def alone(tmp_path: Path) -> Shell:
    return Shell(FakeProgram(tmp_path / "noren.sock"))


def commands(group: click.Group, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command
        yield (*above, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*above, name))


def test_every_verb_says_what_it_does_and_how(alone: Shell) -> None:
    listed = alone.good("--help")
    for words, command in commands(noren):
        assert words[0] in listed
        assert command.help, words
        assert isinstance(command, click.Group) or words == ("quarantine", "list") or "Example" in command.help, words
        assert "Usage" in alone.good(*words, "--help")


def test_status_is_a_table_in_a_pipe(shell: Shell) -> None:
    header, row = shell.good("status").splitlines()
    assert header.split() == ["APP", "KIND", "PHASE", "ACTIVE", "REVISION", "SINCE", "CANDIDATE", "NOTES"]
    told = "website static kept 42 aaaaaaaaaaaa 2026-01-02 03:04:05Z 43 building held, source problem, 1 quarantined"
    assert " ".join(row.split()) == told


def test_status_says_that_instances_are_started_again(shell: Shell, daemon: Daemon) -> None:
    active = {**STATUS["active"], "instances": {"running": 1, "wanted": 2}}
    daemon.desk.otherwise = {"phase": "idle", "active": active}
    assert "1 of 2 instances run, held" in shell.good("status")


def test_status_of_one_app_tells_more(shell: Shell) -> None:
    told = shell.good("status", "website")
    assert "held by ann since 2026-01-02 03:04:05Z: freeze" in told
    assert "source problem: there is no branch 'mian'; seen: branches there: main" in told
    assert "quarantined cccccccccccc since 2026-01-02 03:04:05Z: never ready" in told
    assert "address: http://website.example/" in told


def test_json_is_what_the_daemon_says(shell: Shell, daemon: Daemon) -> None:
    assert shell.json("status") == {"apps": [STATUS]}
    assert [release["release"] for release in shell.json("releases", "website")] == [42, 41]
    assert shell.json("receipt", "website") == RECEIPT
    assert shell.json("quarantine", "list")[0]["app"] == "website"
    assert shell.json("events") == daemon.desk.history
    assert shell.json("deploy", "website") == {"rollout": 7}
    assert shell.json("deploy", "website", "--wait") == RECEIPT


def test_a_receipt_is_readable(shell: Shell) -> None:
    told = shell.good("receipt", "website", "7").splitlines()
    assert told[0] == (
        "receipt website rollout 7: 18,204 requests, 0 failed, 2 retried, 0 held; "
        "kept: no more errors than before in 60 s"
    )
    assert "  upgrade by poll: revision aaaaaaaaaaaa, release 41 → 42" in told
    assert "  answered: 9,000 by release 41, 9,204 by release 42" in told
    assert "  latency during: p50 1.3 ms, p99 4.4 ms (300 samples)" in told


def test_deploy_tells_the_phases_and_the_receipt_when_it_waits(shell: Shell, daemon: Daemon) -> None:
    told = shell.good("deploy", "website", "--revision", "abc", "--wait").splitlines()
    assert [line.split()[-1] for line in told[:3]] == ["building", "baking", "kept"]
    assert told[3].startswith("receipt website rollout 7: 18,204 requests, 0 failed")
    assert daemon.desk.asked[0][:3] == ("deploy", "website", "abc")


def test_waiting_for_what_is_rolled_back_exits_1_and_says_why(shell: Shell, daemon: Daemon) -> None:
    daemon.desk.outcome = "rolled_back"
    result = shell("deploy", "website", "--wait")
    assert result.exit_code == 1
    assert "noren: website: rollout 7 was not kept but rolled_back\nseen: because" in result.stderr


def test_waiting_for_a_daemon_that_stops_exits_3(shell: Shell, daemon: Daemon) -> None:
    daemon.desk.stuck = True
    threading.Timer(0.5, daemon.stop).start()
    result = shell("restart", "website", "--wait")
    assert result.exit_code == 3
    assert "the daemon stopped while rollout 7 of website was running" in result.stderr


def test_people_s_decisions_reach_the_daemon(shell: Shell, daemon: Daemon) -> None:
    shell.good("rollback", "website", "41")
    shell.good("hold", "website", "--reason", "freeze")
    shell.good("resume", "website")
    shell.good("quarantine", "lift", "website", "abc")
    shell.good("down")
    assert [asked[:3] for asked in daemon.desk.asked] == [
        ("rollback", "website", 41),
        ("hold", "website", "freeze"),
        ("resume", "website", daemon.desk.asked[2][2]),
        ("lift", "website", "abc"),
        ("stop", True),
    ]


def test_reload_prints_the_plan_before_it_acts(shell: Shell, daemon: Daemon) -> None:
    assert shell.good("reload", "--dry-run") == "website: a new release of the same revision\n"
    assert shell.good("reload") == "website: a new release of the same revision\nreloaded\n"
    assert daemon.desk.asked == [("reload", False, True), ("reload", False, True), ("reload", False, False)]


def test_events_and_logs_are_lines(shell: Shell, daemon: Daemon, tmp_path: Path) -> None:
    daemon.call(daemon.desk.add, event(2, "building", text="built \x1b]0;evil\x07\nin 2 s"))
    (tmp_path / "active.log").write_text("\x1b[31mred\x1b[0m \x1b]0;evil\x07\n")
    time.sleep(0.05)
    assert shell.good("events").splitlines()[1] == "2026-01-02 03:04:02Z  website  #7  built  ]0;evil ; in 2 s"
    assert "\x1b]" not in shell.good("logs", "website")
    assert shell("logs", "website", "--release", "9").exit_code == 2


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("releases", "nope"), 2, "noren: there is no app nope\nseen: apps: website\ntry: noren status"),
        (("status", "nope"), 2, "there is no app nope"),
        (("promote", "website"), 1, "nothing to promote"),
        (("abort", "website"), 1, "the daemon failed to answer"),
        (("reload", "--prune"), 2, "noren.toml:3: x"),
        (("hold", "website"), 2, "Missing option '--reason'"),
        (("nonsense",), 2, "No such command 'nonsense'.\n"),
        (("statsu",), 2, "Did you mean status?"),
        (("run", "website"), 2, "Missing argument"),
    ],
)
def test_failures_are_told_on_stderr_with_their_exit_code(
    shell: Shell, words: tuple[str, ...], code: int, told: str
) -> None:
    result = shell(*words)
    assert (result.exit_code, told in result.stderr) == (code, True), result.output


@pytest.mark.parametrize("words", [("status",), ("deploy", "website"), ("events", "-f"), ("logs", "website")])
def test_without_a_daemon_the_exit_code_is_3(alone: Shell, words: tuple[str, ...]) -> None:
    result = alone(*words)
    assert result.exit_code == 3
    assert "try: noren up" in result.stderr


def test_down_works_without_a_daemon(alone: Shell) -> None:
    assert alone.good("down", "-c", "x.toml") == "stopped 2 instances of website\n"
    assert alone.program.asked[-1] == ("down", "x.toml")


def test_the_settings_file_may_be_named_before_or_after_the_verb(alone: Shell) -> None:
    alone.good("-c", "a.toml", "up")
    alone.good("up", "--config", "b.toml")
    alone("-c", "a.toml", "status", "-c", "b.toml")
    alone.good("up")
    assert alone.program.asked == [("serve", "a.toml"), ("serve", "b.toml"), ("socket", "b.toml"), ("serve", None)]


def test_check_prints_the_settings_or_exits_2(alone: Shell) -> None:
    assert alone.good("check") == "[server]\n"
    assert alone.good("check", "--schema") == "{}\n"
    result = alone("check", "-c", "bad.toml")
    assert (result.exit_code, result.stderr) == (
        2,
        "noren: bad.toml has an error\nseen: \n  bad.toml:3: x\ntry: noren init\n",
    )


SCRIPT = """
import sys
from pathlib import Path
from noren.cli.commands import noren
class Program:
    def socket(self, config): return Path({path!r})
noren(obj=Program())
"""


def real(daemon: Daemon, *words: str, **options: Any) -> subprocess.Popen[str]:
    code = SCRIPT.format(path=str(daemon.path))
    return subprocess.Popen([sys.executable, "-c", code, *words], stdout=subprocess.PIPE, text=True, **options)


def test_run_becomes_the_command_in_the_release_s_place(daemon: Daemon, tmp_path: Path) -> None:
    process = real(daemon, "run", "website", "--", "sh", "-c", "pwd; echo $NOREN_RELEASE; exit 7")
    assert process.communicate(timeout=20)[0] == f"{tmp_path}\n42\n"
    assert process.returncode == 7


def test_ctrl_c_ends_following_without_an_error(daemon: Daemon) -> None:
    process = real(daemon, "events", "-f")
    assert process.stdout
    assert process.stdout.readline().endswith("kept\n")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 0


@pytest.mark.parametrize("no_colour", [True, False])
def test_a_terminal_gets_colours_unless_no_color_is_set(daemon: Daemon, no_colour: bool) -> None:
    import pty

    main, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"} | ({"NO_COLOR": "1"} if no_colour else {})
    code = SCRIPT.format(path=str(daemon.path))
    words = [sys.executable, "-c", code, "status"]
    subprocess.run(words, stdout=terminal, env=environment, check=True, timeout=20)
    os.close(terminal)
    shown = os.read(main, 65536).decode()
    os.close(main)
    assert "website" in shown
    assert ("\x1b[32m" in shown) is not no_colour


def test_status_imports_nothing_slow(daemon: Daemon) -> None:
    slow = "{'asyncio', 'rich', 'pydantic', 'starlette', 'uvicorn'}"
    code = SCRIPT.format(path=str(daemon.path)).replace(
        "noren(obj=Program())", "noren(obj=Program(), standalone_mode=False)"
    )
    code += f"print('slow:', {slow} & sys.modules.keys())"
    answer = subprocess.run(
        [sys.executable, "-c", code, "status"], capture_output=True, text=True, check=True, timeout=20
    )
    assert answer.stdout.splitlines()[-1] == "slow: set()"


def test_the_verbs_of_the_contract_are_there() -> None:
    assert len(VERBS) == len(set(VERBS)) == 26
