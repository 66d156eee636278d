"""A healthy release is never rolled back, also of an app that always fails some requests.

Six apps under one daemon, two for each normal error rate, are upgraded at the same time, again and again, at 50
requests a second each. Short: 2 rollouts at each rate. Full: 100 at each.
"""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from noren.prove.keepalive import KeepAlive
from noren.prove.load import Load
from noren.prove.request import Target, gets
from tests.daemon import Daemon, Repository, no_leftovers
from tests.proofs.background import Background
from tests.proofs.claim import claim, sized
from tests.proofs.ledger_app import COMMANDS, EXAMPLE, app_settings, settings

RATES = (0.0, 0.005, 0.01)
TWINS = 2  # apps for each rate
SETTINGS = {"verify": '{ bake_time = "5s" }', "keep_warm": '"1s"', "triggers": '{ poll = "off" }'}


def app_name(rate: float, twin: int) -> str:
    """Letters, digits and dashes."""
    return f"rate{round(rate * 1000)}-{twin}"


def daemon(folder: Path) -> Daemon:
    """One app for each rate and twin, all of one repository; the rate is in the environment."""
    apps = [
        app_settings(app_name(rate, twin), COMMANDS["simple"], env=f'{{ FAIL_RATE = "{rate}" }}', **SETTINGS)
        for rate in RATES
        for twin in range(TWINS)
    ]
    return Daemon(folder, settings(*apps))


def rolled_out(noren: Daemon, app: str, times: int) -> list[dict[str, object]]:
    """Deploy the tip and then restart again and again: receipts."""
    return [deployed(noren, app) for _ in range(times)]


def deployed(noren: Daemon, app: str) -> dict[str, object]:
    """One rollout of the tip: its receipt."""
    number = noren.client.deploy(app)
    assert any("outcome" in line for line in noren.client.verdict(app, number)), noren.tail()
    return noren.client.receipt(app, number)


def client(noren: Daemon, app: str) -> Load:
    """50 requests a second to one app."""
    target = Target(port=noren.port, host=f"{app}.example", app=app)
    return KeepAlive(name=app, target=target, rate=50, connections=8, requests=gets("/hello"))


@sized("rollouts", 2, 100, minutes=60)
def test_a_healthy_release_is_never_rolled_back(rollouts: int, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repo")
    shutil.copytree(EXAMPLE, repository.path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    repository.commit({"VERSION": "1"})
    names = [app_name(rate, twin) for rate in RATES for twin in range(TWINS)]
    with no_leftovers(tmp_path), daemon(tmp_path) as noren, ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda app: rolled_out(noren, app, 1), names))
        with Background(*(client(noren, app) for app in names)) as traffic:
            receipts = dict(
                zip(names, pool.map(lambda app: rolled_out(noren, app, rollouts // TWINS), names), strict=True)
            )
    for rate in RATES:
        mine = [receipt for twin in range(TWINS) for receipt in receipts[app_name(rate, twin)]]
        assert [receipt["reason"] for receipt in mine if receipt["outcome"] != "kept"] == []
        failed, total = (sum(receipt["requests"][key] for receipt in mine) for key in ("failed", "total"))  # type: ignore[index]
        claim(
            f"no false rollback at a normal error rate of {rate:.1%}",
            f"0 of {len(mine)} rollouts (p < {3 / len(mine):.3f} at 95 %), {failed} of {total} requests failed in them",
            settings=f"simple, {SETTINGS}",
            seed=traffic.ledger.seed,
        )
