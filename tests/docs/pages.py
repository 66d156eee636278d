"""The written pages of the project: what they link to, show as code and say in tables."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")],
    key=lambda page: (len(page.parts), page),
)

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")


def name(page: Path) -> str:
    """As an id of a test."""
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return [body for found, body in _FENCE.findall(page.read_text()) if found == language]


def fences(page: Path) -> Iterator[tuple[str, str, str]]:
    """Language, text, and the words since the fence before, of each fenced block."""
    text, end = page.read_text(), 0
    for found in _FENCE.finditer(text):
        yield found[1], found[2], text[end : found.start()]
        end = found.end()


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", page.read_text())


def spans(page: Path) -> list[str]:
    """Code within sentences."""
    return _CODE.findall(prose(page))


def links(page: Path) -> list[str]:
    """Where its links lead, as written."""
    return _LINK.findall(prose(page))


def commands(page: Path, program: str) -> Iterator[list[str]]:
    """The words after ``program`` in each line of shell that begins with it."""
    for block in blocks(page, "sh"):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == [program]:
                yield words[1:]


def rows(page: Path) -> list[list[str]]:
    """The cells of every row of its tables, but headings and rules."""
    lines = [line for line in page.read_text().splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    rules = {i for i, row in enumerate(cells) if set("".join(row)) <= set("-: ")}
    return [row for i, row in enumerate(cells) if i not in rules and i + 1 not in rules]


def anchors(page: Path) -> set[str]:
    """What may stand behind # in a link to the page."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}
