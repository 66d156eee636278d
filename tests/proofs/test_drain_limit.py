"""Long connections are ended at the limit of the drain, not before and not all at once; then the release stops."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

from noren.prove.sockets import WebSockets
from noren.prove.streams import Streams
from tests.daemon import no_leftovers
from tests.proofs.background import Background
from tests.proofs.claim import claim
from tests.proofs.ledger_app import LedgerApp
from tests.proofs.window import seconds

LIMIT = 3.0
SOCKETS, STREAMS = 20, 5
SETTINGS = {
    "verify": '{ bake_time = "1s" }',
    "keep_warm": '"0s"',
    "drain": f'{{ connections = "{LIMIT:g}s" }}',
}


def test_connections_are_ended_at_the_limit_spread_over_time_and_then_the_release_stops(tmp_path: Path) -> None:
    with no_leftovers(tmp_path), LedgerApp(tmp_path, **SETTINGS) as shop:
        sockets = WebSockets(name="sockets", target=shop.target, clients=SOCKETS, interval=0.2)
        streams = Streams(name="streams", target=shop.target, rate=STREAMS, events=60, interval=0.1)
        with Background(sockets, streams) as traffic:
            time.sleep(1.5)
            receipt = shop.upgrade()
            shop.settled()
            stopped = time.time()
            time.sleep(0.5)
    drained = seconds(receipt["ended_at"])
    lost = traffic.ledger.lost()
    first, last = (pick(record.wall + record.latency for record in lost) for pick in (min, max))
    after = [record for record in traffic.ledger.records if record.load == "sockets" and record.wall > stopped]
    claim(
        "connections end at the drain limit",
        f"{len(lost)} cut between {first - drained:.2f} and {last - drained:.2f} s after the verdict, the release"
        f" stopped at {stopped - drained:.2f} s",
        settings=shop.described(),
        seed=traffic.ledger.seed,
    )
    assert {record.outcome.value for record in lost} == {"cut short"}
    # Each socket once: one that came back is on the new release, and none of our business any more.
    assert Counter(record.load for record in lost)["sockets"] == SOCKETS
    assert first - drained >= LIMIT - 0.1
    assert last - first >= 0.05 * len(lost)
    assert last <= stopped
    assert after and not any(record.lost for record in after)
