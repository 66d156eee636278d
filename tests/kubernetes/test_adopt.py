"""A badly configured Deployment is adopted, mended, upgraded by digest, sent back, and left to others who change it."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.kubernetes.upgraded import badly_configured, outcome, pushed, receipts, upgraded
from tests.kubernetes.workload import Namespace


def pods(here: Namespace) -> set[str]:
    return {p["metadata"]["name"] for p in here.get("pods")["items"] if "deletionTimestamp" not in p["metadata"]}


@pytest.mark.timeout(180)
def test_a_deployment_is_adopted_mended_upgraded_and_sent_back(cluster: Path, tmp_path: Path) -> None:
    with badly_configured("adopt", 30010) as here, upgraded(tmp_path, here) as noren:
        first = noren.status("site")
        assert first["active"]["release"] == 1

        good = pushed("adopt", version="1")
        receipt = outcome(noren, good)
        assert (receipt["outcome"], receipt["requests"], receipt["latency_ms"]) == ("kept", None, None)
        spec = here.get("deployment/site")["spec"]
        container = spec["template"]["spec"]["containers"][0]
        assert container["image"].endswith(f"@sha256:{good}")
        assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        assert container["readinessProbe"]["httpGet"]["path"] == "/healthz"
        assert container["lifecycle"]["preStop"]["sleep"]["seconds"] == 3

        before = pods(here)
        bad = pushed("adopt", version="2", start="crash")
        receipt = outcome(noren, bad)
        assert receipt["outcome"] == "rolled_back"
        assert "CrashLoopBackOff" in receipt["reason"] or "restarted 2 times" in receipt["reason"]
        assert before <= pods(here)
        assert here.get("deployment/site")["spec"]["template"] == spec["template"]
        assert [q["revision"] for q in noren.client.quarantine()] == [bad]

        here.kubectl("set", "image", "deployment/site", f"site={container['image'].partition('@')[0]}:latest")
        deadline = time.monotonic() + 10
        while not any("was changed by" in line["text"] for line in noren.client.events("site", 0)):
            assert time.monotonic() < deadline, noren.output.read_text()
            time.sleep(0.1)
        time.sleep(3)
        assert here.get("deployment/site")["spec"]["template"]["spec"]["containers"][0]["image"].endswith(":latest")

        newest = pushed("adopt", version="3")
        assert outcome(noren, newest)["outcome"] == "kept"
        assert len(receipts(noren)) == 4  # the first pins what was found


@pytest.mark.timeout(180)
def test_a_first_release_that_cannot_run_is_sent_back_to_what_was_found(cluster: Path, tmp_path: Path) -> None:
    with badly_configured("first", 30011) as here:
        found, there = here.get("deployment/site")["spec"]["template"], pods(here)
        bad = pushed("first", version="first", start="crash")
        with upgraded(tmp_path, here) as noren:
            receipt = outcome(noren, bad)
            assert (receipt["outcome"], receipt["from_release"]) == ("rolled_back", 1)
            assert here.get("deployment/site")["spec"]["template"] == found
            assert there <= pods(here)
            assert outcome(noren, pushed("first", version="second"))["outcome"] == "kept"


@pytest.mark.timeout(180)
def test_an_app_that_left_the_settings_while_noren_was_down_is_known_until_a_reload_prunes_it(
    cluster: Path, tmp_path: Path
) -> None:
    with badly_configured("left", 30012) as here, upgraded(tmp_path, here) as noren:
        assert outcome(noren, pushed("left", version="1"))["outcome"] == "kept"
        served, active = here.get("deployment/site")["spec"]["template"], noren.status("site")["active"]
        noren.end(signal.SIGTERM)
        noren.configure('[server]\nlisten = ["127.0.0.1:{port}"]\n')
        noren.up()
        assert noren.status("site")["active"] == active
        assert noren.client.reload(prune=True, dry=False) == ["site: removed, its instances are stopped"]
        assert noren.client.status()["apps"] == []
        noren.end(signal.SIGTERM)
        noren.up()
        assert noren.client.status()["apps"] == []
        assert here.get("deployment/site")["spec"]["template"] == served, "an adopted Deployment is the team's"
