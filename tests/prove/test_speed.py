"""The generator must not be what is slow: how much of a core its rate costs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest
from faulty import run_for

from noren.prove.keepalive import KeepAlive, NewConnection
from noren.prove.ledger import Ledger
from noren.prove.request import Target, gets, mix, posts
from noren.prove.summary import Summary

SERVER = """
import asyncio
class Server(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.transport.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
        if b"Connection: close" in data:
            self.transport.close()
async def main():
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.sleep(30)
asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "share"), [(KeepAlive, 0.4), (NewConnection, 0.6)])
def test_1500_requests_a_second_cost_less_than_60_percent_of_a_core(kind: type[KeepAlive], share: float) -> None:
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, cwd=Path("/")) as process:
        try:
            assert process.stdout is not None
            target = Target(port=int(process.stdout.readline()))
            cpu, ledger = measure(kind(name="load", target=target, rate=1500, requests=mix(0.7, gets("/"), posts())))
        finally:
            process.kill()
    load = Summary.of(ledger).loads[0]
    assert load.lost == 0
    assert load.rate == pytest.approx(1500, rel=0.02)
    assert cpu < share, f"{cpu:.0%} of a core"


def measure(load: KeepAlive) -> tuple[float, Ledger]:
    cpu, wall = time.process_time(), time.monotonic()
    ledger = asyncio.run(run_for(3.0, load))
    return (time.process_time() - cpu) / (time.monotonic() - wall), ledger
