"""The sample team: one repository with two sites and a small web application, and its settings.

``story`` pushes to it. Everything is built with what any machine has (a shell), so that the demo
needs nothing but Python and Git.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SETTINGS = """\
# The demo's settings: short times, so that a story takes a minute and not an hour.
[server]
listen = ["127.0.0.1:{port}"]

[defaults]
repo = "team"
keep_warm = "20s"
triggers = {{ poll = "500ms" }}
verify = {{ bake_time = "3s" }}

[apps.website]
build = "sh build.sh"
publish = "en"
watch = ["en", "build.sh"]
hosts = ["website.localhost"]

[apps.website-jp]
build = "sh build.sh"
publish = "jp"
watch = ["jp", "build.sh"]
hosts = ["website-jp.localhost"]

[apps.demo]
watch = ["demo"]
root = "demo"
run = "exec '{python}' server.py"
ready = "/healthz"
hosts = ["demo.localhost", "website.localhost/demo"]
"""

BUILD = """\
set -e
for site in en jp; do
  mkdir -p "$NOREN_OUTPUT/$site"
  printf '<!doctype html><meta charset="utf-8"><title>Noren demo</title><h1>%s</h1>\\n' "$(cat $site/title)" \\
    >"$NOREN_OUTPUT/$site/index.html"
done
"""

SERVER = """\
import json, os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAIL = False


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self):
        bad = FAIL and self.path != "/healthz"
        body = json.dumps({"release": os.environ["NOREN_RELEASE"], "path": self.path}).encode()
        self.send_response(500 if bad else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


class Team:
    """The repository ``folder``/team and ``folder``/noren.toml."""

    def __init__(self, folder: Path, port: int) -> None:
        self.settings = folder / "noren.toml"
        self.settings.write_text(SETTINGS.format(port=port, python=sys.executable))
        self._path = folder / "team"
        self._path.mkdir()
        self._git("init", "--quiet", "--initial-branch=main")
        first = {"build.sh": BUILD, "en/title": "Hello", "jp/title": "こんにちは", "demo/server.py": SERVER}
        self.push(first, "The first version")

    def push(self, files: dict[str, str], message: str) -> str:
        """Commit these files; the new revision."""
        for name, text in files.items():
            file = self._path / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        self._git("add", "--all")
        self._git("commit", "--quiet", "-m", message)
        return self._git("rev-parse", "HEAD")

    def _git(self, *words: str) -> str:
        who = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in _ADA.items()}
        env = {"PATH": os.environ["PATH"], "HOME": str(self._path), "GIT_CONFIG_NOSYSTEM": "1", **who}
        done = subprocess.run(["git", *words], cwd=self._path, env=env, check=True, capture_output=True, text=True)
        return done.stdout.strip()


_ADA = {"NAME": "Ada", "EMAIL": "ada@team.example"}
