"""How answers are shown: JSON, tables, times, and text that cannot take over the terminal.

Used by the verbs. On a terminal tables are rich's (imported only then); in a pipe they are plain
columns, so that ``awk`` works.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from typing import Any

import click

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_COLOUR = re.compile(r"\x1b(?!\[[0-9;]*m)|[\x00-\x08\x0a-\x1a\x1c-\x1f\x7f-\x9f]")


def show_json(value: Any) -> None:
    """Indented JSON."""
    click.echo(json.dumps(value, indent=2))


def plain(text: object) -> str:
    """One line without control characters: commit messages and answers of apps are not ours."""
    lines = (line.strip() for line in str(text).splitlines())
    return _CONTROL.sub(" ", "; ".join(line for line in lines if line))


def coloured(text: str) -> str:
    """A line of a log: its colours may stay, nothing else may reach the terminal."""
    return _COLOUR.sub("", text)


def moment(at: str | None) -> str:
    """``2026-01-02 03:04:05Z`` of an RFC 3339 time, "-" for none."""
    return f"{at[:10]} {at[11:19]}Z" if at else "-"


def short(revision: str | None) -> str:
    """The first 12 of a revision, "-" for none."""
    return plain(revision)[:12] if revision else "-"


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Rows under headers."""
    cells = [[plain(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _rich(headers, cells)
        return
    widths = [max(map(len, column)) for column in zip(headers, *cells, strict=True)]
    for row in (headers, *cells):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _rich(headers: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(*headers, box=box.SIMPLE_HEAD, header_style="bold")
    for row in cells:
        shown.add_row(*(Text(cell, style=_style(cell)) for cell in row))
    Console().print(shown)


def _style(cell: str) -> str:
    styles = {"kept": "green", "failed": "red", "aborted": "red", "rolled_back": "red", "stuck": "bold red"}
    return styles.get(cell, "")
