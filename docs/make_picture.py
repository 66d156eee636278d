"""Draws docs/demo.svg: the demo's own words, as a terminal shows them, and no more than is read in ten seconds.

Run by hand when the story changes: ``.venv/bin/python docs/make_picture.py``. It takes as long as the
demo. The picture must look the same on every machine, so the temporary folder and the ports get fixed
names, and no font is fetched from anywhere.
"""

from __future__ import annotations

import asyncio
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

from noren.demo.story import tell

PICTURE = Path(__file__).with_name("demo.svg")
WIDTH = 108  # columns
CHAPTERS = ("$ make demo", "A good day", "A bad day", "Releases that looked ready", "Another one", "The clients asked")
BESIDE = ("A team's", "docs is Noren's", "Noren builds", "  http://", " serves on; ")  # what the headings say


def main() -> int:
    """Tell the story once and write the picture; the story's exit code."""
    told = io.StringIO()
    # No terminal, so that there is no live table; wide, so that lines are wrapped once, below.
    console = Console(file=told, width=1000, color_system="truecolor", force_terminal=False, highlight=False)
    console.print("[bold]$ make demo[/]")
    code = asyncio.run(tell(console, once=True))
    PICTURE.write_text(drawn(told.getvalue()))
    return code


def drawn(told: str) -> str:
    """What was told, with ANSI colours, as SVG."""
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    console.print(Text("\n\n").join(map(essence, chapters(Text.from_ansi(everywhere(told))))))
    return console.export_svg(title="noren demo", theme=DIMMED_MONOKAI, code_format=_without_fonts(), unique_id="noren")


def chapters(told: Text) -> Iterator[Text]:
    """Those that are shown, and a sign where some are not."""
    skipped = False
    for chapter in told.split("\n\n"):
        shown = any(words in chapter.plain.partition("\n")[0] for words in CHAPTERS)
        if shown:
            yield Text.assemble(("[…]\n" if skipped else "", "dim"), chapter)
        skipped = not shown


def essence(chapter: Text) -> Text:
    """Without what is beside the point."""
    return Text("\n").join(line for line in chapter.split("\n") if not any(words in line.plain for words in BESIDE))


def everywhere(told: str) -> str:
    """The same names on every machine."""
    told = re.sub(r"\S*/noren-demo-\w+", "/tmp/noren-demo", told)
    told = re.sub(r"localhost:\d+", "localhost:8080", told)
    return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:20000", told)


def _without_fonts() -> str:
    return re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


if __name__ == "__main__":
    sys.exit(main())
