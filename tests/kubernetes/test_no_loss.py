"""Upgrades of a badly configured Deployment that was adopted with ``repair``, from commit to kept, lose no request.

The app must do its part: after SIGTERM it says ``Connection: close`` for a moment. `make bench-kubernetes` shows what
becomes of one that does not, and of the ways without Noren, under the same load.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from tests.kubernetes.baseline import HEAD, NOREN, measure
from tests.proofs.claim import claim, sized


@sized("times", 3, 25, seconds=180)
def test_upgrades_of_an_adopted_deployment_lose_nothing(cluster: Path, times: int) -> None:
    cost = asyncio.run(measure(replace(NOREN, times=times), 30030))
    print(f"{HEAD}\n{cost}")
    assert not cost.lost, "\n".join(map(str, cost.lost[:20]))
    assert not cost.doubled
    figures = f"{cost.requests:,} requests, 0 lost, 0 POSTs doubled, longest gap {cost.gap:.2f} s"
    claim(f"{times} upgrades of an adopted Deployment, from commit to kept", figures)
