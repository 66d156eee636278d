"""The lines of a log file: the last ones, and new ones as they are written, across turned-over files and upgrades.

Used by ``routes`` for ``noren logs``. New lines are looked for every half second: they come from
processes that know nothing of Noren, and the standard library cannot watch files.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from noren.api.desk import Json

_PAUSE: Final = 0.5  # seconds
_CHUNK: Final = 65536  # bytes
_LOOK_BACK: Final = 1_000_000  # bytes: the most that "the last lines" may be

Find = Callable[[], Awaitable[str | None]]


async def tail(find: Find, last: int, follow: bool) -> AsyncIterator[Json]:
    """``{"line": text}`` for each of the last lines; when following, ``find`` is asked again for a newer file."""
    path = await find()
    file = _opened(path)
    try:
        if file:
            for line in _last(file, last, not follow):
                yield {"line": line}
        while follow:
            await asyncio.sleep(_PAUSE)
            path, before = await find() or path, path
            if file is None or path != before or _turned_over(file, path):
                for line in _rest(file, half=True):
                    yield {"line": line}
                file = _reopened(file, path)
            for line in _rest(file):
                yield {"line": line}
    finally:
        if file:
            file.close()


def _opened(path: str | None) -> BinaryIO | None:
    try:
        return Path(path).open("rb") if path else None
    except FileNotFoundError:
        return None


def _reopened(file: BinaryIO | None, path: str | None) -> BinaryIO | None:
    if file:
        file.close()
    return _opened(path)


def _turned_over(file: BinaryIO, path: str | None) -> bool:
    try:
        now = Path(path or "").stat()
    except FileNotFoundError:
        return False
    return now.st_ino != os.fstat(file.fileno()).st_ino or now.st_size < file.tell()


def _last(file: BinaryIO, count: int, half: bool) -> list[str]:
    size = os.fstat(file.fileno()).st_size
    file.seek(max(0, size - _LOOK_BACK))
    if size > _LOOK_BACK:
        file.readline()
    found = list(_rest(file, half))
    return found[-count:] if count else []


def _rest(file: BinaryIO | None, half: bool = False) -> Iterator[str]:
    """Lines from here on; half a line is left for the next time, unless there is none."""
    while file:
        start = file.tell()
        raw = file.readline(_CHUNK)
        whole = raw.endswith(b"\n") or len(raw) == _CHUNK
        if not raw or not (whole or half):
            file.seek(start)
            return
        yield raw.decode(errors="replace").rstrip("\r\n")
