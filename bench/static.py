"""Measure static sites: ``python -m bench.static [PART …]`` prints one table. Needs nginx and wrk for throughput."""

from __future__ import annotations

import argparse
import os

from bench.footprint import footprint
from bench.switching import rollbacks, rollouts, switches
from bench.table import Row, show
from bench.throughput import throughput

PARTS = ("switch", "rollback", "rollout", "throughput", "footprint")


def main() -> None:
    """Run the parts one after the other."""
    asked = _arguments()
    rows: list[Row] = []
    for part in asked.parts or PARTS:
        rows += _measured(part, asked)
    show(f"Noren, static sites, {os.cpu_count()} cores", rows)
    raise SystemExit(1 if any(row.met is False for row in rows) else 0)


def _measured(part: str, asked: argparse.Namespace) -> list[Row]:
    match part:
        case "switch":
            return switches(asked.switches)
        case "rollback":
            return rollbacks(asked.rollbacks)
        case "rollout":
            return rollouts(asked.rollouts)
        case "throughput":
            return throughput(asked.rounds, asked.seconds)
        case _:
            return footprint(asked.minutes)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.static", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--switches", type=int, default=1000)
    parser.add_argument("--rollbacks", type=int, default=50)
    parser.add_argument("--rollouts", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=9, help="of throughput")
    parser.add_argument("--seconds", type=float, default=2, help="a round of throughput")
    parser.add_argument("--minutes", type=float, default=10, help="of footprint")
    asked = parser.parse_args()
    unknown = sorted(set(asked.parts) - set(PARTS))
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}")
    return asked


if __name__ == "__main__":
    main()
