"""What people do to an app under load: roll back, restart, promote, abort. Nothing is lost by any of it."""

from __future__ import annotations

import time
from pathlib import Path

from noren.prove.checks import names_its_release
from noren.prove.keepalive import KeepAlive, Posts
from noren.prove.load import Load
from noren.prove.proof import Proof
from tests.daemon import no_leftovers
from tests.proofs.background import Background
from tests.proofs.claim import claim
from tests.proofs.ledger_app import LedgerApp
from tests.proofs.window import failures


def requests(shop: LedgerApp) -> list[Load]:
    """300 a second."""
    return [
        KeepAlive(name="gets", target=shop.target, rate=200, check=names_its_release),
        Posts(name="posts", target=shop.target, rate=100, check=names_its_release),
    ]


def nothing_is_lost(shop: LedgerApp, traffic: Background) -> str:
    """Both ledgers agree; the figures."""
    proof = Proof.of(traffic.ledger, shop.orders())
    assert proof.lost == 0, "\n".join(proof.lines())
    return f"{proof.summary.requests} requests, 0 lost"


def test_a_manual_rollback_to_a_warm_release_takes_less_than_300_ms(tmp_path: Path) -> None:
    with no_leftovers(tmp_path), LedgerApp(tmp_path, verify='{ bake_time = "1s" }') as shop:
        assert shop.upgrade()["outcome"] == "kept"
        with Background(*requests(shop)) as traffic:
            time.sleep(1)
            asked = time.time()
            shop.noren.client.rollback("shop")
            receipt = shop.verdict()
            time.sleep(0.5)
        figures = nothing_is_lost(shop, traffic)
        status = shop.noren.status("shop")
    assert (receipt["kind"], receipt["outcome"]) == ("rollback", "kept")
    assert status["active"]["release"] == 1
    assert [row["revision"] for row in status["quarantined"]] == [shop.repository.tip()]
    last = max(record.wall for record in traffic.ledger.records if record.release == "shop@2")
    claim("manual rollback", f"{(last - asked) * 1000:.0f} ms, {figures}", settings=shop.described())
    assert last - asked <= 0.3


def test_a_restart_replaces_the_instances_of_the_same_release(tmp_path: Path) -> None:
    with no_leftovers(tmp_path), LedgerApp(tmp_path, instances="2", verify='{ bake_time = "1s" }') as shop:
        before = set(shop.processes())
        with Background(*requests(shop)) as traffic:
            time.sleep(1)
            shop.noren.client.restart("shop")
            receipt = shop.verdict()
            shop.noren.until(lambda: len(shop.processes()) == 2, "the old instances have gone")
            time.sleep(0.5)
        figures = nothing_is_lost(shop, traffic)
        assert not before & set(shop.processes())
    assert (receipt["kind"], receipt["outcome"], receipt["release"]) == ("restart", "kept", 1)
    claim("restart", figures, settings=shop.described())


def test_promote_keeps_a_baking_release_at_once(tmp_path: Path) -> None:
    with no_leftovers(tmp_path), LedgerApp(tmp_path) as shop:
        with Background(*requests(shop)) as traffic:
            shop.commit()
            shop.noren.until(lambda: shop.noren.status("shop")["phase"] == "baking", "it bakes")
            asked = time.monotonic()
            shop.noren.client.promote("shop")
            receipt = shop.verdict()
            took = time.monotonic() - asked
        figures = nothing_is_lost(shop, traffic)
    assert receipt["outcome"] == "kept"
    assert receipt["reason"].startswith("promoted by test")
    claim("promote", f"verdict after {took * 1000:.0f} ms, {figures}", settings=shop.described())


def test_abort_ends_a_rollout_before_traffic_moved_and_sends_it_back_after(tmp_path: Path) -> None:
    with no_leftovers(tmp_path), LedgerApp(tmp_path) as shop:
        with Background(*requests(shop)) as traffic:
            shop.commit(faults="NEVER_READY=1\n")
            shop.noren.until(lambda: shop.noren.status("shop")["phase"] == "waiting_ready", "it waits to be ready")
            shop.noren.client.abort("shop")
            early = shop.verdict()
            shop.commit(faults=None)
            shop.noren.until(lambda: shop.noren.status("shop")["phase"] == "baking", "it bakes")
            shop.noren.client.abort("shop")
            late = shop.verdict()
            shop.settled()
            time.sleep(0.5)
        figures = nothing_is_lost(shop, traffic)
    assert [(one["outcome"], one["reason"]) for one in (early, late)] == [
        ("aborted", "aborted by test"),
        ("rolled_back", "aborted by test"),
    ]
    assert [one["requests"]["failed"] for one in (early, late)] == [0, 0]
    assert [failures(traffic.ledger, one) for one in (early, late)] == [(0, 0), (0, 0)]
    claim("abort", figures, settings=shop.described())
