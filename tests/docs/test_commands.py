"""Every command that a page tells exists, and every command that exists is told."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from noren.cli.commands import noren
from tests.docs.pages import PAGES, REFERENCE, ROOT, commands, name, prose, spans


def _all(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    with click.Context(group) as ctx:
        for verb in group.list_commands(ctx):
            command = group.get_command(ctx, verb)
            assert command is not None
            if isinstance(command, click.Group):
                yield from _all(command, (*path, verb))
            else:
                yield " ".join((*path, verb)), command


ALL = dict(_all(noren))


def _sections() -> dict[str, str]:
    """The text below each heading that is a command, heading included."""
    parts = re.split(r"^##+ ", prose(REFERENCE / "commands.md"), flags=re.MULTILINE)
    return {_command(part.splitlines()[0].strip("`")[6:]): part for part in parts if part.startswith("`noren ")}


def _command(words: str) -> str:
    """The longest beginning that is a command."""
    path = words.split()
    return next(known for n in (2, 1) if (known := " ".join(path[:n])) in ALL)


def _options(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name != "config":
            yield from parameter.opts


@pytest.mark.parametrize("command", sorted(ALL))
def test_every_command_and_option_is_in_the_reference(command: str) -> None:
    section = _sections()[command]
    for option in _options(ALL[command]):
        assert option in section, f"noren {command} {option} is not explained"


def test_the_reference_explains_no_option_that_is_not_there() -> None:
    assert set(_sections()) == set(ALL)
    general = {"-c", "--config", "--json", "-h", "--help", "--version"}
    for command, section in _sections().items():
        told = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", section))
        assert told <= general | set(_options(ALL[command])), command


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_that_a_page_shows_can_be_typed(page: Path) -> None:
    for words in commands(page, "noren"):
        _parse(words)
    for span in spans(page):
        if re.match(r"noren [a-z]", span):
            _known(shlex.split(span)[1:])


def _parse(words: list[str]) -> None:
    """Raises click.UsageError for what click would refuse."""
    with noren.make_context("noren", list(words)) as ctx:
        command: click.Command = noren
        rest = [*ctx._protected_args, *ctx.args]  # pyright: ignore[reportPrivateUsage]
        while isinstance(command, click.Group):
            verb, found, rest = command.resolve_command(ctx, rest)
            assert found is not None, verb
            command = found
        with command.make_context(command.name, rest, parent=ctx):
            pass


def _known(words: list[str]) -> None:
    """In a sentence arguments may be missing, but no command or option may be made up."""
    command = _command(" ".join(word for word in words if word not in ("-c", "FILE"))) if words else ""
    for word in words[: words.index("--")] if "--" in words else words:
        if word.startswith("-"):
            assert word in {*_options(ALL[command]), "-c"}, f"noren {command} has no {word}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_target_of_make_that_a_page_names_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    told = {word for words in commands(page, "make") for word in words[:1]}
    told |= {span.split()[1] for span in spans(page) if re.match(r"make [a-z]", span)}
    assert told <= targets
