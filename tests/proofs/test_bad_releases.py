"""Every kind of bad release: the old one goes on serving, the reason says why, the receipt counts what clients saw.

Short: each kind once. Full: 20 times each.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from noren.prove.checks import names_its_release
from noren.prove.keepalive import KeepAlive
from noren.prove.ledger import Ledger, Record
from noren.prove.request import gets
from tests.daemon import no_leftovers
from tests.proofs.background import Background
from tests.proofs.claim import claim, sized
from tests.proofs.exits import exit_time
from tests.proofs.ledger_app import EXAMPLE, LedgerApp
from tests.proofs.window import ended_in, failures, seconds

RATE = 100.0
SERVED = (EXAMPLE / "app.py").read_text()

# A request hangs the whole process: it accepts, and answers nobody any more. AFTER: seconds of good answers before.
HUNG = """
import time
from served import app as served

first = None

async def app(scope, receive, send):
    global first
    through_the_proxy = scope["type"] == "http" and b"x-forwarded-for" in dict(scope["headers"])
    if through_the_proxy:
        first = first or time.monotonic()
        if time.monotonic() >= first + AFTER:
            time.sleep(3600)
    await served(scope, receive, send)
"""


def hung(after: float) -> dict[str, str]:
    """The files of a release that hangs so many seconds after its first request through the proxy."""
    return {"app.py": HUNG.replace("AFTER", str(after)), "served.py": SERVED}


@dataclass(frozen=True, kw_only=True)
class Bad:
    """A kind of bad release: the files of its commit, how it must end, and what its reason must say."""

    name: str
    files: dict[str, str]
    outcome: str = "rolled_back"
    reason: tuple[str, ...]
    settings: dict[str, str] = field(default_factory=dict[str, str])
    back: float | None = None  # seconds within which the old release serves again
    since: str = "switch"  # … counted from the switch, or from the exit of the process
    rest: float = 0.5  # seconds until the next run: what hangs must be over before another window begins


def faulty(**faults: str) -> dict[str, str]:
    """The file that switches faults on."""
    return {"faults": "".join(f"{name}={value}\n" for name, value in faults.items())}


def bake(seconds: int) -> dict[str, str]:
    """The app's bake time."""
    return {"verify": f'{{ bake_time = "{seconds}s" }}'}


SHORT_DEADLINE = {"ready": '{ path = "/healthz", deadline = "3s" }'}
SHORT_DRAIN = {"drain": '{ requests = "2s", grace = "1s" }'}
EXIT = ("signal 9 after the switch", "its log")
KINDS = [
    Bad(
        name="never ready",
        files=faulty(NEVER_READY="1"),
        outcome="aborted",
        reason=("did not become ready within 3 s", "/healthz", "503", "not ready"),
        settings=SHORT_DEADLINE,
    ),
    Bad(
        name="wrong host check",
        files=faulty(HOST_CHECK="www.example"),
        outcome="aborted",
        reason=("did not become ready within 3 s", "400", "bad host shop.example", "try:"),
        settings=SHORT_DEADLINE,
    ),
    Bad(
        name="crash at start",
        files={"app.py": "raise RuntimeError('no database at db.example')\n"},
        outcome="aborted",
        reason=("exited with code 1 before it was ready", "RuntimeError: no database at db.example"),
    ),
    Bad(name="exit after 1 s", files=faulty(EXIT_AFTER="1"), reason=EXIT, back=0.25, since="exit", settings=bake(15)),
    Bad(name="exit after 3 s", files=faulty(EXIT_AFTER="3"), reason=EXIT, back=0.25, since="exit", settings=bake(15)),
    Bad(name="exit after 10 s", files=faulty(EXIT_AFTER="10"), reason=EXIT, back=0.25, since="exit", settings=bake(15)),
    Bad(
        name="all answers are errors",
        files=faulty(FAIL_RATE="1"),
        reason=("requests failed (100.0%)", "0 of"),
        back=1.5,
    ),
    Bad(name="30 % errors", files=faulty(FAIL_RATE="0.3"), reason=("requests failed (", "0 of"), back=5.0),
    Bad(
        name="hung event loop",
        files=hung(1.0),
        reason=("got no answer within 2 s",),
        settings=SHORT_DRAIN,
        back=5.0,
        rest=6.0,
    ),
    Bad(
        name="answers that never come",
        files=faulty(HANG="3600"),
        reason=("got no answer within 2 s",),
        settings={**SHORT_DRAIN, **bake(5)},
        back=5.0,
        rest=6.0,
    ),
    Bad(
        name="hung at the first request",
        files=hung(0.0),
        reason=("stopped answering at the switch", "no complete answer within 2 s"),
        settings=SHORT_DRAIN,
        back=9.0,
        rest=6.0,
    ),
    Bad(
        name="errors and children left",
        files=faulty(FAIL_RATE="1", FORK_CHILD="600"),
        reason=("requests failed (100.0%)",),
        back=1.5,
    ),
]


