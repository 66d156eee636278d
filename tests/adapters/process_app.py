"""Real process apps for the tests of the Runner and the Probes: tiny Python programs in a folder of their own."""

from __future__ import annotations

import asyncio
import random
import shlex
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from noren.adapters import proctable
from noren.adapters.processes import Processes
from noren.core.model import App, Artifact, Instance, Kind, Release

PYTHON = f"{shlex.quote(sys.executable)} -S app.py"
INSTANCE = Instance(id="api-42-7-0", app="api", release=42, ordinal=0)

# Answers every GET with 200 "ok", on the address and port given.
SERVER = """
import http.server, os, sys, socketserver
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"ok " + self.headers["Host"].encode())
    def log_message(self, *_): pass
class Server(http.server.ThreadingHTTPServer):
    allow_reuse_port = False
"""
SERVE = SERVER + 'Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()'


def release_of(folder: Path, program: str, *, run: str = f"exec {PYTHON}", **settings: Any) -> Release:
    """Release 42 of the app ``api``, whose artifact is one Python program."""
    artifact = folder / "artifact"
    artifact.mkdir(exist_ok=True)
    (artifact / "app.py").write_text(textwrap.dedent(program))
    app = App(name="api", kind=Kind.PROCESS, repo="/r", run=run, hosts=("api.example/v1",), **settings)
    built = Artifact(key="k", path=str(artifact), digest="d", seconds=0)
    return Release(app=app, number=42, revision="c0ffee", artifact=built)


def processes_in(folder: Path, **settings: Any) -> Processes:
    """A Runner with ports that neither an installed Noren nor the kernel gives out."""
    first = random.randrange(29_000, 31_900)
    return Processes(folder / "state", **{"first_port": first, "last_port": first + 50, **settings})


@asynccontextmanager
async def started(runner: Processes, release: Release, **changes: Any) -> AsyncIterator[Instance]:
    """A running instance; nothing of it is left afterwards."""
    instance = await runner.start(release, replace(INSTANCE, **changes))
    try:
        yield instance
    finally:
        await runner.stop(instance, 0.1)


async def said(instance: Instance, text: str) -> str:
    """The log once it holds ``text``."""
    async with asyncio.timeout(5):
        while text not in Path(instance.log or "").read_text():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return Path(instance.log or "").read_text()


def pids_with(mark: str) -> list[int]:
    """Every living process whose command line holds this."""
    return [row.pid for row in proctable.rows() if not row.dead and mark in _command_line(row.pid)]


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
