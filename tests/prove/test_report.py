"""A report names each loss with its phase and the likely cause, and its page needs nothing but itself."""

from __future__ import annotations

import json
import time
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from typing import Any

import pytest

from noren.prove.causes import Loss, cause
from noren.prove.ledger import Ledger
from noren.prove.outcome import Outcome, Problem
from noren.prove.page import page
from noren.prove.proof import Proof
from noren.prove.report import Report
from noren.prove.request import Answer

BEGIN = time.monotonic() - 20
WALL = time.time() - 20


def at(second: float) -> str:
    return datetime.fromtimestamp(WALL + second, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def receipt(outcome: str = "kept", **more: Any) -> dict[str, Any]:
    """A rollout from second 5 to 10, with its switch at 7."""
    phases = [("building", 1.0), ("waiting_ready", 1.0), ("shifting", 0.1), ("baking", 2.9)]
    return {
        **{
            "rollout": 2,
            "release": 2,
            "from_release": 1,
            "outcome": outcome,
            "reason": "it had to be",
            "complete": True,
        },
        **{"started_at": at(5), "ended_at": at(10)},
        "phases": [{"phase": phase, "seconds": seconds} for phase, seconds in phases],
        "requests": {"total": 50, "ok": 50, "failed": 0, "retried": 0, "held": 0},
        **more,
    }


def ledger(lost: dict[float, Problem] | None = None) -> Ledger:
    """Ten requests a second for 15 seconds, by release 1 until second 7; ``lost``: by second."""
    made = Ledger(7, whole=False, slot=0.2)
    for number in range(150):
        second = number / 10
        answer = Answer(200, {"x-noren-release": f"shop@{1 if second < 7 else 2}"}, b"", True)
        result = (lost or {}).get(second, answer)
        due = BEGIN + second
        made.settle("L2", f"run-L2-{number + 1}", due=due, issued=due, result=result)
        tally = made.tally.loads["L2"]
        assert tally.outcomes.total() == number + 1
    return made


def report(made: Ledger, *receipts: dict[str, Any], history: tuple[dict[str, Any], ...] = ()) -> Report:
    return Report.of("shop", made, Proof.of(made, shown=0), receipts, history)


def test_a_good_trial_says_so_with_latencies_before_during_and_after() -> None:
    told = report(ledger(), receipt())
    assert told.good
    assert told.headline() == "shop: 0 lost in 150 requests over 1 rollouts, 1 kept"
    parts = told.latencies
    assert (parts.before.samples, parts.during.samples, parts.after.samples) == pytest.approx((100, 20, 30), abs=3)
    assert any("the client asked 4" in line and "the proxy counted 50" in line for line in told.lines())


def test_a_loss_has_its_phase_and_its_cause_in_text_json_and_page() -> None:
    made = ledger()
    due = time.monotonic() - 0.5
    made.settle("L2", "run-L2-999", due=due, issued=due, result=Problem(Outcome.TIMEOUT, "no <answer> in time"))
    now = datetime.fromtimestamp(time.time() - 3, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    told = report(
        made,
        receipt(
            started_at=now,
            ended_at="2100-01-01T00:00:00Z",
            phases=[{"phase": "building", "seconds": 1.0}, {"phase": "baking", "seconds": 100.0}],
        ),
    )
    text = "\n".join(told.lines())
    assert not told.good
    assert "likely cause of 1: the first answers of a new release are slow" in text
    assert "lost baking: " in text and "no <answer> in time" in text
    document = json.loads(json.dumps(told.document()))
    assert document["lost"] == 1 and document["losses"][0]["phase"] == "baking"
    assert document["causes"][0]["losses"] == 1
    html = page(told)
    assert "1 lost in 151 requests" in html and 'class="bad"' in html
    assert "no &lt;answer&gt; in time" in html and "<answer>" not in html


def test_a_proxy_that_counts_less_than_the_client_is_a_problem() -> None:
    told = report(ledger(), receipt(requests={"total": 0, "ok": 0, "failed": 0, "retried": 0, "held": 0}))
    assert not told.good
    assert "they do not agree" in told.problems[0]


@pytest.mark.parametrize(
    ("receipts", "words"),
    [
        ((), "no rollout came to its verdict"),
        ((receipt("rolled_back"),), "rollout 2 was not kept but rolled_back: it had to be"),
        ((receipt(requests={"total": 50, "ok": 49, "failed": 1, "retried": 0, "held": 0}),), "1 failed requests"),
    ],
)
def test_a_trial_is_not_good_because_of_what_else_went_wrong(receipts: Any, words: str) -> None:
    told = report(ledger(), *receipts)
    assert not told.good and not told.lost
    assert words in "\n".join(told.lines()) and words in page(told)


def test_the_page_needs_nothing_else_and_both_plots_are_well_formed() -> None:
    html = page(report(ledger(), receipt()))
    for outside in ("http://", "https://", "<script", "url(", "@import", "src="):
        assert outside not in html
    plots = [part.partition("</svg>")[0] for part in html.split("<svg ")[1:]]
    assert len(plots) == 2
    requests = ET.fromstring(f"<svg {plots[0]}</svg>")
    bars = [rect for rect in requests.iter("rect") if (rect.get("class") or "").startswith("r")]
    assert len(bars) >= 70
    assert all(float(bar.get("height") or 0) > 0 for bar in bars)
    assert "rollout 2 of release 2: kept" in plots[0] and "shop@2: " in plots[0]
    lines = ET.fromstring(f"<svg {plots[1]}</svg>").findall("polyline")
    assert [line.get("class") for line in lines] == ["p99", "p50"]


def test_a_page_of_no_request_at_all_can_be_made() -> None:
    assert "no rollout came to its verdict" in page(report(Ledger(7, whole=False)))


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (Loss(outcome=Outcome.RESET, status=None, load="L2", retired=True), "closes connections at SIGTERM"),
        (Loss(outcome=Outcome.CUT_SHORT, status=None, load="L4", cut=True, retired=True), "drain limit"),
        (Loss(outcome=Outcome.WRONG_STATUS, status=502, load="L1", exited=True), "an instance ended by itself"),
        (Loss(outcome=Outcome.RESET, status=None, load="L3"), "closes idle connections"),
        (Loss(outcome=Outcome.TIMEOUT, status=None, load="L2", since_switch=1.0), "first answers of a new release"),
        (Loss(outcome=Outcome.TIMEOUT, status=None, load="L2"), "does not answer this rate"),
        (Loss(outcome=Outcome.TIMEOUT, status=None, load="L2", busy=3000.0), "this machine was too busy"),
        (Loss(outcome=Outcome.WRONG_STATUS, status=429, load="L2"), "limits the rate"),
        (Loss(outcome=Outcome.WRONG_STATUS, status=500, load="L2", since_switch=1.0), "probe a page"),
        (Loss(outcome=Outcome.WRONG_STATUS, status=500, load="L2"), "an error of its own"),
        (Loss(outcome=Outcome.WRONG_STATUS, status=502, load="L2"), "nothing was being rolled out"),
        (Loss(outcome=Outcome.WRONG_STATUS, status=404, load="L2"), "refuses this request"),
        (Loss(outcome=Outcome.WRONG_SERVICE, status=200, load="L2"), "another app answered"),
        (Loss(outcome=Outcome.CUT_SHORT, status=None, load="L6", phase="baking"), "WebSocket"),
        (Loss(outcome=Outcome.CUT_SHORT, status=200, load="L2", phase="baking"), "before the answer did"),
        (Loss(outcome=Outcome.REFUSED, status=None, load="L1"), "took no connection"),
        (Loss(outcome=Outcome.WRONG_BODY, status=200, load="L5"), "not what was asked for"),
        (Loss(outcome=Outcome.DUPLICATE, status=200, load="L2"), "nothing that this report knows of"),
    ],
)
def test_each_kind_of_loss_has_its_likely_cause(loss: Loss, words: str) -> None:
    assert words in cause(loss)
