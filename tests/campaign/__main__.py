"""Runs a campaign and says what came of it; exit code 1 when anything was lost, doubled or did not end as it should."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tests.campaign.campaign import Campaign
from tests.campaign.track import append, revision_of


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("--requests", type=int, default=300_000, help="at least so many")
    parser.add_argument("--rollouts", type=int, default=200, help="at least so many verdicts")
    parser.add_argument("--share", type=float, default=0.7, help="of 1,000 requests a second")
    parser.add_argument("--kill-every", type=float, default=20.0, help="seconds between kills of the daemon, 0: none")
    parser.add_argument("--seed", type=int, help="of an earlier run")
    parser.add_argument("--record", type=Path, help="a page with a table of results, which gets a row")
    given = parser.parse_args()
    revision = revision_of(Path(__file__).parent)
    with tempfile.TemporaryDirectory(prefix="noren-prove-") as folder:
        campaign = Campaign(Path(folder), share=given.share, kill_every=given.kill_every, seed=given.seed)
        result = campaign.run(given.requests, given.rollouts)
    print("\n".join(result.lines()), flush=True)
    print(json.dumps(result.row()))
    if given.record:
        append(given.record, result, revision)
    return 0 if result.good else 1


if __name__ == "__main__":
    sys.exit(main())
