"""What outlives a power loss: a file's content once it was synced, a name once its folder was.

Used by everything that keeps state in files of its own.
"""

from __future__ import annotations

import os
from pathlib import Path


def synced(path: Path) -> None:
    """The content of a file, or the names in a folder, are on the disk when it returns. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def written(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Replace a file, which only its owner may read, whole: a crash leaves the old or the new content.

    ``durable``: also when the machine crashes. Raises OSError, the old content stays.
    """
    beside = path.with_name(f"{path.name}.new")
    beside.touch(mode=0o600)
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    beside.replace(path)
    if durable:
        synced(path.parent)


def made(folder: Path) -> None:
    """Make a folder that only its owner may read, where there is none, and the parents it lacks. Raises OSError."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for each in missing:
        synced(each.parent)
