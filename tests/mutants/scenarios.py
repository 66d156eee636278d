"""Short runs of the harness, each at one weak point of an upgrade. They pass with the source as it is.

``test_mutants`` runs them against patched copies of the source; pytest does not collect this file by itself.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from noren.prove.checks import names_its_release
from noren.prove.keepalive import KeepAlive, NewConnection, Posts
from noren.prove.load import Load
from noren.prove.outcome import Outcome
from noren.prove.proof import Proof
from noren.prove.request import Target, gets, mix, posts
from noren.prove.streams import Streams
from tests.daemon import Daemon, Repository
from tests.proofs.background import Background
from tests.proofs.ledger_app import COMMANDS, LedgerApp
from tests.proofs.listener import Listener
from tests.proofs.markers import Markers
from tests.proofs.window import ended_in
from tests.recovery.test_power_loss import power_losses

QUICK = {
    "verify": '{ bake_time = "1s" }',
    "keep_warm": '"200ms"',
    "ready": '{ path = "/healthz", interval = "50ms", timeout = "5s" }',
}
SLOW_ORDERS = """
import sys, time
import shop, simple
execute = shop.order
def order(body):
    answer = execute(body)
    time.sleep(0.3)
    return answer
shop.order = order
shop.begin()
simple.Server(("127.0.0.1", int(sys.argv[1])), simple.Handler).serve_forever()
"""
# Closes an idle connection in the moment in which the next request comes, each time.
CLOSING = """
import sys
import shop, simple
class Handler(simple.Handler):
    def handle(self):
        self.close_connection = True
        self.handle_one_request()
        if not self.close_connection:
            self.rfile.peek(1)
shop.begin()
simple.Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def loads(target: Target) -> list[Load]:
    """New connections, kept-alive reads and orders, and streams that outlive the switch."""
    requests = mix(0.7, gets("/", "/hello"), posts())
    return [
        NewConnection(name="L1", target=target, rate=40, check=names_its_release),
        KeepAlive(name="L2", target=target, rate=80, requests=requests, check=names_its_release),
        Streams(name="L4", target=target, rate=3, events=30, interval=0.1),
    ]


def lost_nothing(proof: Proof) -> None:
    """Neither ledger says otherwise."""
    assert proof.lost == 0, "\n".join(proof.lines())


def test_upgrades(tmp_path: Path) -> None:
    """Three upgrades under load; each receipt saw the traffic."""
    with LedgerApp(tmp_path, "simple", **QUICK) as shop:
        with Background(*loads(shop.target)) as traffic:
            time.sleep(1)
            receipts = [shop.upgrade() for _ in range(3)]
            shop.settled()
        lost_nothing(Proof.of(traffic.ledger, shop.orders()))
        for receipt in receipts:
            assert receipt["outcome"] == "kept", f"not kept: {receipt['reason']}"
            asked = len(ended_in(traffic.ledger, receipt))
            assert receipt["requests"]["total"] >= asked * 0.8, f"the receipt saw {receipt['requests']}, we {asked}"


def test_site(tmp_path: Path) -> None:
    """A page of one release is never served for that of another."""
    repository = Repository(tmp_path / "site")

    def commit(number: int) -> str:
        return repository.commit({"index.html": f"<!doctype html><p>[marker {number}]</p>"})

    toml = (
        '[server]\nlisten = ["127.0.0.1:{port}"]\n[apps.site]\nrepo = "site"\nbuild = "cp index.html $NOREN_OUTPUT"\n'
    )
    toml += 'hosts = ["site.example"]\ntriggers = { poll = "300ms" }\nverify = { bake_time = "1s" }\n'
    first = commit(1)
    with Daemon(tmp_path, toml) as noren:
        noren.kept("site", first)
        target = Target(port=noren.port, host="site.example", app="site")
        markers = Markers()
        with Background(KeepAlive(name="L2", target=target, rate=100, check=markers)) as traffic:
            for number in (2, 3):
                noren.kept("site", commit(number))
        lost_nothing(traffic.proof)
        wrong = markers.contradictions({f"site@{number}": str(number) for number in (1, 2, 3)})
        assert not wrong, "; ".join(wrong)


def test_quarantine(tmp_path: Path) -> None:
    """A branch that goes back to a revision that failed is no upgrade."""
    with LedgerApp(tmp_path, "simple", **QUICK) as shop:
        bad = shop.upgrade(faults="EXIT_AFTER_START=0.05\n")
        assert bad["outcome"] == "aborted", bad["reason"]
        assert shop.upgrade(faults=None)["outcome"] == "kept"
        subprocess.run(["git", "reset", "-q", "--hard", bad["revision"]], cwd=shop.repository.path, check=True)
        before, end = shop.noren.client.releases("shop"), time.monotonic() + 4
        while time.monotonic() < end:
            assert shop.noren.client.releases("shop") == before, "what is quarantined was tried again"
            time.sleep(0.2)


def test_race(tmp_path: Path) -> None:
    """Orders to an app that closes its idle connections as the next request comes."""
    with LedgerApp(tmp_path, "simple", **QUICK) as shop:
        running(shop, "closing.py", CLOSING)
        with Background(Posts(name="L2", target=shop.target, rate=40)) as traffic:
            time.sleep(4)
        lost_nothing(Proof.of(traffic.ledger, shop.orders()))


def running(shop: LedgerApp, file: str, text: str) -> None:
    """Release this server instead of the example's own."""
    command = f"exec {COMMANDS['simple'].split()[1]} {file} $PORT"
    shop.noren.configure(shop.noren.settings.read_text().replace(COMMANDS["simple"], command))
    shop.commit(**{file: text})
    shop.noren.client.reload(prune=False, dry=False)
    shop.noren.kept("shop", shop.repository.tip())


