"""What a build left: whether it can be served, and the digest of its content.

Used by Builds, for each app that shares the build: ``publish`` is the app's and not the build's.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from noren.adapters.removal import remove
from noren.core.errors import ReleaseError

_SHOWN = 12
_LARGE = 32_000_000  # bytes of a file


def inside(base: Path, relative: str, what: str) -> Path:
    """The folder ``relative`` of ``base``; raises ReleaseError when it is missing or, by a link or .., outside."""
    path = base / relative
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(base)):
        raise ReleaseError(f"{what} {relative!r} leads out of the tree", hint="links and .. must stay inside")
    if what == "publish" and not _names(base):
        raise _empty(base)
    if not path.is_dir():
        hint = f"set `{what}` to a folder that is there"
        raise ReleaseError(f"there is no folder {relative!r} for {what}", seen=listing(base), hint=hint)
    return path


def check_site(site: Path) -> None:
    """Raises ReleaseError unless the folder is a site: files, an index.html, no link that leaves it."""
    names = _names(site)
    if not names:
        raise _empty(site)
    if "index.html" not in names:
        raise ReleaseError("the site has no index.html", seen=listing(site), hint="is publish the right folder?")
    bad = next(_not_servable(site), None)
    if bad:
        raise ReleaseError("the site holds what may not be served", seen=bad, hint="copy the file instead")


def _empty(folder: Path) -> ReleaseError:
    return ReleaseError("the build left nothing to serve", seen=listing(folder), hint="write the site to $NOREN_OUTPUT")


def site_digest(site: Path) -> str:
    """Digest of names and content, 16 hex digits: equal exactly for what is served equally."""
    total = hashlib.sha256()
    for entry in _walk(site):
        name = os.path.relpath(entry.path, site)
        content = str(Path(entry.path).readlink()) if entry.is_symlink() else _content(entry)
        total.update(f"{name}\0{content}\0".encode(errors="surrogateescape"))
    return total.hexdigest()[:16]


def tree_digest(tree: Path, home: str) -> str:
    """As ``site_digest``, for a tree that is run: without history, and without what differs in each build of the same.

    That is ``home``, the folder of the build, which virtual environments write into their scripts, the list of those
    scripts' digests (RECORD), and compiled Python, which carries times.
    """
    total = hashlib.sha256()
    for entry in _walk(tree):
        name = os.path.relpath(entry.path, tree)
        if {".git", "__pycache__"} & set(name.split("/")) or name.endswith(".dist-info/RECORD"):
            continue
        content = str(Path(entry.path).readlink()) if entry.is_symlink() else _moved(entry, home)
        total.update(f"{name}\0{content.replace(home, '')}\0".encode(errors="surrogateescape"))
    return total.hexdigest()[:16]


def _moved(entry: os.DirEntry[str], home: str) -> str:
    """The content's digest as if the build had been elsewhere; as it is where that would take much memory."""
    info = entry.stat(follow_symlinks=False)
    if not stat.S_ISREG(info.st_mode):
        return "folder" if stat.S_ISDIR(info.st_mode) else "special"
    if info.st_size > _LARGE:
        return _content(entry)
    return hashlib.sha256(Path(entry.path).read_bytes().replace(home.encode(), b"")).hexdigest()


def listing(folder: Path) -> str:
    """What is there, for an error."""
    names = _names(folder)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"in {folder.name}/: " + (", ".join(map(ascii, names[:_SHOWN])) + more if names else "nothing")


def empty_submodules(tree: Path) -> list[str]:
    """Submodule folders of a tree that hold nothing, the usual reason why a theme is missing."""
    try:
        lines = (tree / ".gitmodules").read_text(errors="replace").splitlines()
    except OSError:
        return []
    pairs = (line.split("=", 1) for line in lines if "=" in line)
    paths = [value.strip() for key, value in pairs if key.strip() == "path"]
    return [path for path in paths if not _names(tree / path)]


def without_history(tree: Path) -> None:
    """Remove .git everywhere: history is not for serving."""
    for entry in list(_walk(tree)):
        if entry.name == ".git" and entry.is_dir(follow_symlinks=False):
            remove(Path(entry.path))
        elif entry.name == ".git":
            Path(entry.path).unlink()


def _names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder)) if folder.is_dir() else []  # noqa: PTH208 - names, not paths


def _walk(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Every entry below, in one order everywhere, links not followed; no recursion, for trees as deep as may be."""
    waiting = _entries(folder)
    while waiting:
        entry = waiting.pop()
        yield entry
        if entry.is_dir(follow_symlinks=False):
            waiting += _entries(entry.path)


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name, reverse=True)


def _not_servable(site: Path) -> Iterator[str]:
    top = os.path.realpath(site)
    for entry in _walk(site):
        name = os.path.relpath(entry.path, site)
        if entry.is_symlink():
            # A dangling link is judged by where it points as well: what it names may come to be.
            if not Path(os.path.realpath(entry.path)).is_relative_to(top):
                yield f"{name!r} is a link to {str(Path(entry.path).readlink())!r}, outside of the site"
        elif not stat.S_ISREG(mode := entry.stat(follow_symlinks=False).st_mode) and not stat.S_ISDIR(mode):
            yield f"{name!r} is neither a file nor a folder"


def _content(entry: os.DirEntry[str]) -> str:
    if entry.is_dir(follow_symlinks=False):
        return "folder"
    with open(entry.path, "rb") as file:  # noqa: PTH123 - an entry, not a Path
        return hashlib.file_digest(file, "sha256").hexdigest()
