"""A Noren that is killed amid rollouts in a cluster finishes them, or sends them back, once it is there again.

Good commits must come to be kept, every third is one that crashes and must be sent back; the load goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kubernetes.baseline import HEAD, PARTS, Upgrade, Way, measure
from tests.kubernetes.upgraded import committed
from tests.kubernetes.workload import Namespace
from tests.proofs.claim import claim, sized

SEED = 8
LONGEST = 8.0  # seconds from the begin of a rollout to its verdict, about


def replica_sets(here: Namespace) -> list[int]:
    """How many pods each ReplicaSet is to have, of those that are to have any."""
    return [each["spec"]["replicas"] for each in here.get("replicasets")["items"] if each["spec"]["replicas"]]


@sized("kills", 3, 30, seconds=240)
def test_a_killed_noren_finishes_its_rollouts_or_sends_them_back(cluster: Path, kills: int) -> None:
    rng, seen, phases = random.Random(SEED), Counter[str](), Counter[str]()

    @contextmanager
    def killing(here: Namespace, folder: Path) -> Iterator[Upgrade]:
        with committed(folder, here) as it:
            it.upgrade()

            def upgrade() -> None:
                bad = sum(seen.values()) % 3 == 2
                revision = it.commit(start="crash") if bad else it.commit()
                it.noren.until(lambda: it.noren.status("site")["phase"] != "idle", "it has begun")
                time.sleep(rng.uniform(0.0, LONGEST))
                phases[it.noren.status("site")["phase"]] += 1
                it.noren.end(signal.SIGKILL)
                it.noren.up()
                # Killed before traffic moved it is aborted, and tried again.
                verdict = "rolled_back" if bad else "kept"
                it.noren.outcome("site", revision, verdict)
                assert replica_sets(here) == [1]
                seen[verdict] += 1

            yield upgrade

    way = Way(name=f"Noren, killed {kills} times", upgrading=killing, behaviour=PARTS, times=kills, pause=0.0)
    cost = asyncio.run(measure(way, 30050))
    print(f"{HEAD}\n{cost}")
    assert not cost.lost, "\n".join(map(str, cost.lost[:20]))
    assert not cost.doubled
    where = ", ".join(f"{number} while {phase}" for phase, number in phases.items())
    figures = f"{seen['kept']} kept, {seen['rolled_back']} sent back, {cost.requests:,} requests, 0 lost"
    claim(f"{kills} times kill -9 of Noren amid rollouts in a cluster ({where})", figures, seed=SEED)
