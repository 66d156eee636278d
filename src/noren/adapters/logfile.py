"""The log files of instances: opened for the app to write to itself, kept within their limit from outside.

The app writes straight into the file. A pipe into Noren would block the app when Noren is slow and
kill it (SIGPIPE) when Noren dies, a logging process per instance could die too, and RLIMIT_FSIZE
kills the app at the limit. So the file is opened for appending and trimmed from outside: its end is
copied to ``<file>.1`` and the file cut to nothing, after which appending goes on at its start. Lines
written between the copy and the cut are lost. While Noren is down nothing is trimmed.

Called by `processes` (opened, trim, prune) and by whoever shows the end of a log (`tail`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Generator
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path

# Colours and cursor movements, then whatever else would garble a terminal.
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_CONTROL = re.compile(r"[^\S\n\t ]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_DIGITS = re.compile(r"[0-9]+")
_ALIKE = 4
_KEPT_FILES = 50


@contextmanager
def opened(file: Path) -> Generator[int, None, None]:
    """A descriptor that appends to the log, readable by us only; a child that got it keeps it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def previous(file: Path) -> Path:
    """Where the end of the log went when it was last trimmed."""
    return file.with_name(file.name + ".1")


def trim(file: Path, limit: int) -> bool:
    """Keep the log and its previous part within ``limit`` bytes together; whether it had to be cut."""
    half = limit // 2
    try:
        with file.open("r+b") as log:
            if _occupied(log.fileno()) <= half:
                return False
            with suppress(OSError):  # a full disk: the end is lost, but the log that may have filled it is cut
                _copy_end(log.fileno(), previous(file), half)
            log.truncate(0)
    except OSError:
        return False  # gone, or no descriptor left to open it with: the next look comes in a second
    return True


def tail(file: Path, *, lines: int = 20, size: int = 4096) -> str:
    """The last lines, at most ``size`` bytes, without control characters; "" when there are none.

    Lines that are alike are told once, so that what stands before them is seen.
    """
    read = 4 * size
    end = _end_of(file, read)
    if len(end) < read:
        end = (_end_of(previous(file), read - len(end)) + end)[-read:]
    text = _CONTROL.sub("", _ESCAPES.sub("", end.decode(errors="replace").replace("\r\n", "\n")))
    return "\n".join(_shortened(text.rstrip().split("\n"))[-lines:])[-size:]


def _shortened(lines: list[str]) -> list[str]:
    """Lines alike but for digits, as the probes leave them in an access log, once: they would hide the rest."""
    found: list[str] = []
    for _, group in groupby(lines, key=lambda line: _DIGITS.sub("0", line)):
        alike = list(group)
        found += alike if len(alike) < _ALIKE else [f"({len(alike) - 1} lines like the next)", alike[-1]]
    return found


def prune(folder: Path, running: Collection[str]) -> None:
    """Remove the oldest logs of an app that exceed the newest 50; those of ``running`` instances (ids) stay."""
    logs = sorted(folder.glob("*.log"), key=_modified, reverse=True)
    for file in logs[_KEPT_FILES:]:
        if file.stem not in running:
            file.unlink(missing_ok=True)
            previous(file).unlink(missing_ok=True)


def _occupied(descriptor: int) -> int:
    """Bytes on disk: an app that reopened its output without O_APPEND leaves a hole at the start after each cut."""
    status = os.fstat(descriptor)
    return min(status.st_size, status.st_blocks * 512)


def _copy_end(source: int, target: Path, size: int) -> None:
    start = max(0, os.fstat(source).st_size - size)
    with target.open("wb") as copy:
        while size > 0 and (chunk := os.pread(source, min(size, 1 << 20), start)):
            copy.write(chunk)
            start, size = start + len(chunk), size - len(chunk)


def _end_of(file: Path, size: int) -> bytes:
    try:
        with file.open("rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - size))
            return log.read(size)
    except FileNotFoundError:
        return b""


def _modified(file: Path) -> float:
    with suppress(FileNotFoundError):
        return file.stat().st_mtime
    return 0.0
