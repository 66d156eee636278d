"""One fault at a time, under load, at a random moment of a rollout: what docs/reliability.md promises for each.

Named by the number of its row there. Short: once each. Full: 20 times each (`make faults`).
"""

from __future__ import annotations

import os
import random
import resource
import signal
import socket
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import psutil
import pytest

from noren.address import reachable
from noren.prove.checks import names_its_release
from noren.prove.keepalive import KeepAlive, NewConnection, Posts
from noren.prove.ledger import Record
from noren.prove.load import Load
from noren.prove.outcome import Outcome
from noren.prove.proof import Proof
from tests.daemon import no_leftovers
from tests.proofs.background import Background
from tests.proofs.claim import claim, sized
from tests.proofs.ledger_app import LedgerApp
from tests.proofs.trio import pid_of

# Generous: a busy machine starts an app in seconds.
pytestmark = pytest.mark.timeout(300)
QUICK = {"verify": '{ bake_time = "2s" }', "keep_warm": '"1s"'}
GROUPS = Path("/sys/fs/cgroup/cpu")


class Scene:
    """The shop under load; ``lost`` and ``receipts`` are there once the block has ended."""

    def __init__(self, shop: LedgerApp, rng: random.Random) -> None:
        self.shop = shop
        self.rng = rng
        self.lost: list[Record] = []
        self.requests = 0

    def phase(self, phase: str, timeout: float = 60.0) -> None:
        """Wait for a phase, and then for a random moment in it."""
        self.shop.noren.until(lambda: self.shop.noren.status("shop")["phase"] == phase, f"it is {phase}", timeout)
        time.sleep(self.rng.uniform(0.0, 0.5))

    def pids(self, release: int) -> list[int]:
        """The processes of a release."""
        return [pid for pid, number in self.shop.processes().items() if number == release]

    def daemon(self) -> psutil.Process:
        """The daemon."""
        assert self.shop.noren.process is not None
        return psutil.Process(self.shop.noren.process.pid)

    def active(self) -> int:
        """The release that new requests get."""
        return int(self.shop.noren.status("shop")["active"]["release"])

    def told(self, text: str) -> bool:
        """Whether the history says so."""
        return any(text in line["text"] for line in self.shop.noren.client.events("shop", -200))


def reads(shop: LedgerApp) -> list[Load]:
    """Requests that may be tried again when an instance dies: none may be lost."""
    return [
        NewConnection(name="new", target=shop.target, rate=60, check=names_its_release),
        KeepAlive(name="kept", target=shop.target, rate=60, check=names_its_release),
    ]


def all_of_them(shop: LedgerApp) -> list[Load]:
    """And orders, each to be executed exactly once."""
    return [*reads(shop), Posts(name="posts", target=shop.target, rate=40, check=names_its_release)]


@contextmanager
def faced(folder: Path, row: str, *, orders: bool = True, survives: bool = True, **settings: str) -> Generator[Scene]:
    """Afterwards the next push deploys, one release runs, nothing was executed twice and, unless told so, lost."""
    seed = random.randrange(2**32)
    print(f"{row}: seed {seed}", flush=True)
    with no_leftovers(folder), LedgerApp(folder, **(QUICK | settings)) as shop:
        scene = Scene(shop, random.Random(seed))
        with Background(*(all_of_them(shop) if orders else reads(shop)), seed=seed) as traffic:
            time.sleep(0.5)
            yield scene
            shop.noren.kept("shop", shop.commit(faults=""), timeout=120)
            shop.noren.until(lambda: set(shop.running()) == {scene.active()}, "only the active release runs", 60)
        proof = Proof.of(traffic.ledger, shop.orders())
        scene.lost, scene.requests = traffic.ledger.lost(), proof.summary.requests
    assert proof.once is not None
    claim(row, f"{scene.requests} requests, {len(scene.lost)} lost, {proof.once.broken} doubled or missing", seed=seed)
    assert not proof.once.broken, "\n".join(proof.lines())
    assert not survives or proof.lost == 0, "\n".join(proof.lines())


