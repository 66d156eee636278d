"""Three apps are upgraded again and again under all nine loads, with bad commits, while the daemon is killed.

Short: twelve rollouts. Full: forty. `make prove` and `make prove-night` are the same with 200 and 1,000.
"""

from __future__ import annotations

from pathlib import Path

from tests.campaign.campaign import Campaign
from tests.campaign.track import BEGIN, END, append, rows_of
from tests.proofs.claim import claim, sized


@sized(("requests", "rollouts"), (3_000, 12), (30_000, 40), seconds=300)
def test_nothing_is_lost_by_a_campaign_of_rollouts_bad_commits_and_kills(
    requests: int, rollouts: int, tmp_path: Path
) -> None:
    result = Campaign(tmp_path / "campaign", share=0.2, kill_every=8.0).run(requests, rollouts)
    assert result.good, "\n".join(result.lines())
    figures = f"{result.summary.requests} requests, {result.rollouts.total()} rollouts, {result.kills} kills, 0 lost"
    claim("a campaign loses nothing", figures, seed=result.seed)
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    for times in (1, 2):
        append(page, result, revision="abc")
        assert len(rows_of(page.read_text())) == times
    assert f"| all |  |  | {2 * round(result.seconds / 60)} | {2 * result.summary.requests} | 0 |" in page.read_text()
    assert page.read_text().startswith("before\n") and page.read_text().endswith("after\n")
