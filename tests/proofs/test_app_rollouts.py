"""Upgrades of an app under load lose no request, execute each order exactly once and slow nobody down.

Short: three rollouts of each server. Full: 25 of each.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from noren.prove.checks import names_its_release
from noren.prove.downloads import Downloads
from noren.prove.keepalive import KeepAlive, NewConnection, Posts
from noren.prove.ledger import Ledger, Record
from noren.prove.load import Load
from noren.prove.proof import Proof
from noren.prove.request import Target, gets
from noren.prove.sockets import WebSockets
from noren.prove.streams import Streams
from noren.prove.summary import Percentiles
from noren.prove.uploads import Uploads
from tests.daemon import no_leftovers
from tests.proofs.background import Background
from tests.proofs.claim import claim, sized
from tests.proofs.ledger_app import SERVERS, LedgerApp
from tests.proofs.window import ended_in, failures, latency, seconds

STEADY = 4.0  # seconds before the first rollout
MB = 1_000_000


def with_bake(seconds: int) -> dict[str, str]:
    """The settings that are not defaults."""
    return {"instances": "2", "verify": f'{{ bake_time = "{seconds}s" }}', "keep_warm": '"5s"'}


def short_requests(target: Target, share: float = 1.0) -> list[Load]:
    """650 a second: new connections, kept-alive GETs, kept-alive POSTs."""
    return [
        NewConnection(name="connections", target=target, rate=250 * share, check=names_its_release),
        KeepAlive(name="gets", target=target, rate=250 * share, requests=gets("/", "/hello"), check=names_its_release),
        Posts(name="posts", target=target, rate=150 * share, check=names_its_release),
    ]


def rolled_out(shop: LedgerApp, rollouts: int, loads: list[Load]) -> tuple[Ledger, list[dict[str, Any]]]:
    """Roll out again and again while the loads run: the client's ledger and the receipts."""
    with Background(*loads) as traffic:
        time.sleep(STEADY)
        receipts = [shop.upgrade() for _ in range(rollouts)]
    return traffic.ledger, receipts


def judged_latency(ledger: Ledger, receipts: list[dict[str, Any]], *, judge: bool) -> str:
    """p99 in rollouts and before them; ``judge``: it is at most twice as much.

    From the moment a request was sent: the generator shares the processor with builds and starts, and its own
    lateness, which is told beside, is not the server's. It never waits for an answer, so nothing is left out.
    """
    first = min(record.wall for record in ledger.records) + 1.0
    before = latency(record for record in ledger.records if first <= record.wall <= first + STEADY - 1.0)
    whole = [record for receipt in receipts for record in ended_in(ledger, receipt)]
    moved = [record for receipt in receipts for record in since_switch(ledger, receipt)]
    during, after = latency(whole), latency(moved)
    late = Percentiles.of(record.late for record in whole)
    figures = (
        f"p99 {before.p99:.1f} ms before (N={before.samples}), {during.p99:.1f} ms in rollouts (N={during.samples}), "
        f"{after.p99:.1f} ms of that from the switch on (N={after.samples}); generator late {late.p99:.1f} ms"
    )
    assert not judge or during.p99 <= 2 * before.p99, figures
    return figures


def since_switch(ledger: Ledger, receipt: dict[str, Any]) -> list[Record]:
    """Requests of the window that were due after the switch began."""
    before = [phase["seconds"] for phase in receipt["phases"] if phase["phase"] not in ("shifting", "baking")]
    switch = seconds(receipt["started_at"]) + sum(before)
    return [record for record in ended_in(ledger, receipt) if record.wall >= switch]


@sized(("rollouts", "bake"), (3, 3), (25, 5))
@pytest.mark.parametrize("server", SERVERS)
def test_no_request_is_lost_and_each_order_is_executed_once(
    server: str, rollouts: int, bake: int, tmp_path: Path
) -> None:
    with no_leftovers(tmp_path), LedgerApp(tmp_path, server, **with_bake(bake)) as shop:
        ledger, receipts = rolled_out(shop, rollouts, short_requests(shop.target))
        orders = shop.orders()
    proof = Proof.of(ledger, orders)
    assert proof.lost == 0, "\n".join(proof.lines())
    assert [receipt["outcome"] for receipt in receipts] == ["kept"] * rollouts
    assert {failures(ledger, receipt) for receipt in receipts} == {(0, 0)}
    assert [receipt["requests"]["failed"] for receipt in receipts] == [0] * rollouts
    switches = max(float(receipt["switch_ms"]) for receipt in receipts)
    claim(
        "nothing is lost by upgrades of an app",
        f"{len(ledger.records)} requests, {rollouts} rollouts, 0 lost; {proof.once and proof.once.lines()[0]};"
        f" slowest switch {switches:.0f} ms",
        settings=shop.described(),
        seed=ledger.seed,
    )
    claim(
        "upgrades slow nobody down",
        judged_latency(ledger, receipts, judge=rollouts >= 25),
        settings=shop.described(),
        seed=ledger.seed,
    )


def long_requests(target: Target, share: float) -> list[Load]:
    """100 WebSockets, 20 streams at a time, 50 uploads and downloads at 2 MB/s, or a share of all that."""
    size = int(16 * MB * share)
    return [
        WebSockets(name="sockets", target=target, clients=int(100 * share)),
        Streams(name="streams", target=target, rate=2 * share, events=int(200 * share), interval=0.1),
        Uploads(name="uploads", target=target, rate=2 * share, size=size, speed=2 * MB),
        Downloads(name="downloads", target=target, rate=2 * share, size=size, speed=2 * MB),
        *short_requests(target, share=0.1),
    ]


@sized(("share", "bake"), (0.25, 2), (1.0, 5))
def test_sockets_streams_and_transfers_outlive_the_releases_they_began_on(
    share: float, bake: int, tmp_path: Path
) -> None:
    """Three rollouts: as many releases may drain at once, none of their connections is ended."""
    with no_leftovers(tmp_path), LedgerApp(tmp_path, **with_bake(bake)) as shop:
        loads = long_requests(shop.target, share)
        ledger, receipts = rolled_out(shop, 3, loads)
        proof = Proof.of(ledger, shop.orders())
    assert proof.lost == 0, "\n".join(proof.lines())
    assert isinstance(loads[0], WebSockets) and not loads[0].closes
    assert [receipt["outcome"] for receipt in receipts] == ["kept"] * 3
    counts = ", ".join(f"{load.requests} {load.load}" for load in proof.summary.loads)
    claim("no long connection is cut by three upgrades", counts, settings=shop.described(), seed=ledger.seed)
