"""Kill -9 at random moments under load: the daemon, HAProxy, Caddy. Nothing is refused, and all come back.

Short: 10 kills of the daemon, 5 of each proxy. Full: 1,000 and 200 of each.
"""

from __future__ import annotations

import random
import signal
import statistics
import time
from collections import Counter
from pathlib import Path

import pytest

from noren.prove.ledger import Ledger
from noren.prove.outcome import Outcome
from noren.prove.proof import Proof
from tests.daemon import no_leftovers
from tests.proofs.background import Background
from tests.proofs.claim import claim, sized
from tests.proofs.trio import (
    Kill,
    in_flight,
    killed,
    pauses,
    pid_of,
    requests,
    running,
    served_again,
    successor_of,
    trio,
)

DAEMON_BACK, PROXY_BACK = 2.0, 0.1  # seconds
MANY = 50  # from here on a median says something
RARELY = 1.0  # the slowest of all, on a machine that does other things as well
CUT_OFF = "Noren was stopped before all traffic had moved"  # no fault of the release: it is tried again
EVERY = 8  # kills for each commit: some hit a rollout
# What dies with a proxy: its connections, so everything on them, whatever app it is for.
PASSES = {"haproxy": frozenset({"new", "kept", "site", "bystander"}), "caddy": frozenset({"site"})}


def told(times: list[float]) -> str:
    """Durations in words."""
    return f"back after {statistics.median(times) * 1000:.0f} ms (median), {max(times) * 1000:.0f} ms (slowest)"


def outcome(row: dict[str, str]) -> str:
    """Of a release; one that was aborted with its reason."""
    return row["reason"] if row["outcome"] == "aborted" else row["outcome"]


@sized("kills", 10, 1000, minutes=60, seconds=300)
def test_kills_of_the_daemon_lose_nothing(kills: int, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}", flush=True)
    with no_leftovers(tmp_path), trio(tmp_path) as shop:
        backs: list[float] = []
        with Background(*requests(shop), seed=seed) as traffic:
            for number in pauses(seed, kills, 0.0, 0.4):
                if number % EVERY == 0:
                    shop.commit()
                shop.noren.end(signal.SIGKILL)
                backs.append(shop.noren.up())
            last = shop.noren.kept("shop", shop.commit())
            shop.noren.until(lambda: running(shop) == {last["release"]: 1}, "no other release of the shop runs")
        proof = Proof.of(traffic.ledger, shop.orders())
        outcomes = Counter(outcome(row) for row in shop.noren.client.releases("shop"))  # type: ignore[arg-type]
    claim(
        f"{kills} kills of the daemon",
        f"{proof.summary.requests} requests, {proof.lost} lost; {told(backs)}; outcomes of releases {dict(outcomes)}",
        seed=seed,
    )
    assert proof.lost == 0, "\n".join(proof.lines())
    assert outcomes.keys() <= {"kept", "superseded", CUT_OFF}, outcomes
    assert kills < MANY or statistics.median(backs) <= DAEMON_BACK, sorted(backs)


@sized("kills", 5, 200, minutes=60, seconds=300)
@pytest.mark.parametrize("proxy", ["haproxy", "caddy"])
def test_kills_of_a_proxy_refuse_nobody_and_lose_at_most_what_it_was_answering(
    proxy: str, kills: int, tmp_path: Path
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}", flush=True)
    with no_leftovers(tmp_path), trio(tmp_path) as shop:
        taken: list[Kill] = []
        backs: list[float] = []
        with Background(*requests(shop), seed=seed) as traffic:
            for _ in pauses(seed, kills, 1.2, 0.2):
                pid = pid_of(shop, proxy)
                taken.append(killed(pid))
                backs.append(served_again(shop, taken[-1]))
                successor_of(shop, proxy, pid)
            time.sleep(1.0)
            shop.noren.kept("shop", shop.commit())
        proof = Proof.of(traffic.ledger, shop.orders())
    assert proof.once is not None
    claim(
        f"{kills} kills of {proxy}",
        f"{proof.summary.requests} requests, 0 refused, {fate(traffic.ledger, taken, PASSES[proxy])}; {told(backs)}",
        seed=seed,
    )
    assert not proof.once.broken, "\n".join(proof.lines())
    assert max(backs) <= RARELY, sorted(backs)[-10:]
    assert kills < MANY or statistics.median(backs) <= PROXY_BACK, sorted(backs)


def fate(ledger: Ledger, kills: list[Kill], passes: frozenset[str]) -> str:
    """Assert that each lost request was in flight in a proxy that was killed, and that none was refused."""
    exposed = {record.id: record for kill in kills for record in in_flight(ledger, kill, passes)}
    lost = ledger.lost()
    assert not [record for record in lost if record.outcome is Outcome.REFUSED]
    stray = [str(record) for record in lost if record.id not in exposed]
    assert not stray, f"{len(stray)} lost that no kill explains: {stray[:10]}; {kills[:3]}…"
    return f"{len(lost)} lost of {len(exposed)} that were in flight at a kill"
