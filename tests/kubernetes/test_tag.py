"""A tag that is moved in the registry goes live within the poll interval; a digest that was bad is not tried again."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

import pytest

from noren.core.schedule import QUIET
from tests.kubernetes.upgraded import badly_configured, outcome, pushed, receipts, upgraded
from tests.proofs.claim import claim

POLL = 3.0


@pytest.mark.timeout(240)
def test_a_moved_tag_goes_live_and_a_bad_digest_is_tried_once(cluster: Path, tmp_path: Path) -> None:
    with badly_configured("tag", 30060) as here, upgraded(tmp_path, here, poll=POLL) as noren:
        waits: list[float] = []
        assert outcome(noren, pushed("tag", version="0"))["outcome"] == "kept"
        for version in range(1, 4):
            time.sleep(QUIET)  # no burst, whose end would be waited for
            moved = pushed("tag", version=version)
            began = time.time()
            receipt = outcome(noren, moved)
            assert receipt["outcome"] == "kept", receipt
            waits.append(datetime.fromisoformat(receipt["started_at"]).timestamp() - began)
        bad = pushed("tag", version="bad", start="crash")
        assert outcome(noren, bad)["outcome"] == "rolled_back"
        good = pushed("tag", version="good")
        assert outcome(noren, good)["outcome"] == "kept"
        before = len(receipts(noren))
        assert pushed("tag", version="bad", start="crash") == bad
        time.sleep(3 * POLL)
        assert len(receipts(noren)) == before
        assert noren.status("site")["active"]["revision"] == good
        assert here.get("deployment/site")["spec"]["template"]["spec"]["containers"][0]["image"].endswith(good)
        assert max(waits) <= POLL * 1.1 + 0.5  # the jitter of a poll, and the look itself
        told = ", ".join(f"{wait:.1f}" for wait in waits)
        claim(
            "a moved tag",
            f"rollouts began {told} s after the push; a bad digest tried once",
            settings=f"poll {POLL:g} s",
        )
