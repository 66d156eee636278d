"""Makes the tree of files that Caddy serves: links to the artifact, each with its ETag beside.

Called by static.py. A tree of its own because an artifact may be shared by two apps, and must not
be polluted with ETags; and because what is not in it cannot be served: no hidden files, nothing
outside the artifact, no link that leads out. Files are hard links, so the tree costs names only
and keeps its content when the build is pruned.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from pathlib import Path

from noren.adapters.caddy_config import ETAG_SUFFIX
from noren.core.errors import ReleaseError

_WELL_KNOWN = ".well-known"
# Other file system, not permitted, too many links, not supported: then a copy must do.
_NO_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP})


def publish(artifact: Path, tree: Path) -> None:
    """Fill ``tree`` (new) with what the public may see of ``artifact``.

    Raises ReleaseError for a symlink that leaves the artifact, OSError for what the host lacks.
    """
    root = Path(os.path.realpath(artifact))
    _folder(root, Path(), tree)


def page(tree: Path, name: str) -> Path | None:
    """The file that a setting like ``404.html`` names, None when the public could not see such a file."""
    relative = Path(name.lstrip("/"))
    found = tree / relative
    return found if _visible(relative) and found.is_file() else None


def _folder(root: Path, relative: Path, tree: Path) -> None:
    (tree / relative).mkdir()
    with os.scandir(root / relative) as entries:
        for entry in entries:
            name = relative / entry.name
            if not _visible(name):
                continue
            if entry.is_symlink():
                _symlink(root, name, tree)
            elif entry.is_dir(follow_symlinks=False):
                _folder(root, name, tree)
            elif entry.is_file(follow_symlinks=False):
                _file(root / name, tree / name)


def _visible(relative: Path) -> bool:
    parts = relative.parts[1:] if relative.parts[:1] == (_WELL_KNOWN,) else relative.parts
    return not any(part.startswith(".") or part.endswith(ETAG_SUFFIX) for part in parts)


def _symlink(root: Path, name: Path, tree: Path) -> None:
    """A link to a file becomes the file; a link to a folder leads to its twin in the tree, so loops end."""
    try:
        target = Path(os.path.realpath(root / name, strict=True))
    except OSError:  # leads nowhere or round in circles: missing, like any other file that is not there
        return
    if not target.is_relative_to(root):
        raise ReleaseError(
            "A symlink in the build leads out of it",
            seen=f"{name} -> {(root / name).readlink()}",
            hint="copy the file into the build instead",
        )
    if not _visible(target.relative_to(root)):
        return
    if target.is_dir():
        twin = tree / target.relative_to(root)
        (tree / name).symlink_to(os.path.relpath(twin, (tree / name).parent))
    elif target.is_file():
        _file(target, tree / name)


def _file(source: Path, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as exc:
        if exc.errno not in _NO_LINK:
            raise
        shutil.copyfile(source, target, follow_symlinks=False)
    descriptor = os.open(target, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as content:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ReleaseError("The build changed while it was published", seen=f"{source} is no regular file any more")
        etag = hashlib.file_digest(content, "sha256").hexdigest()[:32]
    target.with_name(target.name + ETAG_SUFFIX).write_text(f'"{etag}"')
