"""Removes a folder whatever a build or an app left in it.

Used by Builds, Sites and Processes. ``shutil.rmtree`` goes down by recursion and gives up on a thousand
folders in one another, paths end at 4096 bytes, and Go's module cache is unwritable: one commit with such
a tree would end the daemon, and keep it from starting again.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def remove(path: Path) -> None:
    """Remove a folder and all in it, links not followed; no change when it is gone. Raises OSError."""
    if path.is_symlink():
        path.unlink()
    if not path.is_dir():
        return
    _open_up(path)
    waiting = [path]
    while waiting:
        folder = waiting.pop()
        inside = _emptied(folder)
        if folder != path:
            # Up to the top before their turn comes, so that no path is ever long.
            inside = [inner.rename(path / secrets.token_hex(8)) for inner in inside]
            folder.rmdir()
        waiting += inside
    path.rmdir()


def _emptied(folder: Path) -> list[Path]:
    """Its folders, which can be moved and read now; everything else in it is gone."""
    with os.scandir(folder) as entries:
        found = list(entries)
    for entry in found:
        if not entry.is_dir(follow_symlinks=False):
            Path(entry.path).unlink(missing_ok=True)
    folders = [Path(entry.path) for entry in found if entry.is_dir(follow_symlinks=False)]
    for inner in folders:
        _open_up(inner)
    return folders


def _open_up(folder: Path) -> None:
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        folder.chmod(0o700)
