"""How long a switch takes, how long a rollback takes a person, and what Noren adds to commit → live."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import closing
from http.client import HTTPConnection

from bench.site import Site, site, until_answered_by
from bench.table import Row, percentiles


def switches(number: int) -> list[Row]:
    """Back and forth between two warm releases: by the receipt, and as a visitor sees it."""
    told: list[float] = []
    seen: list[float] = []
    with site() as made, closing(made.client()) as client:
        for turn in range(number):
            target = 1 + turn % 2
            began = time.monotonic()
            rollout = made.noren.client.rollback("site", target)
            seen.append((until_answered_by(client, target) - began) * 1000)
            for _ in made.noren.client.verdict("site", rollout):
                pass
            told.append(made.noren.client.receipt("site", rollout)["switch_ms"])
    note = "maps written, read back, 3 answers through the listener"
    return [
        *percentiles("switch, by the receipt", told, (0.5, 0.99), "ms", most=100, note=note),
        *percentiles("switch, API call → new answers", seen, (0.5, 0.99), "ms", most=300),
    ]


def rollbacks(number: int) -> list[Row]:
    """``noren rollback`` typed by a person, until visitors get the other release; a new Python each time."""
    with site() as made, closing(made.client()) as client:
        seen = [_rollback(made, 1 + turn % 2, client) * 1000 for turn in range(number)]
    return percentiles("warm rollback, command → new answers", seen, (0.5, 0.99), "ms", most=300)


def _rollback(made: Site, target: int, client: HTTPConnection) -> float:
    began = time.monotonic()
    command = [sys.executable, "-c", "from noren.main import main; main()", "-c", str(made.noren.settings)]
    with subprocess.Popen([*command, "rollback", "site", str(target)], stdout=subprocess.DEVNULL) as running:
        seconds = until_answered_by(client, target) - began
        if running.wait(30):
            raise RuntimeError("noren rollback failed")
    made.noren.until(lambda: made.noren.status("site")["candidate"] is None, "the rollback is over")
    return seconds


def rollouts(number: int) -> list[Row]:
    """A commit until visitors get it; the build is a copy and the poll interval 0.2 s: nothing is subtracted."""
    seen: list[float] = []
    with site() as made, closing(made.client()) as client:
        for turn in range(number):
            made.commit(f"commit {turn}")
            began = time.monotonic()
            seen.append(until_answered_by(client, made.release + 1) - began)
            made.release += 1
            made.noren.until(lambda: made.noren.status("site")["candidate"] is None, "it is kept")
    note = "poll wait ≤ 0.2 s and a build by cp included"
    return percentiles("commit → live", seen, (0.5, 0.95), "s", most=2, note=note)
