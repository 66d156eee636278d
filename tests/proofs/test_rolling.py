"""The rolling strategy: three instances, one more at a time, no request lost."""

from __future__ import annotations

import time
from pathlib import Path

from noren.prove.proof import Proof
from tests.daemon import no_leftovers
from tests.proofs.background import Background
from tests.proofs.claim import claim, sized
from tests.proofs.ledger_app import LedgerApp
from tests.proofs.test_app_rollouts import short_requests

SETTINGS = {
    "instances": "3",
    "strategy": '"rolling"',
    "surge": "1",
    "verify": '{ bake_time = "2s" }',
    "keep_warm": '"1s"',
}


@sized("rollouts", 1, 25)
def test_a_rolling_upgrade_loses_nothing(rollouts: int, tmp_path: Path) -> None:
    with no_leftovers(tmp_path), LedgerApp(tmp_path, **SETTINGS) as shop:
        most = 0
        with Background(*short_requests(shop.target, share=0.5)) as traffic:
            time.sleep(1)
            for _ in range(rollouts):
                shop.commit()
                shop.noren.until(lambda: shop.noren.status("shop")["phase"] != "idle", "the rollout begins", pause=0.02)
                while shop.noren.status("shop")["phase"] in ("building", "starting", "waiting_ready", "shifting"):
                    most = max(most, len(shop.processes()))
                    time.sleep(0.05)
                receipt = shop.verdict()
                assert receipt["outcome"] == "kept", receipt["reason"]
                assert receipt["requests"]["failed"] == 0
        shop.settled()
        assert len(shop.processes()) == 3
        proof = Proof.of(traffic.ledger, shop.orders())
    assert proof.lost == 0, "\n".join(proof.lines())
    claim(
        "a rolling upgrade loses nothing",
        f"{proof.summary.requests} requests, {rollouts} rollouts, 0 lost; at most {most} instances,"
        f" those that drain included",
        settings=shop.described(),
        seed=traffic.ledger.seed,
    )
