"""``python -m bench`` measures everything; ``python -m bench static switch`` one bench, with its own arguments."""

from __future__ import annotations

import subprocess
import sys

BENCHES = ("static", "app", "cli")


def main() -> None:
    """Each bench is a program of its own; 1 when one of them missed a target."""
    name, *arguments = sys.argv[1:] or ("all",)
    if name not in (*BENCHES, "all"):
        raise SystemExit(f"no such bench: {name}; there are {', '.join(BENCHES)}")
    chosen = BENCHES if name == "all" else (name,)
    codes = [
        subprocess.run([sys.executable, "-m", f"bench.{bench}", *arguments], check=False).returncode for bench in chosen
    ]
    raise SystemExit(max(codes))


if __name__ == "__main__":
    main()
