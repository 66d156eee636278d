"""An API server that is away, slow, or answers nonsense delays a rollout: it changes no outcome and doubles nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.daemon import Daemon
from tests.kubernetes.api_proxy import ApiProxy, Fault, api_proxy
from tests.kubernetes.upgraded import badly_configured, outcome, pushed, receipts, upgraded
from tests.kubernetes.workload import Namespace
from tests.proofs.claim import claim, sized

FAULTS = {
    "away": (Fault(away=True), 30.0),
    "slow": (Fault(delay=5.0), 20.0),
    "conflict": (Fault(status=409, to="PATCH"), 8.0),
    "forgotten": (Fault(forgotten=True), 8.0),
    "gone": (Fault(status=410, to="GET"), 8.0),
    "error": (Fault(status=500), 8.0),
    "unheard": (Fault(status=500, to="PATCH", after=True), 8.0),
}
MOMENTS = {"before": "a rollout begins", "amid": "its pods start"}


@dataclass(frozen=True, slots=True)
class Kept:
    """Noren behind the proxy, which has upgraded once already."""

    noren: Daemon
    here: Namespace
    proxy: ApiProxy

    def upgrade(self, name: str, moment: str) -> float:
        """With this fault from that moment on; seconds from the push to the verdict."""
        fault, seconds = FAULTS[name]
        began = time.monotonic()
        if moment == "before":
            self.proxy.misbehave(fault)
        revision = pushed(self.here.name, version=f"{name} {moment}", start_after=1)
        if moment == "amid":
            self.noren.until(lambda: revision in self.image(), "the Deployment was changed")
            self.proxy.misbehave(fault)
        time.sleep(seconds)
        self.proxy.misbehave(Fault())
        self.noren.kept("site", revision, 120)
        assert revision in self.image()
        self._explained(revision)
        return time.monotonic() - began

    def _explained(self, revision: str) -> None:
        """The last receipt is of the release that was kept, those before it say that the API server was to blame."""
        last, *tries = [receipt for receipt in receipts(self.noren) if receipt["revision"] == revision]
        assert last["outcome"] == "kept", last
        assert all(each["outcome"] == "aborted" and "API server" in each["reason"] for each in tries), tries
        assert not self.noren.client.quarantine()

    def sets(self) -> set[str]:
        return {each["metadata"]["name"] for each in self.here.get("replicasets")["items"]}

    def image(self) -> str:
        spec = self.here.get("deployment/site")["spec"]["template"]["spec"]
        return str(spec["containers"][0]["image"])


@contextmanager
def kept(name: str, port: int, folder: Path) -> Iterator[Kept]:
    with badly_configured(name, port) as here, api_proxy() as (proxy, at):
        config = proxy.kubeconfig(folder, at)
        with upgraded(folder, here, more=f'repair = true\nkubeconfig = "{config}"') as noren:
            assert outcome(noren, pushed(name, version="1"))["outcome"] == "kept"
            yield Kept(noren, here, proxy)


@sized("names", ("unheard",), tuple(FAULTS), seconds=180)
def test_a_fault_of_the_api_server_delays_and_doubles_nothing(
    cluster: Path, tmp_path: Path, names: tuple[str, ...]
) -> None:
    with kept(f"faults-{len(names)}", 30040 + len(names), tmp_path) as it:
        for name, moment in [(n, m) for n in names for m in MOMENTS]:
            refused, before = it.proxy.refused, it.sets()
            seconds = it.upgrade(name, moment)
            assert len(it.sets() - before) == 1, "a template was applied that no release is"
            told = f"{it.proxy.refused - refused} requests refused"
            claim(f"API server {name} when {MOMENTS[moment]}", f"kept {seconds:.1f} s after the push, {told}")


@pytest.mark.timeout(180)
def test_a_token_that_expires_is_read_again(cluster: Path, tmp_path: Path) -> None:
    with kept("token", 30049, tmp_path) as it:
        port = int((tmp_path / "kubeconfig").read_text().partition("127.0.0.1:")[2].partition('"')[0])
        it.proxy.token = "second"
        it.proxy.misbehave(Fault(forgotten=True))  # watches begin anew, and so meet the refusal
        it.proxy.misbehave(Fault())
        revision = pushed("token", version="2")
        it.noren.until(lambda: it.proxy.refused > 3, "the old token was refused")
        it.proxy.kubeconfig(tmp_path, port)
        receipt = outcome(it.noren, revision)
        assert receipt["outcome"] == "kept", receipt
        claim("a token that expired", f"{it.proxy.refused} requests refused, kept after it was renewed")


@pytest.mark.timeout(180)
def test_a_way_back_whose_answer_was_lost_is_gone_once(cluster: Path, tmp_path: Path) -> None:
    with badly_configured("lost-answer", 30048) as here, api_proxy() as (proxy, at):
        found = here.get("deployment/site")["spec"]["template"]
        bad = pushed(here.name, version="lost answer", start="crash")
        config = proxy.kubeconfig(tmp_path, at)
        with upgraded(tmp_path, here, more=f'repair = true\nkubeconfig = "{config}"') as noren:
            noren.until(lambda: noren.status("site")["phase"] == "shifting", "traffic moves")
            noren.until(lambda: any("fieldManager" in line and "dryRun" not in line for line in proxy.told), "it moved")
            proxy.misbehave(Fault(status=500, to=r"PATCH (?!.*dryRun)", after=True, once=True))
            receipt = outcome(noren, bad)
        assert receipt["outcome"] == "rolled_back", receipt
        assert here.get("deployment/site")["spec"]["template"] == found
        assert proxy.refused == 1
        claim("the answer to the way back was lost", "gone once, read again")