@dataclass(frozen=True)
class Round:
    """One bad release: its receipt, and when its process ended by itself (seconds of the epoch)."""

    receipt: dict[str, Any]
    exited: float | None

    def judge(self, kind: Bad, ledger: Ledger, old: str) -> str:
        """Assert everything that a bad release of this kind promises; the figures."""
        receipt = self.receipt
        missing = [words for words in kind.reason if words not in receipt["reason"]]
        assert not missing, f"{missing} not in: {receipt['reason']}"
        lost = Counter(f"{r.outcome} {r.status or ''}".strip() for r in ended_in(ledger, receipt) if r.lost)
        assert not lost["wrong status 503"], "the proxy had nobody to ask, though the old release was there"
        figures = f"{receipt['requests']['failed']} failed" + (f" ({dict(lost)} in its window)" if lost else "")
        if kind.back is None:
            return figures
        took = self._back(ledger, old, f"shop@{receipt['release']}")
        assert took <= kind.back, f"the old release served {took:.2f} s after the {kind.since}"
        return f"{figures}, back {took * 1000:.0f} ms after the {kind.since}"

    def _back(self, ledger: Ledger, old: str, new: str) -> float:
        """Seconds from the exit, else from the first sign of the new release, until only the old one answers."""
        since = self.exited if self.exited is not None else self._first_sign(ledger, new)
        after = [record for record in ledger.records if record.wall >= since]
        first_good = min(ends(record) for record in after if record.release == old and not record.lost)
        last_bad = max((record.wall for record in after if self._bad(record, new)), default=since)
        return max(first_good, last_bad) - since

    def _first_sign(self, ledger: Ledger, new: str) -> float:
        """Its first answer, or the first request that never got one."""
        inside = [record for record in ledger.records if record.wall >= seconds(self.receipt["started_at"])]
        return min(
            record.wall if record.release is None else ends(record) for record in inside if self._bad(record, new)
        )

    def _bad(self, record: Record, new: str) -> bool:
        within = record.wall <= seconds(self.receipt["ended_at"]) + 1.0
        return within and (record.lost or record.release == new)

    def counts(self, ledger: Ledger) -> str:
        """What is wrong with the receipt's number of failures: nothing, when the clients' ledger says the same."""
        least, most = failures(ledger, self.receipt)
        named = self.receipt["requests"]["failed"]
        return "" if least <= named <= most else f"the receipt says {named} failed, clients saw {least}..{most}"


def ends(record: Record) -> float:
    """When the answer was complete, in seconds of the epoch."""
    return record.wall + record.latency


def released(shop: LedgerApp, kind: Bad) -> Round:
    """Commit a bad release and wait for its verdict, and for its exit where it is one that exits."""
    if kind.since != "exit":
        return Round(shop.upgrade(**kind.files), None)
    shop.commit(**kind.files)
    shop.noren.until(lambda: shop.noren.status("shop")["phase"] == "baking", "the bad release gets traffic")
    number = max(shop.processes().values())
    (pid,) = (pid for pid, release in shop.processes().items() if release == number)
    exited = exit_time(pid, within=30)
    return Round(shop.verdict(), exited)


@sized("runs", 1, 20)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name.replace(" ", "-"))
def test_a_bad_release_never_replaces_a_good_one(kind: Bad, runs: int, tmp_path: Path) -> None:
    with no_leftovers(tmp_path), LedgerApp(tmp_path, **kind.settings) as shop:
        load = KeepAlive(
            name="client",
            target=shop.target,
            rate=RATE,
            connections=1000,  # none of them waits for one that hangs
            requests=gets("/hello"),
            check=names_its_release,
        )
        rounds: list[Round] = []
        with Background(load) as traffic:
            for _ in range(runs):
                time.sleep(kind.rest)
                rounds.append(released(shop, kind))
                assert rounds[-1].receipt["outcome"] == kind.outcome, rounds[-1].receipt["reason"]
                assert shop.repository.tip() in {row["revision"] for row in shop.noren.status("shop")["quarantined"]}
            time.sleep(0.5)
        shop.noren.until(lambda: shop.running().keys() == {1}, "only the good release has processes")
        assert shop.noren.status("shop")["active"]["release"] == 1
    figures = [one.judge(kind, traffic.ledger, "shop@1") for one in rounds]
    wrong = [problem for one in rounds if (problem := one.counts(traffic.ledger))]
    claim(f"bad release, {kind.name}", "; ".join(figures), settings=shop.described(), seed=traffic.ledger.seed)
    assert not wrong
