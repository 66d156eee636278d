"""Builds that fill the disk, fork, or talk without end: they end, they leave nothing, nobody else notices."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from noren.core.errors import NorenError
from tests.proofs.claim import claim, sized
from tests.proofs.pair import GOOD, Pair, page, pair

MEGABYTE = 1_000_000


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Generator[None]:
    """A file system of its own at ``folder``; skips the test where that is not allowed."""
    folder.mkdir(parents=True)
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    if mounted.returncode:
        pytest.skip(f"no small file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, timeout=10)


@pytest.mark.parametrize("rate", ["slowly", "at once"])
def test_a_build_that_fills_the_disk_fails_for_that_reason_and_the_next_commit_goes_out(
    tmp_path: Path, rate: str
) -> None:
    pause = "sleep 0.2" if rate == "slowly" else "true"
    fill = f"while dd if=/dev/zero bs=1M count=20 status=none >>$NOREN_OUTPUT/big; do {pause}; done; exit 1"
    with small_disk(tmp_path / ".noren", 200), pair(tmp_path, f"a build that fills the disk {rate}") as both:
        revision = both.victim.commit(page("full") | {"build.sh": fill})
        row = both.concluded(revision)
        assert row["outcome"] == "failed" and "disk" in row["reason"], row
        assert not both.quarantined()
        both.noren.kept("victim", both.victim.commit(page("after")))
        assert shutil.disk_usage(both.noren.state).free > 100 * MEGABYTE, "the failed build was left"


def test_on_a_disk_filled_by_others_sites_go_on_and_upgrades_come_back_with_the_space(tmp_path: Path) -> None:
    with small_disk(tmp_path / ".noren", 200), pair(tmp_path, "a disk that others filled") as both:
        others = [both.noren.state / "others", both.noren.state / "rest"]
        for file, block in zip(others, ("1M", "512"), strict=True):
            command = ["dd", "if=/dev/zero", f"of={file}", f"bs={block}", "status=none"]
            assert subprocess.run(command, capture_output=True, check=False, timeout=20).returncode, "it is not full"
        process = both.noren.process
        revision = both.victim.commit(page("while it was full"))
        both.noren.until(lambda: "disk" in refusal(both), "a command is told that the disk is full", 20)
        for file in others:
            file.unlink()
        freed = time.monotonic()
        both.noren.until(lambda: not refusal(both), "commands are taken again", 20)
        took = time.monotonic() - freed
        both.noren.kept("victim", revision)
        assert both.noren.process is process and process and process.poll() is None
        claim("a full disk", f"decisions go on {took:.1f} s after there was space, the same daemon")
        assert took < 5


def refusal(both: Pair) -> str:
    """What a person who holds and resumes the bystander is told; "" when it is done."""
    try:
        both.noren.client.hold("bystander", "is it full?")
        both.noren.client.resume("bystander")
    except NorenError as exc:
        return str(exc)
    return ""


def test_a_build_that_leaves_hundreds_of_processes_leaves_none(tmp_path: Path) -> None:
    swarm = f"for n in $(seq 300); do setsid sleep 987654 & done; {GOOD}"
    with pair(tmp_path, "a build that forks 300 processes and leaves them") as both:
        both.noren.kept("victim", both.victim.commit(page("swarm") | {"build.sh": swarm}))
        left = subprocess.run(["pgrep", "-fc", "sleep 987654"], capture_output=True, text=True, check=False, timeout=10)
        assert left.stdout.strip() == "0"


@sized("megabytes", 200, 1000, minutes=5)
def test_a_build_that_talks_without_end_has_a_log_of_bounded_size(tmp_path: Path, megabytes: int) -> None:
    talk = f"echo first; yes 'a line that says nothing' | head -c {megabytes * MEGABYTE}; echo last; {GOOD}"
    with pair(tmp_path, f"a build that prints {megabytes} MB") as both:
        row = both.noren.kept("victim", both.victim.commit(page("talk") | {"build.sh": talk}))
        logs = list((both.noren.state / "builds").glob("*.log"))
        largest = max(log.stat().st_size for log in logs)
        lines = list(both.noren.client.logs("victim", release=row["release"], build=True, last=5, follow=False))
        assert lines[-1] == "last"
        claim("its log", f"{largest / MEGABYTE:.1f} MB")
        assert largest < 25 * MEGABYTE
