"""The time of one rollout, from its receipt: when it began, when traffic moved, when its verdict came.

``report`` and ``plot`` sort requests into it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

_AFTER = ("shifting", "baking", "rolling_back")


def seconds(time: str) -> float:
    """RFC 3339 as seconds of the epoch."""
    return datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp()


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """All times are seconds of the epoch; ``phases`` are (phase, begin, end)."""

    rollout: int
    release: int
    before: int | None
    outcome: str
    begin: float
    switch: float
    end: float
    phases: tuple[tuple[str, float, float], ...]

    @staticmethod
    def of(receipt: dict[str, Any]) -> Window:
        """From a receipt."""
        begin, end = seconds(receipt["started_at"]), seconds(receipt["ended_at"])
        phases: list[tuple[str, float, float]] = []
        at = begin
        for phase in receipt["phases"]:
            phases.append((phase["phase"], at, at + phase["seconds"]))
            at += phase["seconds"]
        return Window(
            rollout=receipt["rollout"],
            release=receipt["release"],
            before=receipt["from_release"],
            outcome=receipt["outcome"],
            begin=begin,
            switch=next((start for name, start, _ in phases if name in _AFTER), end),
            end=end,
            phases=tuple(phases),
        )

    def phase(self, at: float) -> str | None:
        """What went on at this moment; None outside."""
        if not self.begin <= at <= self.end:
            return None
        return next((name for name, start, end in self.phases if start <= at <= end), "the verdict")
