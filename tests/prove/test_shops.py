"""The example app answers every load without a loss on each of its servers, and breaks as it is told to."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import psutil
import pytest
from faulty import run_for
from shops import SERVERS, running

from noren.prove.checks import names_its_release
from noren.prove.conditional import Conditional
from noren.prove.downloads import Downloads
from noren.prove.keepalive import KeepAlive, NewConnection, Posts
from noren.prove.ledger import Ledger
from noren.prove.load import Load
from noren.prove.orders import read_orders
from noren.prove.outcome import Outcome
from noren.prove.proof import Proof
from noren.prove.race import KeepAliveRace
from noren.prove.request import Target, gets
from noren.prove.run import Run
from noren.prove.sockets import WebSockets
from noren.prove.streams import Streams
from noren.prove.uploads import Uploads


def every_load(target: Target) -> list[Load]:
    return [
        NewConnection(name="L1", target=target, rate=50, check=names_its_release),
        KeepAlive(name="L2", target=target, rate=100, connections=2, requests=gets("/", "/hello")),
        Posts(name="posts", target=target, rate=50, connections=2, check=names_its_release),
        Conditional(name="conditional", target=target, rate=50, connections=1, paths=("/", "/hello")),
        Streams(name="streams", target=target, rate=2, events=10, interval=0.02),
        Downloads(name="downloads", target=target, rate=4, size=300_000, speed=3_000_000),
        Uploads(name="uploads", target=target, rate=4, size=300_000, speed=3_000_000),
    ]


@pytest.mark.parametrize("server", SERVERS)
def test_every_load_is_served_and_every_order_executed_once(server: str, tmp_path: Path) -> None:
    with running(server, tmp_path) as shop:
        ledger = asyncio.run(run_for(1.0, *every_load(Target(port=shop.port))))
    proof = Proof.of(ledger, read_orders(tmp_path / "ledger"))
    assert proof.lost == 0, "\n".join(proof.lines())
    assert proof.once is not None and proof.once.orders in range(45, 56)
    assert {load.load for load in proof.summary.loads} == {load.name for load in every_load(Target(port=1))}
    assert {record.status for record in ledger.records if record.load == "conditional"} == {200, 304}


def test_orders_around_the_idle_timeout_are_never_resent(tmp_path: Path) -> None:
    """Straight at uvicorn: what may be lost is seen as lost, and nothing is executed twice."""
    with running("uvicorn", tmp_path) as shop:
        load = KeepAliveRace(name="L3", target=Target(port=shop.port), idle=0.1, clients=20)
        ledger = asyncio.run(run_for(1.0, load))
    proof = Proof.of(ledger, read_orders(tmp_path / "ledger"))
    assert proof.lost == 0
    assert len(ledger.records) in range(120, 221)


def test_a_websocket_that_is_told_to_come_back_is_no_loss(tmp_path: Path) -> None:
    async def scenario() -> tuple[Ledger, WebSockets]:
        load = WebSockets(name="L6", target=Target(port=shop.port), clients=10, interval=0.1, timeout=1)
        async with Run(seed=1, duration=10) as run:
            run.start(load)
            await asyncio.sleep(0.5)
            assert {record.outcome for record in run.ledger.records} == {Outcome.OK}
            shop.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.3)
            return await run.stop(), load

    with running("uvicorn", tmp_path) as shop:
        ledger, load = asyncio.run(scenario())
    assert load.closes == {1012: 10}
    assert {record.outcome for record in ledger.lost()} == {Outcome.REFUSED}


def test_a_killed_app_cuts_streams_and_uploads_and_sockets(tmp_path: Path) -> None:
    async def scenario() -> Ledger:
        target = Target(port=shop.port)
        async with Run(seed=1, duration=10) as run:
            run.start(Streams(name="stream", target=target, rate=0.01, events=100, interval=0.05))
            run.start(Downloads(name="download", target=target, rate=0.01, size=50_000_000, speed=5_000_000))
            run.start(Uploads(name="upload", target=target, rate=0.01, size=50_000_000, speed=5_000_000))
            run.start(WebSockets(name="socket", target=target, clients=1, interval=0.05))
            await asyncio.sleep(0.4)
            shop.process.kill()
            return await run.stop()

    with running("uvicorn", tmp_path) as shop:
        ledger = asyncio.run(scenario())
    lost = {record.load: record.outcome for record in ledger.lost() if record.outcome is not Outcome.REFUSED}
    assert lost.pop("upload") in (Outcome.RESET, Outcome.CUT_SHORT)
    assert lost == dict.fromkeys(("stream", "download", "socket"), Outcome.CUT_SHORT)


@pytest.mark.parametrize("server", SERVERS)
def test_faults_are_answers_that_a_release_can_be_told_to_give(server: str, tmp_path: Path) -> None:
    with running(server, tmp_path, FAIL_RATE="1", NEVER_READY="1", HOST_CHECK="127.0.0.1,a.example") as shop:
        assert shop.get("/healthz") == (503, "not ready")
        assert shop.get("/hello") == (500, "FAIL_RATE")
        assert shop.get("/hello", {"Host": "b.example"})[0] == 400
        assert shop.get("/hello", {"Host": "a.example"})[0] == 500


@pytest.mark.parametrize("server", SERVERS)
def test_exit_after_counts_from_the_first_request_that_is_no_probe(server: str, tmp_path: Path) -> None:
    with running(server, tmp_path, EXIT_AFTER="0.3") as shop:
        time.sleep(0.5)
        assert shop.get("/healthz")[0] == 200
        begin = time.monotonic()
        assert shop.get("/hello")[0] == 200
        with pytest.raises(OSError):
            while time.monotonic() < begin + 5:
                shop.get("/healthz")
                time.sleep(0.02)
        assert time.monotonic() - begin == pytest.approx(0.3, abs=0.3)


def test_a_child_in_its_own_session_stays_behind(tmp_path: Path) -> None:
    with running("simple", tmp_path, FORK_CHILD="20") as shop:
        (child,) = psutil.Process(shop.process.pid).children()
        assert child.environ()["NOREN_RELEASE"] == "1"
    assert child.is_running()
    child.kill()


def test_a_slow_start_listens_late_and_a_hang_answers_late(tmp_path: Path) -> None:
    begin = time.monotonic()
    with running("simple", tmp_path, SLOW_START="0.5", HANG="0.4") as shop:
        assert time.monotonic() - begin >= 0.5
        begin = time.monotonic()
        assert shop.get("/hello")[0] == 200
        assert time.monotonic() - begin >= 0.4
