"""How long a command takes to start, beside ``python -c pass`` of the same interpreter, taken in turns.

``python -m bench cli``: N runs of each; the daemon that ``noren status`` asks is a real one.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.daemon import Daemon, Repository

from bench.table import Row, show

RUNS = 40
TOML = '[server]\nlisten = ["127.0.0.1:{port}"]\n[apps.site]\nrepo = "site"\nhosts = ["site.example"]\n'


def seconds(argv: list[str]) -> float:
    """Wall time of one run."""
    began = time.perf_counter()
    subprocess.run(argv, stdout=subprocess.DEVNULL, check=True, timeout=30)
    return time.perf_counter() - began


def main() -> None:
    """Measure and print; 1 when a target is missed."""
    program = str(Path(sys.executable).with_name("noren"))
    with tempfile.TemporaryDirectory(prefix="noren-bench-") as name:
        folder = Path(name)
        revision = Repository(folder / "site").commit({"index.html": "hello"})
        with Daemon(folder, TOML) as noren:
            noren.kept("site", revision)
            commands = {
                "python -c pass": [sys.executable, "-c", "pass"],
                "noren --help": [program, "--help"],
                "noren status": [program, "-c", str(noren.settings), "status"],
            }
            times = {what: [seconds(argv)] for what, argv in commands.items()}  # the first reads the disk
            for _ in range(RUNS):
                for what, argv in commands.items():
                    times[what].append(seconds(argv))
    medians = {what: statistics.median(taken[1:]) * 1000 for what, taken in times.items()}
    plain = medians["python -c pass"]
    targets = {"python -c pass": None, "noren --help": 100.0, "noren status": 150.0}
    rows = [
        Row(f"{what}, median", ms, "ms", RUNS, most=targets[what], note=f"{ms / plain:.1f} × python -c pass")
        for what, ms in medians.items()
    ]
    show("The command line", rows)
    raise SystemExit(any(row.met is False for row in rows))


if __name__ == "__main__":
    main()
