"""Each file of the state is harmed while a killed daemon's apps serve on: the next one starts and no request is lost.

Short: six cases. Full, ``make sweep``: 60. ``tests/recovery`` harms the ledger a thousand times, alone.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest

from noren.prove.keepalive import KeepAlive, NewConnection
from noren.prove.request import Target
from tests.daemon import Daemon, Repository, no_leftovers
from tests.e2e.test_self_upgrade import SERVER, SETTINGS
from tests.proofs.background import Background
from tests.proofs.claim import claim
from tests.recovery.test_salvage import HARMS

# What a daemon starts from; the rest of these folders is written anew at each start.
FILES = ("noren.db*", "snapshot/*.json", "haproxy/*.json", "haproxy/*.acl", "caddy/*.json")
SIZES = [
    pytest.param(6, id="short", marks=pytest.mark.timeout(240)),
    pytest.param(60, id="full", marks=(pytest.mark.slow, pytest.mark.timeout(3600))),
]


@pytest.mark.parametrize("cases", SIZES)
def test_whatever_file_is_harmed_the_last_good_routes_are_served(tmp_path: Path, cases: int) -> None:
    repository = Repository(tmp_path / "repo")
    revision = repository.commit({"index.html": "one", "server.py": SERVER})
    seed = random.randrange(1_000_000)
    with no_leftovers(tmp_path), Daemon(tmp_path, SETTINGS) as noren:
        for app in ("site", "api"):
            noren.kept(app, revision)
        targets = [Target(port=noren.port, host=f"{app}.example", app=app) for app in ("site", "api")]
        loads = [KeepAlive(name=f"{at.app} kept alive", target=at, rate=20, connections=2) for at in targets]
        fresh = [NewConnection(name=f"{at.app} new", target=at, rate=20) for at in targets]
        with Background(*loads, *fresh) as traffic:
            told = sum(harmed(noren, random.Random(seed + n), f"seed {seed + n}") for n in range(cases))
            revision = repository.commit({"index.html": "two"})
            for app in ("site", "api"):
                noren.kept(app, revision)
    proof = traffic.proof
    claim("a harmed state", f"{cases} cases, {told} told, {proof.lost} lost in {proof.summary.requests}", seed=seed)
    assert proof.lost == 0, "\n".join(proof.lines())


def harmed(noren: Daemon, chance: random.Random, what: str) -> bool:
    """Kill the daemon, harm one file, start it again; whether it told of it in the history."""
    before = [noren.client.releases(app) for app in ("site", "api")]
    actives = [noren.status(app)["active"] for app in ("site", "api")]
    seq = noren.client.events(None, -1)[-1]["seq"]
    noren.end(signal.SIGKILL)
    files = sorted(file for pattern in FILES for file in noren.state.glob(pattern) if file.stat().st_size)
    file, harm = chance.choice(files), chance.choice(HARMS)
    harm(file, chance)
    what = f"{what}: {harm.__name__} {file.name}"
    noren.up()
    assert [noren.status(app)["active"] for app in ("site", "api")] == actives, what
    assert [noren.client.releases(app) for app in ("site", "api")] == before, what
    return any(line["kind"] == "state" for line in noren.client.events(None, -20) if line["seq"] > seq - 20)


def emptied(file: Path) -> None:
    os.truncate(file, 0)


def zeroed(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


# Written with fsync (``tests/recovery`` shows it), or before a syncfs; what apps write is theirs.
SYNCED = {"snapshot", "builds", "data"}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("harm", [emptied, zeroed])
def test_after_a_power_loss_that_took_all_that_was_not_synced_everything_serves(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    repository = Repository(tmp_path / "repo")
    revision = repository.commit({"index.html": "one", "server.py": SERVER})
    with no_leftovers(tmp_path), Daemon(tmp_path, SETTINGS) as noren:
        for app in ("site", "api"):
            noren.kept(app, revision)
        before = [noren.client.releases(app) for app in ("site", "api")]
        power_off(noren)
        for file in [file for file in noren.state.rglob("*") if file.is_file() and not file.is_symlink()]:
            first, *_ = file.relative_to(noren.state).parts
            if first not in SYNCED and not first.startswith("noren.db"):
                harm(file)
        noren.up()
        for app in ("site", "api"):
            noren.until(lambda app=app: served(noren.port, app), f"{app} serves", 30)
        assert [noren.client.releases(app) for app in ("site", "api")] == before
        revision = repository.commit({"index.html": "two"})
        for app in ("site", "api"):
            noren.kept(app, revision)


def power_off(noren: Daemon) -> None:
    """End everything at once: the daemon first, which would start again what ends."""
    noren.end(signal.SIGKILL)
    ours = [process for process in psutil.process_iter() if works_for(process, noren)]
    for process in ours:
        process.kill()
    while any(runs(process) for process in ours):
        time.sleep(0.05)


def works_for(process: psutil.Process, noren: Daemon) -> bool:
    try:
        told = [*process.cmdline(), process.cwd(), *process.environ().values()]
    except psutil.Error:
        return False
    return process.pid != os.getpid() and any(str(noren.state) in word for word in told)


def runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def served(port: int, app: str) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/", headers={"Host": f"{app}.example"})
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
