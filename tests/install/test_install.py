"""``noren install``: its steps as data, done for real where this machine lets us, and refused with a reason."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from noren.core.errors import HostError
from noren.install import carry_out, check, shown, steps
from noren.install.steps import Command, File, unit
from noren.settings.file import load
from tests.docs.pages import ROOT, blocks

PROGRAM = Path("/opt/noren/.venv/bin/noren")
ALL = steps(PROGRAM)
FILES = {str(step.path): step for step in ALL if isinstance(step, File)}


def test_the_steps_are_these_commands_in_this_order() -> None:
    assert [" ".join(step.argv) for step in ALL if isinstance(step, Command)] == [
        "useradd --system --home-dir /var/lib/noren --no-create-home --shell /usr/sbin/nologin noren",
        "install --directory --mode=0755 /etc/noren",
        "install --directory --mode=0750 -o noren -g noren /var/lib/noren",
        "systemctl daemon-reload",
        "systemctl enable --now noren.service",
    ]


def test_settings_of_the_user_are_never_overwritten_and_the_unit_follows_the_version() -> None:
    assert FILES["/etc/noren/noren.toml"].keep
    assert not FILES["/etc/systemd/system/noren.service"].keep


def test_the_settings_that_are_written_pass_the_check(tmp_path: Path) -> None:
    file = tmp_path / "noren.toml"
    file.write_text(FILES["/etc/noren/noren.toml"].text)
    settings = load(file)
    assert settings.server.listen == ("[::]:80",) and settings.server.state == "/var/lib/noren"


def test_the_unit_leaves_apps_alone_and_gives_the_right_for_port_80() -> None:
    lines = unit(PROGRAM).splitlines()
    for line in ("KillMode=process", "AmbientCapabilities=CAP_NET_BIND_SERVICE", "Delegate=yes", "User=noren"):
        assert line in lines
    assert "ExecStart=/opt/noren/.venv/bin/noren -c /etc/noren/noren.toml up" in lines
    assert 'ExecStart="/opt/my 100%%/noren" -c' in unit(Path("/opt/my 100%/noren"))


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is missing: install systemd")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    file = tmp_path / "noren.service"
    file.write_text(unit(Path(sys.executable)).replace("User=noren", "User=root"))
    done = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True, check=False, timeout=30)
    ours = [line for line in done.stderr.splitlines() if "noren.service" in line]
    # The one thing that an older systemd (before 254) does not know; it says so and goes on.
    assert [line for line in ours if "DelegateSubgroup" not in line] == [], done


def test_the_how_to_shows_the_unit_that_is_written() -> None:
    (shown_unit,) = blocks(ROOT / "docs" / "how-to" / "systemd.md", "ini")
    assert shown_unit == unit(PROGRAM)


def test_a_second_time_nothing_is_changed(tmp_path: Path) -> None:
    asked: list[tuple[str, ...]] = []

    def run(argv: tuple[str, ...]) -> int:
        asked.append(argv)
        return 0

    list(carry_out(ALL, top=tmp_path, run=run))
    settings = tmp_path / "etc/noren/noren.toml"
    settings.write_text("# mine\n")
    asked.clear()
    lines = list(carry_out(ALL, top=tmp_path, run=run))
    assert settings.read_text() == "# mine\n"
    assert [line.partition(":")[0] for line in lines] == ["there already"] * 5 + ["done"] * 2
    assert ("useradd",) not in {argv[:1] for argv in asked}


def test_a_step_that_fails_stops_the_rest_and_is_named(tmp_path: Path) -> None:
    def run(argv: tuple[str, ...]) -> int:
        return int(argv[0] in ("systemctl", "id", "test"))

    done: list[str] = []
    with pytest.raises(HostError, match="systemctl daemon-reload failed") as caught:
        done.extend(carry_out(ALL, top=tmp_path, run=run))
    assert "journalctl -u noren" in caught.value.hint


def test_print_shows_all_of_it() -> None:
    text = shown(ALL)
    assert "id --user noren || useradd" in text
    for file in FILES.values():
        assert all(line.strip() in text for line in file.text.splitlines())


INSIDE = """
import sys
from pathlib import Path
from noren.install import carry_out, steps
from noren.install.carry_out import run

for line in carry_out(steps(Path("/opt/noren/bin/noren")), run=lambda argv: 0 if argv[0] == "systemctl" else run(argv)):
    print(line)
"""
OVERLAY = """
set -e
mount -t tmpfs none "$1"
for folder in etc var/lib; do
  mkdir -p "$1/$folder/up" "$1/$folder/work"
  mount -t overlay none -o "lowerdir=/$folder,upperdir=$1/$folder/up,workdir=$1/$folder/work" "/$folder"
done
"$2" -c "$3"
"$2" -c "$3"
stat -c '%U:%G %a' /var/lib/noren
stat -c '%U:%G %a' /etc/noren
"""


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("useradd"), reason="needs root and useradd")
def test_user_and_folders_are_really_made(tmp_path: Path) -> None:
    """In a mount namespace of its own, over copies of /etc and /var/lib; only systemctl is left out."""
    argv = ["unshare", "--mount", "sh", "-c", OVERLAY, "sh", tmp_path, sys.executable, INSIDE]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    if "mount:" in done.stderr:
        pytest.skip(f"this machine mounts no overlay: {done.stderr.strip()}")
    assert done.returncode == 0, done
    lines = done.stdout.splitlines()
    assert lines[-2:] == ["noren:noren 750", "root:root 755"]
    assert [line for line in lines[:-2] if line.startswith("there already: useradd")]
    assert not Path("/var/lib/noren").exists() and not Path("/etc/noren").exists()


def test_who_is_not_root_is_told_so() -> None:
    with pytest.raises(HostError, match="only root") as caught:
        check(PROGRAM, root=False)
    assert "sudo noren install" in caught.value.hint


def test_a_machine_without_systemd_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="not run by systemd"):
        check(PROGRAM, root=True, systemd=tmp_path / "none")


def test_a_noren_that_its_user_could_not_run_is_told_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(HostError, match="could not run") as caught:
        check(tmp_path / "noren", root=True, systemd=tmp_path)
    assert "closed to others" in caught.value.seen and "/opt/noren" in caught.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can listen on port 80")
def test_a_port_80_that_is_taken_is_told_before_anything_is_done(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET6) as other:
        try:
            other.bind(("::", 80))
        except OSError as exc:
            pytest.skip(f"port 80 of this machine cannot be had: {exc}")
        other.listen()
        with pytest.raises(HostError, match="port 80"):
            check(Path("/usr/bin/true"), root=True, systemd=tmp_path, settings=tmp_path / "noren.toml")
