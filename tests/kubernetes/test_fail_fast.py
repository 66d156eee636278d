"""Each way in which pods fail is provoked for real: named, sent back in seconds, old pods never touched."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import Daemon
from tests.kubernetes.cluster.files import REGISTRY
from tests.kubernetes.cluster.parts import NAME as NODE
from tests.kubernetes.test_adopt import pods
from tests.kubernetes.upgraded import badly_configured, outcome, pushed, upgraded
from tests.kubernetes.workload import Namespace
from tests.proofs.claim import claim

SOON = 20.0  # seconds from the visible state to the end of the way back


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """One way to fail: what the image is, what is done to the namespace before, and what the reason must say."""

    name: str
    cause: tuple[str, ...]
    behaviour: Mapping[str, Any] = field(default_factory=dict[str, Any])
    adopted: Callable[[Namespace], None] | None = None
    before: Callable[[Namespace], None] | None = None
    after: Callable[[Namespace], None] | None = None
    pushed: Callable[[Namespace], None] | None = None
    deadline: float = 20.0


def _quota(here: Namespace) -> None:
    time.sleep(5)  # the pod before has ended, and counts no more
    spec = {"hard": {"pods": "1"}}
    here.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "tight"}, "spec": spec})


def _no_quota(here: Namespace) -> None:
    here.kubectl("delete", "resourcequota/tight")


def _resources(here: Namespace, resources: str) -> None:
    here.kubectl(
        *("patch", "deployment/site", "--type=json", "--patch"),
        f'[{{"op":"add","path":"/spec/template/spec/containers/0/resources","value":{resources}}}]',
    )
    here.rolled_out("site")


def _little_memory(here: Namespace) -> None:
    """Too little for a release that takes 200 MB, enough for the others."""
    _resources(here, '{"limits":{"memory":"64Mi"}}')


def _most_of_the_node(here: Namespace) -> None:
    """So much that there is no room for a second pod."""
    processors = here.get(f"node/{NODE}")["status"]["allocatable"]["cpu"]
    _resources(here, f'{{"requests":{{"cpu":"{int(processors) * 600}m"}}}}')


def _smaller(here: Namespace) -> None:
    _resources(here, '{"requests":{"cpu":"1m"}}')


def _forgotten_by_the_registry(here: Namespace) -> None:
    """The manifest is there, and the layer that it names is not."""
    manifest = _registry("GET", f"{here.name}/manifests/latest")
    layer = json.loads(manifest)["layers"][-1]["digest"]
    _registry("DELETE", f"{here.name}/blobs/{layer}")


def _registry(method: str, path: str) -> bytes:
    accepted = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    asked = urllib.request.Request(f"http://{REGISTRY}/v2/{path}", method=method, headers=accepted)
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return answer.read()


WAYS = (
    Bad(name="crash", behaviour={"start": "crash"}, cause=("CrashLoopBackOff", "restarted 2 times")),
    Bad(name="unready", behaviour={"start": "never-ready"}, cause=("no pod came further within 20 s",)),
    Bad(name="memory", behaviour={"memory_mb": 200}, adopted=_little_memory, cause=("OOMKilled",)),
    Bad(name="quota", before=_quota, after=_no_quota, cause=("FailedCreate",)),
    Bad(name="command", behaviour={"command": "/nothing"}, cause=("/nothing",)),
    Bad(name="image", pushed=_forgotten_by_the_registry, cause=("ImagePullBackOff", "ErrImagePull")),
    Bad(name="room", before=_most_of_the_node, after=_smaller, cause=("Unschedulable",), deadline=100.0),
)


@pytest.fixture(scope="module")
def failing(cluster: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[dict[str, Any]]]]:
    """All ways at once, each with a Noren of its own: most of the time of each is waiting."""
    with ThreadPoolExecutor(len(WAYS)) as pool:
        yield {way.name: pool.submit(_tried, way, tmp_path_factory.mktemp(way.name)) for way in WAYS}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_a_release_that_cannot_run_is_sent_back_with_its_cause(
    failing: dict[str, Future[dict[str, Any]]], way: Bad
) -> None:
    receipt = failing[way.name].result()
    back = _way_back(receipt)
    took = f"back {back:.1f} s after it was seen, {_until_seen(receipt):.1f} s after the change"
    claim(f"pods that cannot run, {way.name}", f"{took}; told: {receipt['reason'][:150]!r}")
    assert back <= SOON


def _tried(way: Bad, folder: Path) -> dict[str, Any]:
    """The receipt of the bad release, after which the next one is kept."""
    with badly_configured(f"bad-{way.name}", 30020 + WAYS.index(way)) as here:
        if way.adopted is not None:
            way.adopted(here)
        with upgraded(folder, here, deadline=way.deadline) as noren:
            receipt = _failed(noren, here, way)
            if way.after is not None:
                way.after(here)
            assert outcome(noren, pushed(here.name, version=f"3 {way.name}"))["outcome"] == "kept"
            return receipt


def _failed(noren: Daemon, here: Namespace, way: Bad) -> dict[str, Any]:
    """The receipt of the bad release, which cost no old pod."""
    assert outcome(noren, pushed(here.name, version="1"))["outcome"] == "kept"
    if way.before is not None:
        way.before(here)
    there, template = pods(here), here.get("deployment/site")["spec"]["template"]
    # Of its own, so that no layer is on the node from another test.
    revision = pushed(here.name, version=f"2 {way.name}", **way.behaviour)
    if way.pushed is not None:
        way.pushed(here)
    receipt = outcome(noren, revision, within=150)
    assert receipt["outcome"] == "rolled_back", receipt["reason"]
    assert any(words in receipt["reason"] for words in way.cause), receipt["reason"]
    assert there <= pods(here)
    assert here.get("deployment/site")["spec"]["template"] == template
    return receipt


def _way_back(receipt: dict[str, Any]) -> float:
    return (datetime.fromisoformat(receipt["ended_at"]) - _entered(receipt, "rolling_back")).total_seconds()


def _until_seen(receipt: dict[str, Any]) -> float:
    return (_entered(receipt, "rolling_back") - _entered(receipt, "shifting")).total_seconds()


def _entered(receipt: dict[str, Any], phase: str) -> datetime:
    return datetime.fromisoformat(next(line["at"] for line in receipt["events"] if line["phase"] == phase))
