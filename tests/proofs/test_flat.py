"""Rollouts leave nothing behind: processes, sockets, ports, descriptors, memory and disk stay what they were.

Short: 5 rollouts, compared after 2. Full: 1,000 rollouts, compared after 20.
"""

from __future__ import annotations

from pathlib import Path

from tests.daemon import no_leftovers
from tests.proofs.claim import claim, sized
from tests.proofs.footprint import Footprint
from tests.proofs.ledger_app import LedgerApp

SETTINGS = {
    "verify": '{ bake_time = "300ms" }',
    "ready": '{ path = "/healthz", interval = "50ms" }',
    "keep_warm": '"100ms"',
    "keep": "3",
    "triggers": '{ poll = "200ms" }',
}
LOGS_KB = 450  # the newest 50 logs of instances, a block each, and 200 kB of the proxy's own
COMMIT_KB = 16  # what a commit may add to the mirror until git gathers it: a pack and its index, a block or two each
HISTORY_KB = 30  # what one rollout may add to the ledger: its events and its receipt are kept for ever
WAL_KB = 8_000  # SQLite starts again at its front from 4 MB on


def rolled_out(shop: LedgerApp, times: int) -> Footprint:
    """So many rollouts, then what is in use when everything retired is gone."""
    for _ in range(times):
        receipt = shop.upgrade()
        assert receipt["outcome"] == "kept", receipt["reason"]
    shop.settled()
    return Footprint.of(shop.noren)


@sized(("early", "all_of_them"), (2, 5), (20, 1000), minutes=60)
def test_rollouts_leave_nothing_behind(early: int, all_of_them: int, tmp_path: Path) -> None:
    with no_leftovers(tmp_path), LedgerApp(tmp_path, "simple", **SETTINGS) as shop:
        rolled_out(shop, 3)  # until pruning has begun, the disk fills up
        before = rolled_out(shop, early)
        after = rolled_out(shop, all_of_them - early)
    claim(f"flat from rollout {early} to {all_of_them}", f"[{before}] then [{after}]", settings=shop.described())
    assert (after.processes, after.listening) == (before.processes, before.listening)
    assert after.descriptors <= before.descriptors + 5
    assert after.disk_kb <= before.disk_kb * 1.05 + LOGS_KB
    assert after.mirrors_kb <= before.mirrors_kb + COMMIT_KB * all_of_them
    assert after.ledger_kb <= before.ledger_kb + HISTORY_KB * all_of_them
    assert after.daemon_kb <= before.daemon_kb * 1.15
    assert after.haproxy_kb <= before.haproxy_kb * 1.1
    assert after.wal_kb <= WAL_KB
