"""A process is known by its identity until the last of its threads has ended."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from pathlib import Path

from noren.adapters.identity import Identity

# The first thread ends, as one of a killed process may before the others; the last holds the port until its input ends.
LAST_THREAD = """
import ctypes, os, socket, sys, threading
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(3))).start()
ctypes.CDLL(None).pthread_exit(None)
"""


def refused(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


def started() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", LAST_THREAD], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


async def first_thread_over(pid: int) -> None:
    for _ in range(500):
        if ") Z " in Path(f"/proc/{pid}/stat").read_text():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the first thread did not end")


def test_a_process_lives_until_its_last_thread_has_ended() -> None:
    async def check() -> None:
        with started() as running:
            assert running.stdout and running.stdin
            identity, port = Identity.of(running.pid), int(running.stdout.readline())
            await first_thread_over(running.pid)
            assert identity and identity.alive() and not refused(port)
            ended = asyncio.ensure_future(identity.ended())
            assert not (await asyncio.wait({ended}, timeout=0.1))[0]
            running.stdin.close()
            assert await asyncio.wait_for(ended, 10) == 3
            assert not identity.alive() and refused(port)

    asyncio.run(check())
