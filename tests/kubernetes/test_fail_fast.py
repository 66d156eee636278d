"""Each way in which pods fail is provoked for real: named, sent back in seconds, old pods never touched."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.test_adopt import pods
from tests.kubernetes.upgraded import badly_configured, outcome, pushed, upgraded
from tests.kubernetes.workload import Namespace

PORTS = {"crash": 30020, "unready": 30021, "memory": 30022, "quota": 30023}
SOON = 20.0  # seconds from the visible state to the end of the way back


def _quota(here: Namespace) -> None:
    spec = {"hard": {"pods": "1"}}
    here.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "tight"}, "spec": spec})


def _limit(here: Namespace) -> None:
    """Too little memory for a release that takes 200 MB, enough for the others."""
    limits = '{"limits":{"memory":"64Mi"}}'
    here.kubectl(
        *("patch", "deployment/site", "--type=json", "--patch"),
        f'[{{"op":"add","path":"/spec/template/spec/containers/0/resources","value":{limits}}}]',
    )
    here.rolled_out("site")


@pytest.mark.parametrize(
    ("name", "behaviour", "before", "cause"),
    [
        ("crash", {"start": "crash"}, None, ("CrashLoopBackOff", "restarted 2 times")),
        ("unready", {"start": "never-ready"}, None, ("no pod came further within 20 s",)),
        ("memory", {"memory_mb": 200}, _limit, ("OOMKilled",)),
        ("quota", {}, _quota, ("FailedCreate",)),
    ],
)
def test_a_release_that_cannot_run_is_sent_back_with_its_cause(
    cluster: Path, tmp_path: Path, name: str, behaviour: dict[str, Any], before: Any, cause: tuple[str, ...]
) -> None:
    with badly_configured(f"bad-{name}", PORTS[name]) as here:
        if before is not None and name != "quota":
            before(here)
        with upgraded(tmp_path, here) as noren:
            assert outcome(noren, pushed(here.name, version="1"))["outcome"] == "kept"
            if name == "quota":
                time.sleep(5)  # the pod before it has ended, and counts no more
                before(here)
            there, template = pods(here), here.get("deployment/site")["spec"]["template"]
            receipt = outcome(noren, pushed(here.name, version="2", **behaviour))
            assert receipt["outcome"] == "rolled_back", receipt["reason"]
            assert any(words in receipt["reason"] for words in cause), receipt["reason"]
            assert there <= pods(here)
            assert here.get("deployment/site")["spec"]["template"] == template
            assert _way_back(receipt) <= SOON
            print(f"{name}: back {_way_back(receipt):.1f} s after it was seen: {receipt['reason'][:150]}")
            if name == "quota":
                here.kubectl("delete", "resourcequota/tight")
            assert outcome(noren, pushed(here.name, version="3"))["outcome"] == "kept"


def _way_back(receipt: dict[str, Any]) -> float:
    seen = next(line["at"] for line in receipt["events"] if line["phase"] == "rolling_back")
    return (datetime.fromisoformat(receipt["ended_at"]) - datetime.fromisoformat(seen)).total_seconds()
