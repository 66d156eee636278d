"""A real Gitea in a folder of its own: people, repositories, pushes, pull requests, webhooks, statuses.

The program is what ``make test-forge`` builds and names in the variable GITEA; GITEA_STATIC is the folder of its
pages and templates.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.daemon import free_port

PROGRAM, STATIC = os.environ.get("GITEA", ""), os.environ.get("GITEA_STATIC", "")
_SETTINGS = """
RUN_MODE = prod
RUN_USER = {user}
WORK_PATH = {folder}
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true
[server]
STATIC_ROOT_PATH = {static}
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
ROOT_URL = http://127.0.0.1:{port}/
OFFLINE_MODE = true
START_SSH_SERVER = true
BUILTIN_SSH_SERVER_USER = git
SSH_DOMAIN = 127.0.0.1
SSH_LISTEN_HOST = 127.0.0.1
SSH_LISTEN_PORT = {ssh}
SSH_PORT = {ssh}
[database]
DB_TYPE = sqlite3
PATH = {folder}/gitea.db
[security]
INSTALL_LOCK = true
[service]
DISABLE_REGISTRATION = true
[webhook]
ALLOWED_HOST_LIST = loopback
[log]
LEVEL = Warn
"""


@dataclass(frozen=True)
class Person:
    """Who has an account, with a token for everything."""

    name: str
    token: str


class Gitea:
    """``with Gitea(folder) as forge``; leaving it ends the server."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.port, self.ssh = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._settings = folder / "app.ini"
        user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
        self._settings.write_text(
            _SETTINGS.format(user=user, folder=folder, static=STATIC, port=self.port, ssh=self.ssh)
        )
        self._env = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Gitea:
        self._run("migrate")
        self.ada = self.person("ada", admin=True)
        with (self.folder / "web.log").open("wb") as log:
            command = [PROGRAM, "web", "--config", str(self._settings)]
            self._server = subprocess.Popen(command, env=self._env, cwd=self.folder, stdout=log, stderr=log)
        end = time.monotonic() + 60
        while not self._answers():
            assert time.monotonic() < end, (self.folder / "web.log").read_text()[-2000:]
            time.sleep(0.2)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.terminate()
        self._server.wait(30)

    def person(self, name: str, *, admin: bool = False) -> Person:
        """A new account."""
        words = ["admin", "user", "create", "--username", name, "--password", f"the password of {name}"]
        words += ["--email", f"{name}@example.org", "--must-change-password=false", *(["--admin"] if admin else [])]
        said = self._run(*words, "--access-token", "--access-token-name", "test", "--access-token-scopes", "all")
        found = re.search(r"\b[0-9a-f]{40}\b", said)
        assert found, said
        return Person(name, found[0])

    def api(self, path: str, body: object = None, *, by: Person | None = None, method: str | None = None) -> Any:
        """One call, as ``by`` (Ada); the JSON that came."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"token {(by or self.ada).token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/api/v1{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
        except urllib.error.HTTPError as exc:
            raise AssertionError(f"{path}: {exc.code} {exc.read()[:500]!r}") from exc
        return json.loads(text) if text else None

    def statuses(self, repository: str, revision: str) -> dict[str, tuple[str, str, str]]:
        """By context: the newest state of a commit, with text and address."""
        rows = self.api(f"/repos/{repository}/commits/{revision}/status")["statuses"] or []
        return {row["context"]: (row["status"], row["description"], row["target_url"]) for row in rows}

    def known_hosts(self, path: Path) -> None:
        """Write the keys of its ssh server."""
        command = ["ssh-keyscan", "-p", str(self.ssh), "127.0.0.1"]
        path.write_text(subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout)

    def clone(self, repository: str, path: Path, by: Person | None = None) -> Clone:
        """A working copy."""
        who = by or self.ada
        url = f"http://{who.name}:{who.token}@127.0.0.1:{self.port}/{repository}.git"
        env = self._env | {"GIT_AUTHOR_NAME": who.name, "GIT_AUTHOR_EMAIL": f"{who.name}@example.org"}
        env |= {"GIT_COMMITTER_NAME": who.name, "GIT_COMMITTER_EMAIL": f"{who.name}@example.org"}
        subprocess.run(["git", "clone", "-q", url, str(path)], env=env, check=True, capture_output=True)
        return Clone(path, env)

    def _answers(self) -> bool:
        try:
            return bool(self.api("/version"))
        except (OSError, AssertionError):
            return False

    def _run(self, *words: str) -> str:
        command = [PROGRAM, *words, "--config", str(self._settings)]
        done = subprocess.run(command, env=self._env, cwd=self.folder, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout


@dataclass
class Clone:
    """A working copy of somebody."""

    path: Path
    env: dict[str, str]

    def push(self, branch: str, files: dict[str, str]) -> str:
        """Commit these files on a branch, new if it is not there, and push it; the revision."""
        exists = self.git("branch", "--list", branch)
        self.git("checkout", "-q", *(() if exists else ("-b",)), branch)
        for name, text in files.items():
            file = self.path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", f"change of {', '.join(files)}")
        self.git("push", "-q", "origin", branch)
        revision = self.git("rev-parse", "HEAD")
        self.git("checkout", "-q", "main")
        return revision

    def git(self, *words: str) -> str:
        """Run git there."""
        done = subprocess.run(["git", *words], cwd=self.path, env=self.env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()
