"""Serves a desk on a unix socket, inside the loop that already runs.

Called by daemon.py as one task of the daemon; cancelling it ends the API and leaves no socket behind.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from noren.address import reachable
from noren.api.desk import Desk
from noren.api.hooks import HookDesk, Hooks
from noren.api.routes import application
from noren.core.errors import HostError

_HOOKS_AT_ONCE = 1000  # connections, with those that the proxy keeps


class _Embedded(uvicorn.Server):
    """Uvicorn without its signal handlers (they are daemon.py's) and without waking up ten times a second."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def main_loop(self) -> None:
        await asyncio.Event().wait()


async def serve(desk: Desk, path: Path) -> None:
    """Serve until cancelled; raises HostError when the socket cannot be had or another daemon answers on it.

    It accepts from before the first await on, so nobody needs to be told that it is ready.
    """
    stopping = asyncio.Event()
    await _serve(application(desk, stopping), path, stopping)


async def serve_hooks(desk: HookDesk, path: Path) -> None:
    """As ``serve``, for the webhooks that the proxy passes on."""
    await _serve(Hooks(desk), path, asyncio.Event(), most=_HOOKS_AT_ONCE)


async def _serve(application: Any, path: Path, stopping: asyncio.Event, most: int | None = None) -> None:
    listener = listen(path)
    server = _Embedded(
        uvicorn.Config(
            application,
            limit_concurrency=most,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=2,
            timeout_keep_alive=60,
        )
    )
    try:
        await server.serve(sockets=[listener])
    finally:
        stopping.set()
        path.unlink(missing_ok=True)
        if server.started:
            await server.shutdown([listener])
        listener.close()


def listen(path: Path) -> socket.socket:
    """A listening socket that only its owner may use, put in place of whatever a dead daemon left there."""
    if _answers(path):
        raise HostError(f"another Noren answers on {path}", hint="noren status, or noren down")
    beside = path.with_name(f"{path.name}.new")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        beside.unlink(missing_ok=True)
        with reachable(beside) as address:
            listener.bind(address)
        beside.chmod(0o600)  # before it listens: until then nobody can connect
        listener.listen(1024)
        beside.replace(path)
    except OSError as exc:
        listener.close()
        raise HostError(f"the API cannot listen on {path}", seen=str(exc)) from exc
    return listener


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(2)
        try:
            with reachable(path) as address:
                asking.connect(address)
        except OSError:
            return False
        return True