def outcome(scene: Scene, revision: str, timeout: float = 60.0) -> dict[str, Any]:
    """Wait for the outcome of a revision; its line of ``releases``."""

    def there() -> dict[str, Any] | None:
        rows: Any = scene.shop.noren.client.releases("shop")
        return next((row for row in rows if row["revision"] == revision and row["outcome"]), None)

    return scene.shop.noren.until(there, "the revision has its outcome", timeout)


def times(runs: int, folder: Path) -> Iterator[Path]:
    """A folder of its own for each run."""
    return (folder / str(run) for run in range(runs))


@sized(("runs", "hold"), (1, 3.0), (3, 60.0))
def test_f2_a_stopped_daemon_holds_nothing_up_and_goes_on(runs: int, hold: float, tmp_path: Path) -> None:
    for folder in times(runs, tmp_path):
        with faced(folder, "F2 daemon stopped") as scene:
            revision = scene.shop.commit(faults="SLOW_START=1\n")
            scene.phase(scene.rng.choice(["waiting_ready", "baking"]))
            scene.daemon().suspend()
            time.sleep(hold)
            scene.daemon().resume()
            assert outcome(scene, revision)["outcome"] == "kept"


@sized("runs", 1, 10)
def test_f6_a_stopped_haproxy_moves_no_traffic_and_the_commit_goes_out_afterwards(runs: int, tmp_path: Path) -> None:
    for folder in times(runs, tmp_path):
        with faced(folder, "F6 HAProxy stopped", survives=False) as scene:
            revision = scene.shop.commit(faults="SLOW_START=2\n")
            scene.phase("waiting_ready")
            first, old = scene.active(), scene.pids(scene.active())
            pid, began = pid_of(scene.shop, "haproxy"), time.time()
            os.kill(pid, signal.SIGSTOP)
            time.sleep(12.0)
            assert scene.active() == first and set(old) <= set(scene.pids(first)), "the old release was touched"
            os.kill(pid, signal.SIGCONT)
            ended = time.time()
            scene.shop.noren.kept("shop", revision, timeout=120)
            assert pid_of(scene.shop, "haproxy") == pid
        assert {record.outcome for record in scene.lost} <= {Outcome.TIMEOUT}
        assert all(began - 6 <= record.wall <= ended + 1 for record in scene.lost)


@sized("runs", 1, 20)
def test_f9_a_new_instance_killed_before_it_has_traffic_changes_nothing(runs: int, tmp_path: Path) -> None:
    for folder in times(runs, tmp_path):
        with faced(folder, "F9 candidate killed before the switch") as scene:
            before = scene.active()
            revision = scene.shop.commit(faults="SLOW_START=3\n")
            scene.phase("waiting_ready")
            for pid in scene.pids(before + 1):
                os.kill(pid, signal.SIGKILL)
            row = outcome(scene, revision)
            assert (row["outcome"], scene.active()) == ("aborted", before) and "signal 9" in row["reason"], row


@sized("runs", 1, 20)
def test_f10_a_new_instance_killed_after_the_switch_is_gone_back_from(runs: int, tmp_path: Path) -> None:
    for folder in times(runs, tmp_path):
        with faced(
            folder, "F10 candidate killed after the switch", survives=False, verify='{ bake_time = "10s" }'
        ) as at:
            before = at.active()
            revision = at.shop.commit()
            at.phase("baking")
            killed = time.time()
            for pid in at.pids(before + 1):
                os.kill(pid, signal.SIGKILL)
            row = outcome(at, revision)
            assert (row["outcome"], at.active()) == ("rolled_back", before) and "signal 9" in row["reason"], row
        assert all(killed - 1 <= record.wall <= killed + 0.5 for record in at.lost), at.lost


@sized("runs", 1, 20)
def test_f11_an_old_instance_killed_during_a_rollout_is_replaced_and_the_rollout_goes_on(
    runs: int, tmp_path: Path
) -> None:
    for folder in times(runs, tmp_path):
        with faced(folder, "F11 one of two old instances killed", orders=False, survives=False, instances="2") as scene:
            before = scene.active()
            revision = scene.shop.commit(faults="SLOW_START=4\n")
            scene.phase("waiting_ready")
            killed = time.time()
            os.kill(scene.pids(before)[0], signal.SIGKILL)
            assert outcome(scene, revision)["outcome"] == "kept"
            assert scene.told("signal 9")
        assert all(record.wall <= killed + 0.2 for record in scene.lost), "more than what it was answering"


