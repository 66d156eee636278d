"""Three apps of one daemon under load while something is killed: a shop with a ledger, a site, and a bystander.

Used by the proofs of kills. New connections (L1), kept-alive ones with GETs and orders (L2), and a bystander that is
never upgraded (L9). ``site`` is asked for another page each time, so that Caddy and not HAProxy's cache answers.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from noren.prove.checks import names_its_release
from noren.prove.keepalive import KeepAlive, NewConnection
from noren.prove.ledger import Ledger, Record
from noren.prove.load import Load
from noren.prove.request import Request, Target, gets, mix, posts
from tests.daemon import Repository
from tests.proofs.exits import exit_time
from tests.proofs.ledger_app import COMMANDS, EXAMPLE, LedgerApp, app_settings, environment

RATES = {"new": 150.0, "kept": 150.0, "site": 100.0, "bystander": 50.0}
# A client learns of the end of its connection a moment after the kill; what it sent until then went to the dead.
UNAWARE = 0.02  # seconds
_SITE = """
[apps.site]
repo = "site"
hosts = ["site.example"]
verify = { bake_time = "1s" }
"""


@contextmanager
def trio(folder: Path, server: str = "") -> Generator[LedgerApp]:
    """All three serve; ``server`` are lines of ``[server]``."""
    site, bystander = Repository(folder / "site"), Repository(folder / "bystander")
    revision = site.commit({"index.html": "<!doctype html><p>the site"})
    shutil.copytree(EXAMPLE, bystander.path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    bystander.commit({"VERSION": "1"})
    begun = LedgerApp(folder, verify='{ bake_time = "1s" }', keep_warm='"2s"')
    begun.noren.settings.write_text(begun.noren.settings.read_text().replace("[server]\n", f"[server]\n{server}", 1))
    with begun as shop:
        beside = app_settings("bystander", COMMANDS["uvicorn"], repo='"bystander"', verify='{ bake_time = "1s" }')
        shop.noren.settings.write_text(shop.noren.settings.read_text() + _SITE + beside)
        shop.noren.client.reload(prune=False, dry=False)
        shop.noren.kept("site", revision)
        shop.noren.kept("bystander", bystander.tip())
        yield shop


def requests(shop: LedgerApp) -> list[Load]:
    """L1, L2 and L9, at rates that leave a small machine room."""
    port = shop.noren.port
    site = Target(port=port, host="site.example", app="site")
    bystander = Target(port=port, host="bystander.example", app="bystander")
    mixed = mix(0.7, gets("/", "/hello"), posts())
    return [
        NewConnection(name="new", target=shop.target, rate=RATES["new"], check=names_its_release),
        KeepAlive(name="kept", target=shop.target, rate=RATES["kept"], requests=mixed, check=names_its_release),
        NewConnection(name="site", target=site, rate=RATES["site"], requests=uncached),
        KeepAlive(name="bystander", target=bystander, rate=RATES["bystander"], check=names_its_release),
    ]


def uncached(id: str, rng: random.Random) -> Request:
    """A page under a query of its own."""
    return Request(id, path=f"/?{id}")


def running(shop: LedgerApp) -> Counter[int]:
    """Processes of the shop alone, by release."""
    environments = [environment(Path(f"/proc/{pid}")) for pid in shop.processes()]
    return Counter(int(env["NOREN_RELEASE"]) for env in environments if env.get("NOREN_APP") == "shop")


def pid_of(shop: LedgerApp, proxy: str) -> int | None:
    """The process of ``haproxy`` or ``caddy`` now."""
    if proxy == "caddy":
        folder = str(shop.noren.state / "caddy")
        procs = Path("/proc").glob("[0-9]*")
        return next((int(proc.name) for proc in procs if environment(proc).get("XDG_CONFIG_HOME") == folder), None)
    *_, text = (shop.noren.state / proxy / "identity.json").read_text().splitlines()  # a digest may stand before it
    return int(json.loads(text)["pid"])


def successor_of(shop: LedgerApp, proxy: str, killed: int) -> int:
    """Wait until another process than the killed one is the proxy."""

    def other() -> int | None:
        pid = pid_of(shop, proxy)
        return pid if pid != killed else None

    return shop.noren.until(other, f"{proxy} is started again", 10, pause=0.002)


@dataclass(frozen=True)
class Kill:
    """SIGKILL was sent, and the process had ended: on a busy machine its sockets take requests until then."""

    sent: float  # seconds of the epoch
    ended: float


def killed(pid: int) -> Kill:
    """Kill a process and wait for its end."""
    with ThreadPoolExecutor(1) as watching:  # from before the kill on: its parent reaps it at once
        end = watching.submit(exit_time, pid, 10.0)
        time.sleep(0.01)
        sent = time.time()
        os.kill(pid, signal.SIGKILL)
        return Kill(sent, end.result())


def in_flight(ledger: Ledger, kill: Kill, loads: frozenset[str]) -> list[Record]:
    """Requests of these loads that were under way when the process ended."""
    ours = (r for r in ledger.records if r.load in loads)
    return [r for r in ours if r.wall + r.late <= kill.ended + UNAWARE and r.wall + r.latency >= kill.sent]


def served_again(shop: LedgerApp, kill: Kill) -> float:
    """Ask for a page that no cache has, until it is answered: seconds from the kill."""
    connection = HTTPConnection("127.0.0.1", shop.noren.port, timeout=30)
    try:
        connection.request("GET", f"/?{kill.sent}", headers={"Host": "site.example"})
        answer = connection.getresponse()
        assert answer.status == 200, answer.status
        answer.read()
    finally:
        connection.close()
    return time.time() - kill.sent


def pauses(seed: int, number: int, least: float, mean: float) -> Generator[int]:
    """So many times, at random moments: seldom much later than ``least`` plus ``mean`` seconds."""
    rng = random.Random(seed)
    for count in range(number):
        time.sleep(least + rng.expovariate(1 / mean))
        yield count
