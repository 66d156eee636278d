"""What is told when a repository is private, its host is not known, or its theme is a submodule.

A real OpenSSH server on loopback. What a host says that wants a password over HTTPS: tests/adapters/test_remote.py.
"""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.daemon import Daemon, Repository, free_port, no_leftovers

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", ""))


def key(file: Path) -> Path:
    """A new key of ssh."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file], check=True, timeout=10)
    return file


@contextmanager
def sshd(folder: Path) -> Generator[int]:
    """The port of an OpenSSH server whose host key is ``folder``/host.pub and that takes the key ``folder``/good."""
    assert SSHD is not None
    port = free_port()
    (folder / "authorized").write_text(key(folder / "good").with_suffix(".pub").read_text())
    options = [f"HostKey={key(folder / 'host')}", f"AuthorizedKeysFile={folder / 'authorized'}", "StrictModes=no"]
    options += ["PidFile=none", "UsePAM=no", "PasswordAuthentication=no", "ListenAddress=127.0.0.1"]
    Path("/run/sshd").mkdir(exist_ok=True)
    argv = [SSHD, "-D", "-e", "-f", os.devnull, "-p", str(port), *(word for o in options for word in ("-o", o))]
    server = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
    try:
        yield port
    finally:
        server.terminate()
        server.wait(10)


def told(noren: Daemon, app: str) -> str:
    """The newest line about the source of an app."""

    def line() -> str:
        lines = [line["text"] for line in noren.client.events(app, -20) if line["kind"] == "source"]
        return lines[-1] if lines else ""

    return noren.until(line, f"a word about the source of {app}", 30)


def toml(**apps: str) -> str:
    """Settings with these apps."""
    head = '[server]\nlisten = ["127.0.0.1:{port}"]\n[defaults]\ntriggers = { poll = "1s" }\n'
    return head + "\n".join(f'[apps.{name}]\nhosts = ["{name}.example"]\n{text}' for name, text in apps.items())


FILES = {"good": ("good", "known"), "stranger": ("good", "empty"), "refused": ("bad", "known")}


def ssh(folder: Path, url: str, name: str, mine: str, known: str) -> str:
    """An app with a repository of its own name: apps of one repository share what one of them may read."""
    (folder / f"{name}.git").symlink_to(folder / "site" / ".git")
    files = f'ssh_key_file = "{folder / mine}"\nknown_hosts_file = "{folder / known}"\n'
    return f'repo = "{url}/{name}.git"\n{files}'


@pytest.mark.skipif(SSHD is None, reason="sshd is missing: install openssh-server")
def test_ssh_says_whether_the_host_or_the_key_is_unknown_and_comes_up_when_both_are_right(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "site")
    revision = repository.commit({"index.html": "private"})
    with no_leftovers(tmp_path / "noren"), sshd(tmp_path) as port:
        host = " ".join((tmp_path / "host.pub").read_text().split()[:2])
        (tmp_path / "known").write_text(f"[127.0.0.1]:{port} {host}\n")
        (tmp_path / "empty").write_text("")
        key(tmp_path / "bad")
        url = f"ssh://{getpass.getuser()}@127.0.0.1:{port}{tmp_path}"
        apps = {name: ssh(tmp_path, url, name, *files) for name, files in FILES.items()}
        with Daemon(tmp_path / "noren", toml(**apps)) as noren:
            unknown = told(noren, "stranger")
            assert "the host key of" in unknown and "known_hosts_file" in unknown and "ssh-keyscan" in unknown
            refused = told(noren, "refused")
            assert "does not accept our key" in refused and "as a deploy key there" in refused
            noren.kept("good", revision)


def test_a_token_that_is_missing_is_named(tmp_path: Path) -> None:
    apps = {"token": f'repo = "https://127.0.0.1:{free_port()}/team/site.git"\ntoken_env = "SITE_TOKEN"\n'}
    with no_leftovers(tmp_path), Daemon(tmp_path, toml(**apps)) as noren:
        missing = told(noren, "token")
        assert "SITE_TOKEN" in missing and "start Noren with SITE_TOKEN set" in missing


def test_a_theme_in_a_submodule_that_is_not_fetched_is_named(tmp_path: Path) -> None:
    theme = Repository(tmp_path / "theme")
    theme.commit({"layout.html": "<h1>"})
    site = Repository(tmp_path / "site")
    site.commit({"index.html": "hello"})
    add = ["git", "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(theme.path), "themes/ours"]
    subprocess.run(add, cwd=site.path, check=True, timeout=20)
    site.commit({"build.sh": 'cp themes/ours/layout.html "$NOREN_OUTPUT/index.html"\n'})
    apps = {"site": f'repo = "{site.path}"\nbuild = "sh build.sh"\n'}
    with no_leftovers(tmp_path / "noren"), Daemon(tmp_path / "noren", toml(**apps)) as noren:
        reason = noren.outcome("site", site.tip(), "failed")["reason"]
        assert "'themes/ours'" in reason and "are empty: set submodules = true" in reason