@sized("runs", 1, 20)
def test_f12_an_old_instance_killed_after_the_switch_changes_nothing_and_a_rollback_finds_it_running(
    runs: int, tmp_path: Path
) -> None:
    for folder in times(runs, tmp_path):
        with faced(folder, "F12 old instance killed after the switch", survives=False, keep_warm='"15s"') as scene:
            before = scene.active()
            revision = scene.shop.commit()
            scene.phase("baking")
            killed = time.time()
            for pid in scene.pids(before):
                os.kill(pid, signal.SIGKILL)
            assert outcome(scene, revision)["outcome"] == "kept"
            assert scene.active() == before + 1 and scene.told("was started in its place")
            asked = time.monotonic()
            scene.shop.noren.client.rollback("shop")
            again = partial(lambda scene, before: scene.active() == before, scene, before)
            scene.shop.noren.until(again, "the old release serves again")
            claim("F12", f"rolled back {time.monotonic() - asked:.1f} s after it was asked for")
        assert all(record.wall <= killed + 0.2 for record in scene.lost), "more than what it was answering"


@sized("runs", 1, 20)
def test_f13_when_both_die_a_working_release_is_back_by_itself(runs: int, tmp_path: Path) -> None:
    for folder in times(runs, tmp_path):
        with faced(folder, "F13 old and new killed together", survives=False, verify='{ bake_time = "10s" }') as scene:
            revision = scene.shop.commit()
            scene.phase("baking")
            killed = time.time()
            for pid in scene.shop.processes():
                os.kill(pid, signal.SIGKILL)
            assert outcome(scene, revision)["outcome"] == "rolled_back"
        last = max((record.wall + record.latency for record in scene.lost), default=killed)
        claim("F13", f"served again {last - killed:.1f} s after both died")
        assert last - killed <= 20


@sized(("runs", "seconds"), (1, 5), (2, 120))
def test_f16_a_slow_start_is_waited_for_and_gets_no_request_before_it_is_ready(
    runs: int, seconds: int, tmp_path: Path
) -> None:
    ready = f'{{ path = "/healthz", deadline = "{seconds + 60}s" }}'
    for folder in times(runs, tmp_path):
        with faced(folder, f"F16 a start of {seconds} s", ready=ready) as scene:
            began = time.monotonic()
            assert outcome(scene, scene.shop.commit(faults=f"SLOW_START={seconds}\n"), 300)["outcome"] == "kept"
            assert time.monotonic() - began >= seconds


@sized("pushes", 30, 1000, minutes=20)
def test_f27_pushes_in_quick_succession_are_coalesced_and_the_last_one_wins(pushes: int, tmp_path: Path) -> None:
    with faced(tmp_path, f"F27 {pushes} pushes", build='"sleep 0.5"') as scene:
        for _ in range(pushes):
            revision = scene.shop.commit()
            time.sleep(0.1)
        scene.shop.noren.kept("shop", revision, timeout=120)
        rows: Any = scene.shop.noren.client.releases("shop")
        assert len(rows) < pushes and {row["outcome"] for row in rows} <= {"kept", "superseded"}, rows


@contextmanager
def watched(socket_path: Path, watchers: int) -> Generator[list[socket.socket]]:
    """So many follow the history over the socket of the API; nobody reads what they are told until the end."""
    with ExitStack() as stack, reachable(socket_path) as address:
        open_ones = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(watchers)]
        for each in open_ones:
            each.settimeout(20.0)
            each.connect(address)
            each.sendall(b"GET /v1/events?follow=1 HTTP/1.1\r\nHost: noren\r\n\r\n")
        yield open_ones


