"""What clients were told about requests that must be executed exactly once, a byte each: millions fit in memory.

The ledger of a run fills it, ``orders`` compares it with what the app executed. Ids are ``series-number``, as
``Stage.next_id`` makes them; any other id is a series of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

_LOST, _DONE = 1, 2
_MOST = 255


class Claims:
    """``tell`` for each request; ``executed`` for each execution; then ask."""

    def __init__(self) -> None:
        self._told: dict[str, bytearray] = {}
        self._times: dict[str, bytearray] = {}

    def tell(self, id: str, *, done: bool) -> None:
        """Its client was told that it is done, or was not."""
        series, number = _place(id)
        told = self._told.setdefault(series, bytearray())
        if number >= len(told):
            told.extend(bytes(number + 1024 - len(told)))
        told[number] = _DONE if done else _LOST

    def forget_executions(self) -> None:
        """Begin to count executions anew."""
        self._times = {series: bytearray(len(told)) for series, told in self._told.items()}

    def executed(self, id: str) -> None:
        """Once more. Ids of other runs do not matter."""
        series, number = _place(id)
        times = self._times.get(series)
        if times is not None and number < len(times):
            times[number] = min(times[number] + 1, _MOST)

    def each(self) -> Iterator[tuple[str, bool, int]]:
        """(id, told that it is done, times executed)."""
        for series, told in self._told.items():
            times = self._times[series]
            for number, claim in enumerate(told):
                if claim:
                    yield (f"{series}-{number}" if number else series), claim == _DONE, times[number]


def _place(id: str) -> tuple[str, int]:
    series, _, number = id.rpartition("-")
    return (series, int(number)) if series and number.isdecimal() and number[0] != "0" else (id, 0)
