"""One app that goes wild costs another one under the same daemon nothing: neither its switch nor its requests.

Short and full are the same: each kind of poison, two upgrades of the neighbour.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from noren.prove.keepalive import KeepAlive, Posts
from noren.prove.proof import Proof
from tests.daemon import no_leftovers
from tests.proofs.background import Background
from tests.proofs.claim import claim
from tests.proofs.ledger_app import LedgerApp, app_settings

# Each listens first, so that it gets a release, and then goes wild.
WILD = """
import os, signal, subprocess, sys, threading, time
from http.server import BaseHTTPRequestHandler, HTTPServer

class Ok(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *args):
        pass

def crash():
    time.sleep(2)
    os.kill(os.getpid(), signal.SIGKILL)

def flood():
    line = b"x" * 999_999 + b"\\n"
    while True:
        began = time.monotonic()
        for _ in range(10):
            os.write(1, line)
        time.sleep(max(0.0, 0.1 - (time.monotonic() - began)))

def forks():
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        for _ in range(10):
            subprocess.Popen(["sleep", "20"])
        time.sleep(0.2)

threading.Thread(target={"crash": crash, "flood": flood, "forks": forks}[sys.argv[2]], daemon=True).start()
HTTPServer(("127.0.0.1", int(sys.argv[1])), Ok).serve_forever()
"""
LOG_LIMIT = 5_000_000


@pytest.mark.parametrize("poison", ["crash", "flood", "forks"])
def test_a_poisoned_neighbour_costs_nothing(poison: str, tmp_path: Path) -> None:
    with no_leftovers(tmp_path), LedgerApp(tmp_path, verify='{ bake_time = "2s" }', keep_warm='"1s"') as shop:
        alone = shop.upgrade()
        shop.commit(**{"wild.py": WILD})
        poisoned(shop, poison)
        assert shop.verdict()["outcome"] == "kept"
        loads = [
            KeepAlive(name="gets", target=shop.target, rate=100),
            Posts(name="posts", target=shop.target, rate=50),
        ]
        with Background(*loads) as traffic:
            time.sleep(3)
            receipts = [shop.upgrade() for _ in range(2)]
            log = largest_log(shop)
        proof = Proof.of(traffic.ledger, shop.orders())
    assert proof.lost == 0, "\n".join(proof.lines())
    assert [receipt["outcome"] for receipt in receipts] == ["kept", "kept"]
    slowest = max(receipt["switch_ms"] for receipt in receipts)
    claim(
        f"a neighbour that does {poison}",
        f"{proof.summary.requests} requests, 0 lost; switch {alone['switch_ms']:.0f} ms alone, {slowest:.0f} ms beside"
        f" it; its log had {log // 1000} kB",
        settings=shop.described(),
        seed=traffic.ledger.seed,
    )
    assert slowest <= max(250.0, 2 * alone["switch_ms"])


def poisoned(shop: LedgerApp, poison: str) -> None:
    """Add the wild app to the settings of the running daemon."""
    wild = app_settings(
        "wild",
        f"exec {sys.executable} wild.py $PORT {poison}",
        ready='"/"',
        limits=f'{{ log = "{LOG_LIMIT // 1_000_000}MB" }}',
        drain='{ requests = "1s", grace = "1s" }',
    )
    shop.noren.settings.write_text(shop.noren.settings.read_text() + "\n" + wild)
    shop.noren.client.reload(prune=False, dry=False)
    active = lambda: shop.noren.status("wild")["active"]  # noqa: E731
    shop.noren.until(active, "the wild app is running")


def largest_log(shop: LedgerApp) -> int:
    """Bytes of the largest log of the wild app."""
    return max(file.stat().st_size for file in (shop.noren.state / "logs" / "wild").iterdir())