@contextmanager
def asked_on_and_on(shop: LedgerApp, askers: int) -> Generator[list[float]]:
    """So many ask for the status and the releases without a pause; the seconds that each answer took."""
    took: list[float] = []
    ending = Event()

    def ask() -> None:
        while not ending.is_set():
            began = time.monotonic()
            shop.noren.client.status()
            shop.noren.client.releases("shop")
            took.append((time.monotonic() - began) / 2)

    with ThreadPoolExecutor(askers) as threads:
        asking = [threads.submit(ask) for _ in range(askers)]
        try:
            yield took
        finally:
            ending.set()
        for each in asking:
            each.result()


@sized(("runs", "watchers", "askers"), (1, 50, 2), (3, 500, 8))
def test_f38_a_flood_of_the_api_holds_up_no_rollout_and_no_request(
    runs: int, watchers: int, askers: int, tmp_path: Path
) -> None:
    for folder in times(runs, tmp_path):
        with faced(folder, f"F38 {watchers} watchers, {askers} askers") as scene:
            daemon = scene.daemon()
            before, descriptors = daemon.memory_info().rss, daemon.num_fds()
            with watched(scene.shop.noren.state / "noren.sock", watchers) as open_ones:
                with asked_on_and_on(scene.shop, askers) as took:
                    time.sleep(2.0)
                    began = time.monotonic()
                    assert outcome(scene, scene.shop.commit())["outcome"] == "kept"
                    kept = time.monotonic() - began
                grown = daemon.memory_info().rss - before
                assert all(each.recv(12) == b"HTTP/1.1 200" for each in open_ones)
            p99 = sorted(took)[int(len(took) * 0.99)]
            claim(
                "F38",
                f"{2 * len(took)} answers, p99 {p99 * 1000:.0f} ms; kept after {kept:.1f} s, {grown / 1e6:+.1f} MB",
            )
            assert grown <= 64_000_000
            gone = partial(lambda daemon, most: daemon.num_fds() <= most, daemon, descriptors + 10)
            scene.shop.noren.until(gone, "what watched is closed", 10)


@sized("runs", 1, 5)
def test_f41_a_daemon_without_a_descriptor_to_spare_serves_on_spins_not_and_recovers(runs: int, tmp_path: Path) -> None:
    for folder in times(runs, tmp_path):
        with faced(folder, "F41 no descriptor left") as scene:
            daemon = scene.daemon()
            soft, hard = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (max(64, daemon.num_fds()), hard))
            revision = scene.shop.commit()
            before = sum(daemon.cpu_times()[:2])
            time.sleep(6.0)
            assert daemon.is_running() and sum(daemon.cpu_times()[:2]) - before <= 3.0, "it spins"
            resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (soft, hard))
            scene.shop.noren.kept("shop", revision, timeout=120)


@contextmanager
def starved(pid: int, share: float) -> Generator[None]:
    """A process, and what it starts meanwhile, gets so little of a processor."""
    group = GROUPS / f"noren-test-{pid}"
    group.mkdir()
    try:
        (group / "cpu.cfs_quota_us").write_text(str(int(100_000 * share)))
        (group / "cgroup.procs").write_text(str(pid))
        yield
        for member in (group / "cgroup.procs").read_text().split():
            with suppress(ProcessLookupError):  # something that the daemon started, and that has ended
                (GROUPS / "cgroup.procs").write_text(member)
    finally:
        (group / "cpu.cfs_quota_us").write_text("-1")
        time.sleep(0.2)
        group.rmdir()


@pytest.mark.skipif(not (GROUPS / "cpu.cfs_quota_us").exists(), reason="this host has no cpu controller of cgroup v1")
@sized(("runs", "share"), (1, 0.15), (3, 0.05), minutes=40)
def test_f42_a_starved_daemon_is_slow_and_right(runs: int, share: float, tmp_path: Path) -> None:
    for folder in times(runs, tmp_path):
        with faced(folder, f"F42 {share:.0%} of a processor") as scene:
            with starved(scene.daemon().pid, share):
                revision = scene.shop.commit()
                last = [line for line in scene.shop.noren.client.verdict("shop", 2) if "outcome" in line]
                assert last, scene.shop.noren.tail()
            assert outcome(scene, revision)["outcome"] == "kept"
