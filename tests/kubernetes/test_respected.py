"""What others do to a Deployment is noticed, told by name and left alone; amid a rollout it sends the release back."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.daemon import Daemon
from tests.kubernetes.upgraded import badly_configured, outcome, pushed, upgraded
from tests.kubernetes.workload import Namespace
from tests.proofs.claim import claim

LONG_ENOUGH = 3.0  # seconds in which Noren would have put it back if it did so


def image(here: Namespace) -> str:
    return str(here.get("deployment/site")["spec"]["template"]["spec"]["containers"][0]["image"])


def told(noren: Daemon, words: str) -> str:
    """The line of the history that has these words."""
    return noren.until(
        lambda: next((e["text"] for e in noren.client.events("site", 0) if words in e["text"]), None), words, 10
    )


@pytest.mark.timeout(240)
def test_a_rollout_undo_and_an_edit_are_told_and_left_alone(cluster: Path, tmp_path: Path) -> None:
    with badly_configured("respected", 30080) as here, upgraded(tmp_path, here) as noren:
        one, two = pushed("respected", version="1"), ""
        assert outcome(noren, one)["outcome"] == "kept"
        two = pushed("respected", version="2")
        assert outcome(noren, two)["outcome"] == "kept"

        here.kubectl("rollout", "undo", "deployment/site")
        began = time.monotonic()
        line = told(noren, "was changed by kubectl")
        noticed = time.monotonic() - began
        assert "it runs release" in line and "that is left alone" in line
        time.sleep(LONG_ENOUGH)
        assert image(here).endswith(one)

        here.edit("deployment/site", f"s/{one}/{two}/")
        told(noren, "was changed by kubectl-edit")
        here.edit("deployment/site", "s/replicas: 1$/replicas: 2/")
        three = pushed("respected", version="3")
        assert outcome(noren, three)["outcome"] == "kept"
        assert (image(here).endswith(three), here.get("deployment/site")["spec"]["replicas"]) == (True, 2)
        claim("kubectl rollout undo and edit", f"told after {noticed:.1f} s and left alone: {line!r}")


@pytest.mark.timeout(180)
def test_an_undo_amid_a_rollout_sends_the_release_back_and_stays(cluster: Path, tmp_path: Path) -> None:
    with badly_configured("undone", 30081) as here, upgraded(tmp_path, here) as noren:
        one = pushed("undone", version="1")
        assert outcome(noren, one)["outcome"] == "kept"
        two = pushed("undone", version="2", start_after=5)
        noren.until(lambda: image(here).endswith(two), "the rollout has begun")
        here.kubectl("rollout", "undo", "deployment/site")
        receipt = outcome(noren, two)
        assert receipt["outcome"] == "rolled_back", receipt
        assert "was changed" in receipt["reason"] and "by kubectl" in receipt["reason"]
        time.sleep(LONG_ENOUGH)
        assert image(here).endswith(one)
        here.rolled_out("site")
        claim("an undo amid a rollout", f"sent back: {receipt['reason']!r}")
