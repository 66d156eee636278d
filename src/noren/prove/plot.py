"""Two plots of a trial as SVG, over time: requests by release, and percentiles, with rollouts and losses marked.

Made by ``page``. Colours are classes of the page's style sheet, so that both plots suit light and dark.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from math import floor, log10

from noren.prove.latency import Histogram
from noren.prove.tally import Tally
from noren.prove.window import Window

WIDTH, HEIGHT = 960, 240
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 26, 24
COLOURS = 8
_MOST = 240  # columns
_FLOOR = 0.5  # milliseconds at the foot of the percentiles


@dataclass(slots=True)
class Column:
    """One stretch of time. ``at``: seconds from the beginning."""

    at: float
    by_release: Counter[str] = field(default_factory=Counter[str])
    lost: int = 0
    latency: Histogram = field(default_factory=Histogram)


class Plot:
    """Both plots of one trial share their time. ``releases`` are in the order of their first answer."""

    def __init__(self, tally: Tally, windows: Sequence[Window]) -> None:
        numbers = sorted(tally.slots)
        self._first = numbers[0] if numbers else 0
        slots = (numbers[-1] - self._first + 1) if numbers else 1
        self._each = -(-slots // _MOST)
        self._step = self._each * tally.width
        self._begin = self._first * tally.width
        self.seconds = slots * tally.width
        self._columns = self._summed(tally)
        self._windows = windows
        self.releases = list(dict.fromkeys(name for column in self._columns for name in column.by_release))

    def _summed(self, tally: Tally) -> list[Column]:
        columns: dict[int, Column] = {}
        for number in sorted(tally.slots):
            slot, place = tally.slots[number], (number - self._first) // self._each
            column = columns.setdefault(place, Column(place * self._step))
            column.by_release.update(slot.by_release)
            column.lost += slot.lost
            column.latency.merge(slot.latency)
        return list(columns.values())

    def requests(self) -> str:
        """Requests a second by release."""
        most = max((column.by_release.total() for column in self._columns), default=1) / self._step
        top = _round_up(most * 1.2)  # the bands of the rollouts are seen above the bars
        body = [*self._bands(), *_levels({level: level / top for level in (0, top / 2, top)}, "requests/s")]
        for column in self._columns:
            body += self._bars(column, top)
        return self._svg("Requests by release over time", [*body, *self._losses(), *self._times()])

    def percentiles(self) -> str:
        """p50 and p99 on a logarithmic scale."""
        slowest = max((column.latency.at(0.99) for column in self._columns), default=1.0)
        top = log10(max(slowest, 10.0) / _FLOOR)
        levels = (1.0, 10.0, 100.0, 1000.0, 10_000.0)
        marks = {level: log10(level / _FLOOR) / top for level in levels if level <= slowest * 1.05}
        body = [*self._bands(), *_levels(marks, "ms")]
        for share, name in ((0.99, "p99"), (0.5, "p50")):
            points = [(self._x(c.at + self._step / 2), _log_y(c.latency.at(share), top)) for c in self._columns]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            body.append(f'<polyline class="{name}" points="{path}"><title>{name}</title></polyline>')
        return self._svg("Latency over time", [*body, *self._losses(), *self._times()])

    def _x(self, at: float) -> float:
        return LEFT + at / self.seconds * (WIDTH - LEFT - RIGHT)

    def _bands(self) -> Iterator[str]:
        """Each rollout: pale from intent to switch, stronger to the verdict."""
        for window in self._windows:
            begin, switch, end = (self._x(at - self._begin) for at in (window.begin, window.switch, window.end))
            words = f"rollout {window.rollout} of release {window.release}: {window.outcome}"
            yield f"<g><title>{escape(words)}</title>{_band('before', begin, switch)}{_band('after', switch, end)}"
            kind = "label" if window.outcome == "kept" else "label bad"
            yield f'<text class="{kind}" x="{begin:.1f}" y="{TOP - 10}">#{window.rollout}</text></g>'

    def _bars(self, column: Column, top: float) -> Iterator[str]:
        x, width, y = self._x(column.at), self._x(self._step) - LEFT, float(HEIGHT - BOTTOM)
        for place, release in enumerate(self.releases):
            number = column.by_release[release]
            if not number:
                continue
            height = number / self._step / top * (HEIGHT - TOP - BOTTOM)
            y -= height
            colour = place % COLOURS
            box = f'x="{x:.1f}" y="{y:.1f}" width="{width + 0.2:.1f}" height="{height:.1f}"'
            yield f'<rect class="r{colour}" {box}><title>{escape(release)}: {number}</title></rect>'

    def _losses(self) -> Iterator[str]:
        """A red mark above each stretch of time that lost something."""
        for column in self._columns:
            if column.lost:
                x = self._x(column.at + self._step / 2)
                points = f"{x - 4:.1f},{TOP - 7} {x + 4:.1f},{TOP - 7} {x:.1f},{TOP}"
                line = f'<line class="lost" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
                title = f"<title>{column.lost} lost at {column.at:.1f} s</title>"
                yield f'<g>{title}{line}<polygon class="mark" points="{points}"/></g>'

    def _times(self) -> Iterator[str]:
        step = _round_up(self.seconds / 8)
        for number in range(int(self.seconds / step) + 1):
            at = number * step
            yield f'<text class="scale" x="{self._x(at):.1f}" y="{HEIGHT - 6}">{at:g} s</text>'

    @staticmethod
    def _svg(title: str, body: Sequence[str]) -> str:
        head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        return "\n".join([head, *body, "</svg>"])


def _band(kind: str, begin: float, end: float) -> str:
    box = f'x="{begin:.1f}" y="{TOP}" width="{max(end - begin, 0.5):.1f}" height="{HEIGHT - TOP - BOTTOM}"'
    return f'<rect class="{kind}" {box}/>'


def _levels(marks: dict[float, float], unit: str) -> Iterator[str]:
    """Lines across, each with its value; ``marks``: value → share of the height."""
    for value, share in marks.items():
        y = HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
        yield f'<line class="level" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="scale end" x="{LEFT - 6}" y="{y + 4:.1f}">{value:g}</text>'
    yield f'<text class="scale" x="4" y="{TOP - 10}">{unit}</text>'


def _log_y(ms: float, top: float) -> float:
    share = max(0.0, min(1.0, log10(max(ms, _FLOOR) / _FLOOR) / top))
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20 …"""
    if value <= 0:
        return 1.0
    power: float = 10.0 ** floor(log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)
