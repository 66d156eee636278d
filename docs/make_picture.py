"""Draws docs/demo.svg: the demo's own words, as a terminal shows them.

Run by hand when the story changes: ``.venv/bin/python docs/make_picture.py``. It takes as long as the
demo. The picture must look the same on every machine, so the temporary folder and the port get fixed
names of the same length, and no font is fetched from anywhere.
"""

from __future__ import annotations

import asyncio
import io
import re
import sys
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI

from noren.demo.story import tell

PICTURE = Path(__file__).with_name("demo.svg")
WIDTH = 104


def main() -> int:
    """Tell the story once and write the picture; the story's exit code."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), highlight=False)
    console.print("[bold]$ make demo[/]")
    code = asyncio.run(tell(console, once=True))
    PICTURE.write_text(drawn(console))
    return code


def drawn(console: Console) -> str:
    """What was recorded as SVG, with the same names everywhere."""
    svg = console.export_svg(title="noren demo", theme=DIMMED_MONOKAI, code_format=_without_fonts(), unique_id="noren")
    svg = re.sub(r"noren-demo-\w{8}", "noren-demo-the_team", svg)
    return re.sub(r"(localhost|127\.0\.0\.1):\d{5}", r"\1:18080", svg)


def _without_fonts() -> str:
    return re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


if __name__ == "__main__":
    sys.exit(main())
