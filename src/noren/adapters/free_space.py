"""Ends work that would fill the disk under the state directory.

Used by Builds around checkout and build: a full disk would stop the ledger, and with it every rollout.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

from noren.core.errors import OutsideError

_EVERY = 1.0
_MOST = 512_000_000
_SHARE = 0.05


def default_minimum(directory: Path) -> int:
    """512 MB or 5 % of the file system, whichever is smaller, in bytes."""
    return min(_MOST, int(shutil.disk_usage(directory).total * _SHARE))


def free_bytes(directory: Path) -> int:
    """What is free on the file system of ``directory`` for an ordinary user."""
    return shutil.disk_usage(directory).free


@contextlib.asynccontextmanager
async def kept_free(directory: Path, minimum: int, doing: str) -> AsyncGenerator[None]:
    """Cancel the block and raise OutsideError as soon as less than ``minimum`` bytes are free.

    A block that fails on a full disk fails for that reason, whatever it says itself.
    """
    _check(directory, minimum, doing)
    try:
        async with asyncio.TaskGroup() as both:
            watch = both.create_task(_watch(directory, minimum, doing), name=f"free space: {doing}")
            yield
            watch.cancel()
    except ExceptionGroup as failures:
        _check(directory, minimum, doing)
        first = failures.exceptions[0]
        raise first from first.__cause__  # the group only says that two were waited for


async def _watch(directory: Path, minimum: int, doing: str) -> None:
    while True:
        # The kernel has no event for "the disk fills up".
        await asyncio.sleep(_EVERY)
        _check(directory, minimum, doing)


def _check(directory: Path, minimum: int, doing: str) -> None:
    free = free_bytes(directory)
    if free < minimum:
        raise OutsideError(
            f"{doing} was stopped: the disk is nearly full",
            seen=f"{free // 1_000_000} MB are free below {directory}, {minimum // 1_000_000} MB must stay free",
            hint="free space there, or set a smaller keep",
        )
