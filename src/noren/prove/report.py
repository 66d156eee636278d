"""What a trial of one app says: as text, as JSON, and, by ``page``, as HTML.

The client's ledger beside the proxy's receipts and, where the app keeps one, the app's ledger of orders.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from noren.prove.causes import Loss, causes
from noren.prove.latency import Histogram, Percentiles
from noren.prove.ledger import Ledger, Record
from noren.prove.proof import Proof
from noren.prove.tally import Tally
from noren.prove.window import Window, seconds

Json = dict[str, Any]
_NEAR = 2.0  # seconds around an event of the history in which it may be to blame
_EXITS = ("exited with code", "was ended by signal", "ended (exit code")
SHOWN = 20  # losses in words


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """Before: while nothing was rolled out. During: from intent to switch. After: from switch to verdict."""

    before: Percentiles
    during: Percentiles
    after: Percentiles

    @staticmethod
    def of(tally: Tally, windows: Sequence[Window]) -> Latencies:
        """Whole slots of time: one on an edge counts to what it began in."""
        before, during, after = Histogram(), Histogram(), Histogram()
        for number, slot in tally.slots.items():
            at = number * tally.width
            window = next((w for w in windows if w.begin <= at < w.end), None)
            part = before if window is None else during if at < window.switch else after
            part.merge(slot.latency)
        return Latencies(before=before.percentiles(), during=during.percentiles(), after=after.percentiles())


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """``counted`` is the sum over the receipts, None where no proxy of Noren carries the traffic.

    ``seen`` is what the client asked in the same windows, as far as answers name their release. ``problems`` are
    reasons other than losses to doubt the proof.
    """

    app: str
    proof: Proof
    tally: Tally
    receipts: tuple[Json, ...]
    windows: tuple[Window, ...]
    latencies: Latencies
    losses: tuple[tuple[Record, str], ...]
    causes: tuple[tuple[str, int], ...]
    counted: dict[str, int] | None
    seen: int
    problems: tuple[str, ...]

    @staticmethod
    def of(app: str, ledger: Ledger, proof: Proof, receipts: Sequence[Json], history: Sequence[Json]) -> Report:
        """Judge a trial; ``history`` is that of the app during it."""
        windows = [Window.of(receipt) for receipt in receipts]
        lost = ledger.lost()
        facts = [_loss(record, windows, history) for record in lost]
        counted = _counted(receipts)
        seen = sum(_asked(ledger.tally, app, window) for window in windows)
        return Report(
            app=app,
            proof=proof,
            tally=ledger.tally,
            receipts=tuple(receipts),
            windows=tuple(windows),
            latencies=Latencies.of(ledger.tally, windows),
            losses=tuple((record, fact.phase) for record, fact in zip(lost, facts, strict=True)),
            causes=tuple(causes(facts)),
            counted=counted,
            seen=seen,
            problems=tuple(_problems(receipts, counted, seen)),
        )

    @property
    def lost(self) -> int:
        """Lost, missing and doubled."""
        return self.proof.lost

    @property
    def good(self) -> bool:
        """Nothing lost, every rollout kept, and the proxy counted the same."""
        return not self.lost and not self.problems and bool(self.receipts)

    def headline(self) -> str:
        """In one sentence."""
        kept = sum(window.outcome == "kept" for window in self.windows)
        requests = self.proof.summary.requests
        return f"{self.app}: {self.lost} lost in {requests} requests over {len(self.windows)} rollouts, {kept} kept"

    def lines(self) -> Iterator[str]:
        """The report as text."""
        yield self.headline()
        yield from (f"  {line}" for line in self.proof.lines())
        for name, part in asdict(self.latencies).items():
            yield f"  latency {_WORDS[name]}: {Percentiles(**part)}"
        if self.counted is not None:
            yield (
                f"  in rollouts the client asked {self.seen}, the proxy counted {self.counted['total']}:"
                f" {self.counted['failed']} failed, {self.counted['retried']} retried, {self.counted['held']} held"
            )
        for receipt in self.receipts:
            yield f"  rollout {receipt['rollout']} of release {receipt['release']}: {receipt['outcome']}"
        for words, number in self.causes:
            yield f"  likely cause of {number}: {words}"
        yield from (f"  lost {phase or 'between rollouts'}: {record}" for record, phase in self.losses[:SHOWN])
        yield from (f"  {problem}" for problem in self.problems)

    def document(self) -> Json:
        """The report as JSON."""
        return {
            "app": self.app,
            "good": self.good,
            **asdict(self.proof.summary),
            "lost": self.lost,
            "once": asdict(self.proof.once) if self.proof.once else None,
            "latency_ms": asdict(self.latencies),
            "proxy": None if self.counted is None else {**self.counted, "client": self.seen},
            "rollouts": [asdict(window) | _times(window) for window in self.windows],
            "losses": [
                {"at": _time(record.wall), "load": record.load, "id": record.id, "outcome": record.outcome}
                | {"status": record.status, "release": record.release, "phase": phase, "detail": record.detail}
                for record, phase in self.losses
            ],
            "causes": [{"cause": words, "losses": number} for words, number in self.causes],
            "problems": list(self.problems),
        }


_WORDS = {"before": "while nothing is rolled out", "during": "before the switch", "after": "after the switch"}


def _loss(record: Record, windows: Sequence[Window], history: Sequence[Json]) -> Loss:
    end = record.wall + record.latency
    near = [line for line in history if record.wall - _NEAR <= seconds(line["at"]) <= end + _NEAR]
    retired = [line["text"] for line in near if line["kind"] == "retire"]
    switches = [window.switch for window in windows if window.switch <= end]
    return Loss(
        outcome=record.outcome,
        status=record.status,
        load=record.load.partition("-")[0],
        phase=next((phase for window in windows if (phase := window.phase(end))), ""),
        retired=any("is stopping" in text or text.endswith("stopped") for text in retired),
        cut=any("were cut" in text for text in retired),
        exited=any(line["kind"] == "exit" or any(words in line["text"] for words in _EXITS) for line in near),
        since_switch=record.wall - switches[-1] if switches else None,
        busy=record.late * 1000,
    )


def _counted(receipts: Iterable[Json]) -> dict[str, int] | None:
    rows = [receipt["requests"] for receipt in receipts if receipt["requests"] is not None]
    if not rows:
        return None
    return {name: sum(row[name] for row in rows) for name in ("total", "ok", "failed", "retried", "held")}


def _asked(tally: Tally, app: str, window: Window) -> int:
    """Requests that this app answered in whole slots of the window."""
    first, last = window.begin / tally.width, window.end / tally.width - 1
    slots = (slot for number, slot in tally.slots.items() if first <= number <= last)
    return sum(n for slot in slots for label, n in slot.by_release.items() if label.partition("@")[0] == app)


def _problems(receipts: Sequence[Json], counted: dict[str, int] | None, seen: int) -> Iterator[str]:
    if not receipts:
        yield "no rollout came to its verdict"
    for receipt in receipts:
        if receipt["outcome"] != "kept":
            yield f"rollout {receipt['rollout']} was not kept but {receipt['outcome']}: {receipt['reason']}"
    if counted is not None and all(receipt["complete"] for receipt in receipts):
        # What is under way at both ends of a window is counted by one side only.
        if counted["total"] < seen * 0.9:
            yield f"the proxy counted {counted['total']} requests in rollouts, the client {seen}: they do not agree"
        if counted["failed"]:
            yield f"the proxy counted {counted['failed']} failed requests in rollouts, of whatever client"


def _times(window: Window) -> Json:
    return {name: _time(getattr(window, name)) for name in ("begin", "switch", "end")} | {
        "phases": [{"phase": name, "begin": _time(begin), "end": _time(end)} for name, begin, end in window.phases]
    }


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