def test_killed_instance(tmp_path: Path) -> None:
    """An instance that dies with orders executed and not yet answered: some are lost, none is executed again."""
    settings = {**QUICK, "keep_warm": '"1m"'}
    with LedgerApp(tmp_path, "simple", **settings) as shop:
        running(shop, "slow.py", SLOW_ORDERS)
        with Background(Posts(name="L2", target=shop.target, rate=40)) as traffic:
            for _ in range(3):
                time.sleep(1.5)
                active = shop.noren.status("shop")["active"]["release"]
                for pid in [pid for pid, release in shop.processes().items() if release == active]:
                    os.kill(pid, signal.SIGKILL)
            time.sleep(1)
        once = Proof.of(traffic.ledger, shop.orders()).once
        assert once is not None and once.orders > 100
        assert not (once.doubled or once.missing), "\n".join(once.lines())
        assert once.unanswered, "no order was under way when an instance was killed"


def test_killed_proxy(tmp_path: Path) -> None:
    """HAProxy is killed: its listener stays, and no connection is refused."""
    with LedgerApp(tmp_path, "simple", **QUICK) as shop:
        before = Listener.of(shop.noren.port, shop.noren.state)
        with Background(NewConnection(name="L1", target=shop.target, rate=100)) as traffic:
            for _ in range(2):
                time.sleep(1)
                (proxy,) = Listener.of(shop.noren.port, shop.noren.state).proxies
                os.kill(proxy, signal.SIGKILL)
                time.sleep(2)
        refused = [str(record) for record in traffic.ledger.lost() if record.outcome is Outcome.REFUSED]
        assert not refused, "\n".join(refused[:5])
        assert Listener.of(shop.noren.port, shop.noren.state).inodes == before.inodes, "another listener"
        assert len(traffic.ledger.lost()) <= 20, "\n".join(str(record) for record in traffic.ledger.lost())


def test_killed_daemon(tmp_path: Path) -> None:
    """The daemon is killed: the next one adopts what runs."""
    with LedgerApp(tmp_path, "simple", **QUICK) as shop:
        before = shop.processes()
        with Background(*loads(shop.target)) as traffic:
            for _ in range(2):
                shop.noren.end(signal.SIGKILL)
                shop.noren.up()
                time.sleep(2)
        lost_nothing(Proof.of(traffic.ledger, shop.orders()))
        assert shop.processes() == before, "not adopted: other processes serve"


def test_crash_at_the_switch(tmp_path: Path) -> None:
    """The daemon is killed when the new release has answered: the rollout goes on, for it was committed before."""
    with LedgerApp(tmp_path, "simple", **QUICK) as shop:
        load = KeepAlive(name="L2", target=shop.target, rate=200, check=names_its_release)
        with Background(load) as traffic:
            shop.commit()
            shop.noren.until(lambda: traffic.answered_by("shop@2"), "the new release answers", pause=0.002)
            shop.noren.end(signal.SIGKILL)
            shop.noren.up()
            receipt = shop.verdict()
            time.sleep(1)
        assert receipt["outcome"] == "kept", f"what had traffic was not kept: {receipt['reason']}"
        lost_nothing(traffic.proof)


def test_rolling(tmp_path: Path) -> None:
    """Between the steps of a rolling upgrade the new release has its share of the requests."""
    settings = {**QUICK, "strategy": '"rolling"', "instances": "2", "min_ready": '"3s"'}
    with LedgerApp(tmp_path, "simple", **settings) as shop:
        with Background(KeepAlive(name="L2", target=shop.target, rate=100, check=names_its_release)) as traffic:
            receipt = shop.upgrade()
        assert receipt["outcome"] == "kept", f"not kept: {receipt['reason']}"
        lost_nothing(traffic.proof)
        first = min(record.wall for record in traffic.ledger.records if record.release == "shop@2")
        step = [record for record in traffic.ledger.records if first <= record.wall <= first + 2]
        share = sum(record.release == "shop@2" for record in step) / len(step)
        assert 0.3 < share < 0.7, f"the new release has a share of {share:.2f} in the first step"


def test_never_ready(tmp_path: Path) -> None:
    """A release that does not become ready gets no request."""
    ready = '{ path = "/healthz", interval = "50ms", deadline = "3s" }'
    with LedgerApp(tmp_path, "simple", **{**QUICK, "ready": ready}) as shop:
        with Background(KeepAlive(name="L2", target=shop.target, rate=100, check=names_its_release)) as traffic:
            receipt = shop.upgrade(faults="NEVER_READY=1\n")
        assert receipt["outcome"] == "aborted", f"not aborted but {receipt['outcome']}: {receipt['reason']}"
        assert not traffic.answered_by("shop@2")


def test_bad_answers(tmp_path: Path) -> None:
    """A release that answers badly is sent back."""
    with LedgerApp(tmp_path, "simple", **{**QUICK, "verify": '{ bake_time = "4s" }'}) as shop:
        with Background(KeepAlive(name="L2", target=shop.target, rate=100)):
            receipt = shop.upgrade(faults="FAIL_RATE=1\n")
        assert receipt["outcome"] == "rolled_back", f"not rolled back but {receipt['outcome']}: {receipt['reason']}"


def test_power_loss(tmp_path: Path) -> None:
    """Of what was acknowledged nothing goes with the power."""
    _, wrong = power_losses(tmp_path, commits=4, every=30)
    assert not wrong, "; ".join(wrong)
