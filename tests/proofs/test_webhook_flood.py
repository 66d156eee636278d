"""A flood of webhooks, good and bad, costs nobody anything: each gets its answer, and the site next door all of its.

Valid ones, forged ones, 25 MB ones and ones that drip, at the same time, through the same proxy that serves a site.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from noren.prove.keepalive import KeepAlive
from noren.prove.request import Target, gets
from tests.daemon import Daemon, Repository, no_leftovers
from tests.forge.hook import SECRET, signed
from tests.proofs.background import Background
from tests.proofs.claim import claim, sized

SETTINGS = """
[server]
listen = ["127.0.0.1:{port}"]
[apps.website]
repo = "website"
hosts = ["website.example"]
webhook = { secret_env = "WEBSITE_HOOK" }
triggers = { poll = "off" }
verify = { bake_time = "0s" }
"""
BODY = b'{"ref": "refs/heads/main", "commits": "' + b"x" * 8000 + b'"}'  # as large as pushes usually are
LARGE = b"x" * 25_000_000
EXPECTED = {"valid": 202, "forged": 401, "large": 413, "slow": 408}
MEMORY = 32_000_000  # bytes that the daemon may grow by


@dataclass
class Flood:
    """What came back, by kind; ``took`` are seconds of the valid ones from their start, ``late`` how late that was."""

    port: int
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    took: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)

    async def run(self, rate: int, seconds: float) -> None:
        """``rate`` a second of valid and forged ones, half each; with them some large ones and ten slow ones."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(self._slow())
            for number in range(round(rate * seconds)):
                due = begun + number / rate
                await asyncio.sleep(max(0.0, due - loop.time()))
                group.create_task(self._send("forged" if number % 2 else "valid", due))
                if number % (3 * rate) == 0:
                    group.create_task(self._send("large", due))

    async def _send(self, kind: str, due: float) -> None:
        begun = asyncio.get_running_loop().time()
        body = LARGE if kind == "large" else BODY
        status = await self._ask(
            signed(body, SECRET if kind != "forged" else "guessed") if kind != "large" else {}, body
        )
        self.statuses[kind, status] += 1
        if kind == "valid":
            self.took.append(asyncio.get_running_loop().time() - begun)
            self.late.append(begun - due)

    async def _ask(self, headers: dict[str, str], body: bytes) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(_head(headers, len(body)))
            writer.write(body)
            return int((await reader.readuntil(b"\r\n")).split()[1])
        finally:
            writer.transport.abort()

    async def _slow(self) -> None:
        """A byte a second of what it announced."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(_head(signed(BODY), len(BODY)))
        answer = asyncio.create_task(reader.readuntil(b"\r\n"))
        while not answer.done():
            writer.write(b"{")
            await asyncio.wait([answer], timeout=1.0)
        self.statuses["slow", int(answer.result().split()[1])] += 1
        writer.transport.abort()


def _head(headers: dict[str, str], length: int) -> bytes:
    lines = ["POST /.noren/hooks/website HTTP/1.1", "Host: website.example", f"Content-Length: {length}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "\r\n"]).encode()


def memory(pid: int) -> int:
    """Resident bytes."""
    words = Path(f"/proc/{pid}/statm").read_text().split()
    return int(words[1]) * 4096


@sized(("rate", "seconds", "patience"), (200, 3.0, 2.0), (1000, 10.0, 0.2), minutes=5)
def test_a_flood_of_webhooks_is_answered_and_the_site_beside_it_loses_nothing(
    rate: int, seconds: float, patience: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBSITE_HOOK", SECRET)
    repository = Repository(tmp_path / "website")
    first = repository.commit({"index.html": "first"})
    with no_leftovers(tmp_path), Daemon(tmp_path, SETTINGS) as noren:
        noren.kept("website", first)
        flood = Flood(noren.port)
        asyncio.run(Flood(noren.port).run(50, 1.0))  # so that what is loaded once is loaded
        assert noren.process
        before = memory(noren.process.pid)
        target = Target(port=noren.port, host="website.example", app="website")
        load = KeepAlive(name="website", target=target, rate=100, connections=8, requests=gets("/"))
        began = time.monotonic()
        with Background(load) as traffic:
            asyncio.run(flood.run(rate, seconds))
            grown = memory(noren.process.pid) - before
        p99, late = (sorted(each)[int(len(each) * 0.99)] for each in (flood.took, flood.late))
        proof = traffic.proof
        figures = f"p99 of the valid {p99 * 1000:.0f} ms, started late by up to {late * 1000:.0f} ms, "
        figures += f"daemon {grown / 1e6:+.1f} MB, site {proof.lost} lost of "
        claim(
            f"{rate} webhooks a second for {seconds:g} s, valid, forged, 25 MB and slow",
            f"{figures}{traffic.requests}, {dict(flood.statuses)} in {time.monotonic() - began:.0f} s",
        )
        assert {kind: {s for k, s in flood.statuses if k == kind} for kind in EXPECTED} == {
            kind: {status} for kind, status in EXPECTED.items()
        }
        assert proof.lost == 0, "\n".join(proof.lines())
        assert grown < MEMORY
        assert p99 <= patience
        revision = repository.commit({"index.html": "after the flood"})
        asyncio.run(Flood(noren.port).run(1, 1.0))
        noren.kept("website", revision)
