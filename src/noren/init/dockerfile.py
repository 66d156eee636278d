"""Reads a Dockerfile for what its container would run, where nothing else in the repository tells.

Noren does not run containers yet: what is written runs the same command on the host itself, and says what of the
Dockerfile was left out. Used by ``survey``.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import Any, cast

from noren.init import packages
from noren.init.recognised import Recognised
from noren.init.tree import Tree

_NOTE = "Noren does not run containers yet: this runs the command of the {} on this host, without its image."
_LEFT_OUT = "Of the {} this is not done here: {}"
_INSTALLS = re.compile(r"\b(pip|npm|yarn|pnpm|uv|poetry)\b.*\b(install|ci|sync)\b")
_SHOWN = 6


def dockerfile(tree: Tree) -> Recognised | None:
    """The command of the last stage, with the packages that the repository lists; None when it has none."""
    name = tree.first("Dockerfile", "Containerfile")
    if name is None:
        return None
    lines = _instructions(tree.text(name))
    command = _command(lines)
    if not command:
        return None
    installed = _installed(tree)
    run, port = _on_this_host(command, installed, _values(lines, "EXPOSE"))
    steps = [step for step in _values(lines, "RUN") if not (installed.install and _INSTALLS.search(step))]
    notes = [_NOTE.format(name), *(_LEFT_OUT.format(name, step) for step in steps[:_SHOWN])]
    if not port:
        notes.append("It must listen on the port of the variable PORT, on 127.0.0.1.")
    first = run.split()[0]
    tools = [] if "/" in first else [first]
    if installed.install:
        tools = [*installed.tools, *(tool for tool in tools if tool not in installed.tools)]
    return Recognised(
        what=f"the command of a {name}",
        why=f"nothing else was recognised; {name} ends with {shlex.join(command)}",
        build=installed.install or None,
        run=run,
        ready="/",
        tools=tuple(tools),
        notes=tuple(notes),
    )


def _instructions(text: str) -> list[tuple[str, str]]:
    """Instruction and the rest of each line of the last stage, continued lines joined, comments left out."""
    bare = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\s*\n", " ", bare)
    found = [
        (word.upper(), " ".join(rest.split())) for word, rest in re.findall(r"(?m)^\s*([A-Za-z]+)\s+(.+)$", joined)
    ]
    last = max((place for place, (word, _) in enumerate(found) if word == "FROM"), default=0)
    return found[last:]


def _values(lines: list[tuple[str, str]], instruction: str) -> list[str]:
    return [rest for word, rest in lines if word == instruction]


def _command(lines: list[tuple[str, str]]) -> list[str]:
    parts = [_words(_values(lines, name)[-1:]) for name in ("ENTRYPOINT", "CMD")]
    return [word for words in parts for word in words]


def _words(last: list[str]) -> list[str]:
    """Of the exec form ``["a", "b"]``, else of the shell form."""
    if not last:
        return []
    try:
        value: object = json.loads(last[0])
    except ValueError:
        value = None
    try:
        return [str(word) for word in cast("list[Any]", value)] if isinstance(value, list) else shlex.split(last[0])
    except ValueError:
        return []


def _installed(tree: Tree) -> packages.Packages:
    if tree.first("package.json"):
        return packages.node(tree)
    return packages.python(tree) if tree.first(*packages.PYTHON_FILES) else packages.Packages("", "", ())


def _on_this_host(command: list[str], installed: packages.Packages, exposed: list[str]) -> tuple[str, bool]:
    """The command with what was installed, on 127.0.0.1 and $PORT; whether a port was found in it."""
    words = ["python" if installed.install and word == "python3" else word for word in command[:1]] + command[1:]
    if installed.install and installed.bin == ".venv/bin/" and "/" not in words[0]:
        words[0] = f"{installed.bin}{words[0]}"
    text = shlex.join(words).replace("0.0.0.0", "127.0.0.1").replace("'$PORT'", "$PORT")
    for port in re.findall(r"\d+", " ".join(exposed)):
        text = re.sub(rf"(?<!\d){port}(?!\d)", "$PORT", text)
    text = re.sub(r"'([\w.:/=-]*\$PORT)'", r"\1", text)
    return text, "$PORT" in text
