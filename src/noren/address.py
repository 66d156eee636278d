"""Unix socket addresses of any length: the kernel takes 107 bytes, state folders may be deeper.

Used wherever the daemon or a command binds or connects to one. Imports nothing slow.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

LONGEST = 107  # sun_path of unix(7) has 108 bytes with its final zero


@contextmanager
def reachable(path: Path) -> Generator[str]:
    """An address for bind or connect, good while the context lasts; raises OSError when the folder is missing."""
    if len(os.fsencode(path)) <= LONGEST:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
