"""Writes what was found as a noren.toml that explains itself.

Used by ``first``. Pure; what it writes passes ``noren check``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from noren.init.recognised import Recognised
from noren.init.survey import Found

_HEAD = """\
# Written by `noren init`. `noren check` prints every setting with its default; `noren up` starts.
# What begins with # is a suggestion or an explanation.
"""
_COMMENTED = '# {} = "{}"'


def render(found: Sequence[Found], repo: str, *, submodules: bool) -> str:
    """The whole file; ``repo`` is a URL or a path relative to it."""
    return "\n".join([_HEAD, *("\n".join(_app(one, repo, submodules)) + "\n" for one in found)])


def _app(found: Found, repo: str, submodules: bool) -> Iterator[str]:
    one = found.recognised
    yield f"# {one.what[0].upper()}{one.what[1:]}: {one.why}."
    yield from (f"# {note}" for note in one.notes)
    yield f"[apps.{found.name}]"
    yield _line("repo", repo, "looked at every 30 s")
    if ":" in repo:
        yield (
            _COMMENTED.format("token_env", "GIT_TOKEN")
            + "          # a private repository: name the variable of a token"
        )
    if found.root != ".":
        yield _line("root", found.root, "built in this folder; commits that touch nothing in it are no upgrade")
    yield f'hosts = ["{found.name}.localhost"]  # then your own; this one needs no DNS'
    if submodules:
        yield "submodules = true  # .gitmodules is there"
    yield from _commands(one)
    yield from (f"# {hint}" for hint in one.hints)


def _commands(one: Recognised) -> Iterator[str]:
    if one.build is not None:
        where = (
            "leaves the site in $NOREN_OUTPUT" if one.run is None else "runs in the checked-out tree, once a release"
        )
        yield _line("build", one.build, where)
    if one.run is None:
        return
    yield _line("run", one.run, "must listen on 127.0.0.1 and $PORT")
    yield _line("ready", one.ready or "/", "answers 2xx when it can serve")
    yield '# env = { KEY = "value" }             # what it needs to know; secrets go into env_file'


def _line(key: str, value: str, comment: str) -> str:
    """TOML's basic strings are written as JSON's; a literal one saves the backslashes before quotes."""
    literal = '"' in value and "'" not in value and value.isprintable()
    text = f"'{value}'" if literal else json.dumps(value, ensure_ascii=False)
    return f"{key} = {text}  # {comment}"
