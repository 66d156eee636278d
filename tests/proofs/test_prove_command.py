"""`noren prove` loads a real app while it is rolled out, finds nothing in a good one, names what a bad one loses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import no_leftovers
from tests.proofs.ledger_app import LedgerApp

SETTINGS = {"hosts": '["shop.localhost"]', "keep_warm": '"1s"', "verify": '{ bake_time = "2s" }'}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[LedgerApp]:
    with no_leftovers(tmp_path), LedgerApp(tmp_path, "simple", **SETTINGS) as app:
        yield app


def argv(shop: LedgerApp, *words: str) -> list[str]:
    return [sys.executable, "-m", "noren.main", "-c", str(shop.noren.settings), "prove", *words]


def prove(shop: LedgerApp, *words: str) -> subprocess.CompletedProcess[str]:
    command = argv(shop, *words)
    return subprocess.run(
        command, capture_output=True, text=True, timeout=100, stdin=subprocess.DEVNULL, env=os.environ
    )


def proved(shop: LedgerApp, *words: str) -> tuple[int, dict[str, Any]]:
    done = prove(shop, "shop", "--json", *words)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.timeout(120)
def test_a_good_app_loses_nothing_and_both_ledgers_agree(shop: LedgerApp, tmp_path: Path) -> None:
    html = tmp_path / "proof.html"
    words = ("--post", "/orders", "--load", "L1,L2,L7,L8", "--rollouts", "3", "--bake", "1s", "--html", str(html))
    code, told = proved(shop, "--seed", "7", "--rate", "60", *words)
    assert (code, told["good"], told["lost"], told["seed"]) == (0, True, 0, 7), told
    assert [rollout["outcome"] for rollout in told["rollouts"]] == ["kept"] * 3
    assert told["once"]["orders"] > 50 and not told["once"]["missing"] and not told["once"]["doubled"]
    assert told["proxy"]["total"] >= told["proxy"]["client"] * 0.9 > 0 and told["proxy"]["failed"] == 0
    assert {load["load"] for load in told["loads"]} == {"L1", "L2", "L7", "L8"}
    assert set(told["by_release"]) >= {"shop@1", "shop@2", "shop@3", "shop@4"}
    assert all(told["latency_ms"][part]["samples"] for part in ("before", "during", "after"))
    assert "0 lost in" in html.read_text()


@pytest.mark.timeout(120)
def test_what_an_app_loses_is_told_with_its_likely_cause(shop: LedgerApp) -> None:
    shop.commit(faults="HANG=6\n")
    shop.noren.until(lambda: shop.noren.status("shop")["phase"] == "baking", "the slow release bakes")
    shop.noren.client.promote("shop")
    code, told = proved(shop, "--rate", "10", "--load", "L1", "--rollouts", "1", "--restart")
    assert code == 1 and told["lost"] > 10
    assert {loss["outcome"] for loss in told["losses"]} == {"timeout"}
    assert any("does not answer this rate" in row["cause"] for row in told["causes"]), told["causes"]
    done = prove(shop, "shop", "--path", "/nothing")
    assert done.returncode == 2 and "is answered 404" in done.stderr


@pytest.mark.timeout(120)
def test_a_longer_bake_than_the_apps_own_is_over_with_it(shop: LedgerApp) -> None:
    code, told = proved(shop, "--load", "L1", "--rollouts", "1", "--bake", "10m")
    assert (code, [rollout["outcome"] for rollout in told["rollouts"]]) == (0, ["kept"])


@pytest.mark.timeout(120)
def test_ctrl_c_cuts_a_long_bake_short_and_the_report_is_made(tmp_path: Path) -> None:
    long = SETTINGS | {"verify": '{ bake_time = "10m" }'}
    with no_leftovers(tmp_path), LedgerApp(tmp_path, "simple", **long) as shop:
        command = argv(shop, "shop", "--json", "--load", "L1", "--bake", "10m")
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as trial:
            shop.noren.until(lambda: shop.noren.status("shop")["phase"] == "baking", "its rollout bakes")
            trial.send_signal(signal.SIGINT)
            told, _ = trial.communicate(timeout=60)
        assert (trial.returncode, [rollout["outcome"] for rollout in json.loads(told)["rollouts"]]) == (0, ["kept"])


def test_an_app_with_public_hosts_is_loaded_only_when_that_is_meant(tmp_path: Path) -> None:
    with no_leftovers(tmp_path), LedgerApp(tmp_path, "simple", verify='{ bake_time = "1s" }') as shop:
        before = shop.noren.client.releases("shop")
        done = prove(shop, "shop")
        assert done.returncode == 2
        assert "shop serves shop.example: people may be using it" in done.stderr and "--yes" in done.stderr
        assert shop.noren.client.releases("shop") == before
