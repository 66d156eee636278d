"""The table of results in a page of the documentation: a campaign adds its row and the sum is made anew.

Between the two marks only this script writes; the cells are plain numbers, for other programs to read.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.campaign.result import Result

BEGIN, END = "<!-- results: python -m tests.campaign --record -->", "<!-- end of results -->"
HEADS = (
    *("ended", "revision", "seed", "minutes", "requests", "lost", "orders", "missing", "doubled"),
    *("rollouts", "kept", "kills", "good"),
)
SUMS = ("minutes", "requests", "lost", "orders", "missing", "doubled", "rollouts", "kept", "kills")


def append(page: Path, result: Result, revision: str) -> None:
    """Add a row for what was run at a revision. The page must have both marks."""
    before, rest = page.read_text().split(BEGIN)
    inside, after = rest.split(END)
    rows = [*rows_of(inside), {**{k: str(v) for k, v in result.row().items()}, "revision": revision}]
    page.write_text(f"{before}{BEGIN}\n\n{table(rows)}\n\n{END}{after}")


def rows_of(text: str) -> list[dict[str, str]]:
    """The rows of the table, without its sum."""
    lines = [
        [cell.strip() for cell in line.strip("| ").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    return [dict(zip(HEADS, cells, strict=True)) for cells in lines[2:] if cells[0] != "all"]


def table(rows: list[dict[str, str]]) -> str:
    """Markdown, with a last row of sums."""
    sums = {head: str(sum(int(row[head]) for row in rows)) for head in SUMS}
    every = [*rows, {**dict.fromkeys(HEADS, ""), **sums, "ended": "all"}]
    lines = ["| " + " | ".join(HEADS) + " |", "|" + "---|" * len(HEADS)]
    return "\n".join([*lines, *("| " + " | ".join(row[head] for head in HEADS) + " |" for row in every)])


def revision_of(folder: Path) -> str:
    """The commit of a checkout, shortened; "-dirty" when its source was changed since."""
    argv = ["git", "describe", "--always", "--abbrev=10", "--dirty", "--exclude=*"]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
