"""What a disk holds when power is lost, told by the system calls of a writer (strace).

Strict, as POSIX allows: the content of a file counts from its last fsync on, its name from the last one of its
folder. What was not synced by then may be there all the same, in part and in any order: an image with a ``chance``
keeps some.
Used by the tests of power loss.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

CALLS = "pwrite64,write,fsync,fdatasync,syncfs,ftruncate,openat,rename,unlink,mkdir"
# Others that write: a trace with one of them would not tell all.
UNTOLD = "pwritev,pwritev2,writev,fallocate,copy_file_range,sendfile,link,linkat,renameat,renameat2,unlinkat,rmdir"
_CALL = re.compile(r"\d+ +(\w+)\((.*)\) += (\d+)")
_ESCAPED = re.compile(r"(?:\\x[0-9a-f]{2})+")


@dataclass(eq=False)
class File:
    """``pending`` is what was done since the last fsync: bytes at an offset, or None at a new length."""

    synced: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    end: int = 0

    def written(self, at: int | None, data: bytes) -> None:
        """At an offset, or at the end."""
        at = self.end if at is None else at
        self.pending.append((at, data))
        self.end = max(self.end, at + len(data))

    def cut(self, length: int) -> None:
        """Or made longer."""
        self.pending.append((length, None))
        self.end = length

    def sync(self) -> None:
        """All of it is on the disk."""
        self.synced = self.kept(None)
        self.pending.clear()

    def kept(self, chance: random.Random | None) -> bytearray:
        """The content with all that is pending, or with some: whole sectors or pages, torn anywhere between."""
        content = bytearray(self.synced)
        share, piece = (1.0, sys.maxsize) if chance is None else (chance.random(), chance.choice([512, 4096]))
        for at, data in self.pending:
            if data is None and (chance is None or chance.random() < share):
                content = content[:at].ljust(at, b"\0")
            for start in range(0, len(data or b""), piece):
                if chance is None or chance.random() < share:
                    _put(content, at + start, (data or b"")[start : start + piece])
        return content


@dataclass(eq=False)
class Folder:
    """Names; each step of ``pending`` happens whole: a rename takes one away and sets another."""

    synced: dict[str, File | Folder] = field(default_factory=dict)
    pending: list[dict[str, File | Folder | None]] = field(default_factory=list)

    def change(self, names: dict[str, File | Folder | None]) -> None:
        """In one step."""
        self.pending.append(names)

    def sync(self) -> None:
        """All names are on the disk."""
        self.synced = self.kept(None)
        self.pending.clear()

    def kept(self, chance: random.Random | None) -> dict[str, File | Folder]:
        """The names with all that is pending, or with some."""
        names: dict[str, File | Folder | None] = dict(self.synced)
        share = 1.0 if chance is None else chance.random()
        for step in self.pending:
            if chance is None or chance.random() < share:
                names.update(step)
        return {name: node for name, node in names.items() if node is not None}


class Disk:
    """All that a writer does below ``top``, which it makes."""

    def __init__(self, top: Path) -> None:
        top.mkdir()
        self.top = top
        self.root = Folder()
        self.said: list[str] = []

    def image(self, into: Path, chance: random.Random | None = None) -> Path:
        """The folder as it is after a power loss now: only what was synced, or more by chance."""
        shutil.rmtree(into, ignore_errors=True)
        _write(self.root, into, chance)
        return into

    def follow(self, log: Path) -> Generator[None]:
        """Take in a trace; stops after each call below ``top``, and when the writer has said something."""
        with log.open() as lines:
            for line in lines:
                assert "unfinished" not in line, "two calls at a time: their order is not known"
                if (call := _CALL.match(line)) and self._took(call[1], call[2].split(", "), int(call[3])):
                    yield

    def _took(self, name: str, words: list[str], result: int) -> bool:
        if name == "write" and words[0].startswith("1<"):
            self.said.append(_bytes(words[1])[:result].decode().strip())
            return True
        if not (path := self._below(words[1] if name == "openat" else words[0])):
            return False
        assert name not in UNTOLD.split(","), f"{name} of {path} is not understood"
        getattr(self, f"_{name}")(path, words, result)
        return not path.name.endswith("-shm")  # mapped into memory, and made anew by who opens it next

    def _below(self, word: str) -> Path | None:
        path = Path(re.sub(r"^\d+<(.*)>$", r"\1", _bytes(word).decode(errors="replace")).removesuffix(" (deleted)"))
        return path.relative_to(self.top) if path.is_relative_to(self.top) else None

    def _node(self, path: Path) -> File | Folder | None:
        node: File | Folder | None = self.root
        for name in path.parts:
            node = node.kept(None).get(name) if isinstance(node, Folder) else None
        return node

    def _change(self, path: Path, node: File | Folder | None, **more: None) -> None:
        folder = self._node(path.parent)
        assert isinstance(folder, Folder), path
        folder.change({path.name: node, **more})

    def _openat(self, path: Path, words: list[str], result: int) -> None:
        file = self._node(path)
        if "O_CREAT" in words[2] and file is None:
            self._change(path, File())
        elif "O_TRUNC" in words[2] and isinstance(file, File):
            file.cut(0)

    def _mkdir(self, path: Path, words: list[str], result: int) -> None:
        self._change(path, Folder())

    def _unlink(self, path: Path, words: list[str], result: int) -> None:
        self._change(path, None)

    def _rename(self, path: Path, words: list[str], result: int) -> None:
        to = self._below(words[1])
        assert to is not None and to.parent == path.parent, "from folder to folder"
        self._change(to, self._node(path), **{path.name: None})

    def _pwrite64(self, path: Path, words: list[str], result: int) -> None:
        if isinstance(file := self._node(path), File):
            file.written(int(words[3]), _bytes(words[1])[:result])

    def _write(self, path: Path, words: list[str], result: int) -> None:
        if isinstance(file := self._node(path), File):
            file.written(None, _bytes(words[1])[:result])

    def _ftruncate(self, path: Path, words: list[str], result: int) -> None:
        if isinstance(file := self._node(path), File):
            file.cut(int(words[1]))

    def _fsync(self, path: Path, words: list[str], result: int) -> None:
        if node := self._node(path):
            node.sync()

    _fdatasync = _fsync


def traced(argv: Sequence[str], log: Path) -> None:
    """Run a writer to its end; ``log`` has all that it did to files."""
    strace = ["strace", "-f", "-qq", "-y", "-xx", "-s", "10000000", "-o", str(log), "-e", f"trace={CALLS},{UNTOLD}"]
    done = subprocess.run([*strace, *argv], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def _write(folder: Folder, into: Path, chance: random.Random | None) -> None:
    into.mkdir(mode=0o700)
    for name, node in (folder.synced if chance is None else folder.kept(chance)).items():
        if isinstance(node, Folder):
            _write(node, into / name, chance)
        elif not name.endswith("-shm"):
            (into / name).write_bytes(node.synced if chance is None else node.kept(chance))


def _put(content: bytearray, at: int, data: bytes) -> None:
    content.extend(bytes(max(0, at + len(data) - len(content))))
    content[at : at + len(data)] = data


def _bytes(word: str) -> bytes:
    return _ESCAPED.sub(
        lambda found: bytes.fromhex(found[0].replace("\\x", "")).decode("latin1"), word.strip('"')
    ).encode("latin1")
