"""A folder as one layer of an image: the same content gives the same bytes, so the same digest.

Names are sorted, owners and modes are made equal, and the time of a file is made from its content: web servers make
ETags from time and size, and one fixed time for all would let them say "not modified" of a page that was.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from noren.adapters.images.layout import Layout
from noren.core.errors import ReleaseError

_EARLIEST = 1_000_000_000
_SPAN = 2**29  # up to 2018: a server does not speak of times to come


@dataclass(frozen=True, slots=True)
class Layer:
    """``digest`` and ``size`` are of the compressed blob, ``diff_id`` of what is in it."""

    digest: str
    size: int
    diff_id: str


class _Hashed:
    """What is written goes on, counted and hashed."""

    def __init__(self, onward: IO[bytes]) -> None:
        self.size = 0
        self._sha256 = hashlib.sha256()
        self._onward = onward

    def write(self, data: bytes) -> int:
        """As of a file."""
        self.size += len(data)
        self._sha256.update(data)
        return self._onward.write(data)

    def flush(self) -> None:
        """As of a file; nothing is held back here."""

    @property
    def digest(self) -> str:
        return f"sha256:{self._sha256.hexdigest()}"


def write_layer(layout: Layout, tree: Path, where: str = "/", *, alone: bool = False) -> Layer:
    """Everything below ``tree`` as it shall lie at ``where`` of the image, as a blob of ``layout``.

    ``alone``: what the layers below have there is hidden. Raises ReleaseError for what no image can hold (sockets,
    devices), OSError.
    """
    with layout.new_blob() as file:
        blob = _Hashed(file)
        # No name and no time in the header, and one level: else the bytes differ from day to day.
        with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=cast(IO[bytes], blob), mtime=0) as zipped:
            content = _Hashed(cast(IO[bytes], zipped))
            with tarfile.open(mode="w|", fileobj=cast(IO[bytes], content), format=tarfile.PAX_FORMAT) as tar:
                _fill(tar, tree, where.strip("/"), alone)
        layout.keep(file, blob.digest)
    return Layer(blob.digest, blob.size, content.digest)


def _fill(tar: tarfile.TarFile, tree: Path, where: str, alone: bool) -> None:
    if alone and where:
        tar.addfile(_entry(f"{where}/.wh..wh..opq"))
    for path in _walk(tree):
        name = os.path.relpath(path, tree)
        entry = _entry(f"{where}/{name}" if where else name)
        _describe(entry, path)
        if entry.isreg():
            with path.open("rb") as file:
                tar.addfile(entry, file)
        else:
            tar.addfile(entry)


def _entry(name: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.mtime = _EARLIEST
    return entry


def _describe(entry: tarfile.TarInfo, path: Path) -> None:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, str(path.readlink()), 0o777
    elif stat.S_ISDIR(status.st_mode):
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    elif stat.S_ISREG(status.st_mode):
        entry.size, entry.mode = status.st_size, 0o755 if status.st_mode & 0o100 else 0o644
        entry.mtime = _time_of_content(path)
    else:
        raise ReleaseError("an image cannot hold this", seen=f"{path} is neither a file, a folder nor a link")


def _time_of_content(path: Path) -> int:
    with path.open("rb") as file:
        return _EARLIEST + int.from_bytes(hashlib.file_digest(file, "sha256").digest()[:8], "big") % _SPAN


def _walk(folder: Path) -> Iterator[Path]:
    """Everything below, in one order everywhere, links not followed."""
    for path in sorted(folder.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)
