"""``noren init`` itself: look, write, check what was written, and say what comes next.

Called by main.py. Never overwrites a file.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from noren.core.errors import UsageError
from noren.init.checkout import Checkout, checkout
from noren.init.survey import Found, survey
from noren.init.text import render
from noren.settings.file import load


def first_settings(folder: Path, file: Path, *, write: bool) -> tuple[str, list[str]]:
    """The text of a first noren.toml for a repository, and what there is to say of it; ``write``: at ``file``.

    Raises UsageError when the file exists or the folder is no repository, NorenError when nothing was recognised.
    """
    if write and (file.exists() or file.is_symlink()):
        raise UsageError(
            f"{file} exists already", hint="noren init --print shows what would be written; nothing was changed"
        )
    looked_at = checkout(folder.absolute())
    found = survey(looked_at.tree, _name(looked_at))
    text = render(found, _repo(looked_at, file), submodules=".gitmodules" in looked_at.tree.files)
    if not write:
        return text, []
    _write(file, text)
    return text, list(_told(found, file))


def _name(looked_at: Checkout) -> str:
    if looked_at.origin:
        return looked_at.origin.rstrip("/").removesuffix(".git").replace(":", "/").rpartition("/")[2]
    return looked_at.top.name


def _repo(looked_at: Checkout, file: Path) -> str:
    if looked_at.origin:
        return looked_at.origin
    path = os.path.relpath(looked_at.top, file.absolute().parent)
    return path if path == "." or ":" not in path else str(looked_at.top)


def _write(file: Path, text: str) -> None:
    try:
        with file.open("x") as new:
            new.write(text)
    except OSError as exc:
        raise UsageError(f"{file} cannot be written", seen=exc.strerror or str(exc), hint="noren init --print") from exc
    load(file)


def _told(found: Sequence[Found], file: Path) -> Iterator[str]:
    for one in found:
        where = "at the top" if one.root == "." else f"in {one.root}"
        yield f"{one.name}: {one.recognised.what} {where} ({one.recognised.why})"
        yield from (f"  {note}" for note in one.recognised.notes)
    yield f"written: {file}"
    tools = dict.fromkeys(tool for one in found for tool in one.recognised.tools)
    for tool in tools:
        if shutil.which(tool) is None:
            yield f"missing on this host: {tool}. Install it, or the build will fail."
    yield "next: noren check, then noren up"
    for one in found:
        yield f"  http://{one.name}.localhost:8080/"
