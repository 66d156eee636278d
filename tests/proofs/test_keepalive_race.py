"""Requests that fall around the app's idle time-out are neither lost nor executed twice (load L3).

Clients leave gaps of T ± 50 ms, T being the seconds after which the app closes an idle connection. Short: T of one
second, 1,000 orders and 1,000 reads. Full: 20,000 of each at T of 1, 2 and 5 seconds.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from noren.prove.checks import names_its_release
from noren.prove.proof import Proof
from noren.prove.race import KeepAliveRace
from tests.daemon import no_leftovers
from tests.proofs.background import Background
from tests.proofs.claim import claim
from tests.proofs.ledger_app import COMMANDS, LedgerApp

FULL = (pytest.mark.slow, pytest.mark.timeout(1800))


@pytest.mark.parametrize(
    ("idle", "requests", "clients"),
    [
        pytest.param(1, 2_000, 200, id="short"),
        pytest.param(1, 40_000, 500, id="1s", marks=FULL),
        pytest.param(2, 40_000, 1_000, id="2s", marks=FULL),
        pytest.param(5, 40_000, 2_000, id="5s", marks=FULL),
    ],
)
def test_no_request_falls_into_the_apps_idle_close(idle: int, requests: int, clients: int, tmp_path: Path) -> None:
    command = f"{COMMANDS['uvicorn']} --timeout-keep-alive {idle}"
    with no_leftovers(tmp_path), LedgerApp(tmp_path, command=command) as shop:
        load = KeepAliveRace(
            name="race", target=shop.target, idle=float(idle), clients=clients, check=names_its_release
        )
        with Background(load) as traffic:
            time.sleep((requests / clients + 1) * idle)
        proof = Proof.of(traffic.ledger, shop.orders())
    assert proof.lost == 0, "\n".join(proof.lines())
    assert proof.summary.requests >= requests * 0.95
    assert proof.once is not None
    reads = proof.summary.requests - proof.once.orders
    claim(
        f"no request is lost around an idle time-out of {idle} s",
        f"{reads} GETs, {proof.once.orders} POSTs, 0 lost, 0 doubled",
        settings=shop.described(),
        seed=traffic.ledger.seed,
    )
