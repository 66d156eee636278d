"""What a release is in a cluster, what would lose requests there, and how pods stand: pure functions, as data."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from noren.adapters.kubernetes.fields import merged
from noren.adapters.kubernetes.marks import changed_by, is_ours, marked, shown
from noren.adapters.kubernetes.render import adopted, owned
from noren.adapters.kubernetes.repair import advice, patches, risks
from noren.adapters.kubernetes.saved import Manifest
from noren.adapters.kubernetes.standing import Watcher
from noren.adapters.kubernetes.traffic import shows
from noren.core.model import App, Artifact, Kind, Kubernetes, Release

Json = dict[str, Any]
DIGEST = "registry.example/shop/web@sha256:" + "a" * 64
ADOPTED = Kubernetes(deployment="web", namespace="shop", mode="adopt", repair=True)


def release(settings: Kubernetes = ADOPTED, *, hosts: tuple[str, ...] = ()) -> Release:
    app = App(name="shop", kind=Kind.KUBERNETES, repo="r", hosts=hosts, kubernetes=settings)
    artifact = Artifact(key="k", path=DIGEST, digest="sha256:" + "a" * 64, seconds=1.0)
    return Release(app=app, number=7, revision="c0ffee", artifact=artifact)


def bad_deployment(**container: Any) -> Json:
    pod = {"containers": [{"name": "web", "image": "web:latest", **container}], "terminationGracePeriodSeconds": 10}
    return {
        "metadata": {"name": "web", "uid": "d", "generation": 1, "annotations": {}},
        "spec": {"replicas": 1, "template": {"metadata": {}, "spec": pod}},
    }


def applied(deployment: Json, body: Json, manager: str = "noren") -> Json:
    """As server-side apply leaves it: the fields, and who manages them."""
    path = {"f:spec": {"f:template": {"f:metadata": {"f:annotations": {"f:noren.dev/rollout": {}}}}}}
    inside = {'k:{"name":"web"}': {"f:image": {}, "f:readinessProbe": {"f:httpGet": {}}}}
    path["f:spec"]["f:template"]["f:spec"] = {"f:containers": inside}  # type: ignore[assignment]
    fields = {"manager": manager, "time": "2026-01-01T00:00:00Z", "fieldsV1": path}
    return merged([deployment, body, {"metadata": {"managedFields": [{"name": "x", **fields}]}}])


def test_a_badly_configured_deployment_has_every_risk_with_its_fix() -> None:
    found = risks(bad_deployment(), release().app, ADOPTED)
    assert [risk.field for risk in found] == [
        "strategy.rollingUpdate.maxUnavailable",
        "web.readinessProbe",
        "web.lifecycle.preStop",
        "terminationGracePeriodSeconds",
    ]
    assert str(found[2]) == (
        "web.lifecycle.preStop is absent: a pod ends while requests are still sent to it; set sleep.seconds: 5"
    )


def test_the_advice_ends_with_one_command_that_mends_every_risk() -> None:
    settings = Kubernetes(deployment="web", namespace="shop", mode="adopt")
    first, *_, command = advice(bad_deployment(), release().app, settings)
    assert "refused until it is mended" in first
    words = shlex.split(command)
    assert words[:-1] == ["kubectl", "-n", "shop", "patch", "deployment", "web", "--patch"]
    mended = merged([bad_deployment(), json.loads(words[-1])])
    assert list(advice(mended, release().app, settings)) == []


def test_what_was_repaired_has_no_risk_left_and_is_set_again_by_the_next_release() -> None:
    (_, body), *_ = adopted(release(), 9, bad_deployment(), ADOPTED)
    mended = applied(bad_deployment(), body)
    assert risks(mended, release().app, ADOPTED) == []
    assert any("readinessProbe" in str(patch) for patch in patches(mended, release().app, ADOPTED))


def test_a_probe_of_the_owner_is_left_alone() -> None:
    theirs = {"httpGet": {"path": "/theirs", "port": 1}}
    deployment = bad_deployment(readinessProbe=theirs)
    assert not any("readinessProbe" in str(patch) for patch in patches(deployment, release().app, ADOPTED))


def test_an_adopted_release_names_only_image_marks_and_repairs() -> None:
    settings = Kubernetes(deployment="web", namespace="shop", mode="adopt")
    ((path, body),) = adopted(release(settings), 9, bad_deployment(), settings)
    assert path == "/apis/apps/v1/namespaces/shop/deployments/web"
    assert body["spec"].keys() == {"template"}
    assert body["spec"]["template"]["spec"] == {"containers": [{"name": "web", "image": DIGEST}]}


def test_marks_say_the_release_and_managers_who_changed_it() -> None:
    (_, body), *_ = adopted(release(), 9, bad_deployment(), ADOPTED)
    ours = applied(bad_deployment(), body)
    assert shown(ours, "shop") == (7, 9) and marked(ours)["revision"] == "c0ffee"
    assert shown(ours, "other") is None
    assert is_ours(ours, "web")
    theirs = applied(bad_deployment(), body, manager="kubectl-rollout")
    assert not is_ours(theirs, "web")
    assert "by kubectl-rollout at 2026-01-01T00:00:00Z: it runs release 7 again" in changed_by(theirs, "shop")


def test_a_deployment_shows_a_release_only_with_its_image_and_its_marks() -> None:
    objects = adopted(release(), 9, bad_deployment(), ADOPTED)
    manifest = Manifest(app="shop", settings=ADOPTED, release=7, rollout=9, container="web", objects=objects)
    there = applied(bad_deployment(), objects[0][1])
    assert shows(manifest, there)
    there["spec"]["template"]["spec"]["containers"][0]["image"] = "web:latest"
    assert not shows(manifest, there)


def test_an_owned_app_is_service_budget_routes_and_a_deployment_that_loses_nothing() -> None:
    settings = Kubernetes(deployment="shop", namespace="shop", route="gateways/public", env_from=("secret/shop",))
    objects = owned(release(settings, hosts=("shop.example", "hue.example/shop")), 9, settings)
    assert [body["kind"] for _, body in objects] == [
        *("Service", "PodDisruptionBudget", "HTTPRoute", "HTTPRoute", "Deployment")
    ]
    assert objects[2][1]["spec"]["hostnames"] == ["shop.example"]
    assert objects[3][1]["spec"]["rules"][0]["matches"] == [{"path": {"type": "PathPrefix", "value": "/shop"}}]
    deployment = objects[-1][1]
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == DIGEST and container["envFrom"] == [{"secretRef": {"name": "shop"}}]
    assert risks(deployment, release(settings).app, settings) == []


def _pod(**status: Any) -> Json:
    owner = [{"uid": "rs"}]
    return {"metadata": {"name": "p", "ownerReferences": owner}, "status": {"containerStatuses": [status]}}


def _look(watcher: Watcher, pods: list[Json], now: float, *conditions: Json) -> Any:
    revision = {"deployment.kubernetes.io/revision": "2"}
    deployment = {
        "metadata": {"uid": "d", "generation": 2, "annotations": revision},
        "spec": {"replicas": 1},
        "status": {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "availableReplicas": 1},
    }
    owner = [{"uid": "d"}]
    newest = {
        "metadata": {"uid": "rs", "name": "rs", "ownerReferences": owner, "annotations": revision},
        "status": {"conditions": [*conditions]},
    }
    return watcher.look(deployment, [newest], pods, now)


@pytest.mark.parametrize(
    "reason", ["InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError", "RunContainerError"]
)
def test_a_state_that_never_passes_is_a_fault_at_once(reason: str) -> None:
    pod = _pod(name="web", state={"waiting": {"reason": reason, "message": "m"}})
    assert str(_look(Watcher(), [pod], 0.0).fault).startswith(f"pod p: {reason}: m")


def test_a_pull_that_fails_once_is_a_fault_only_after_twenty_seconds() -> None:
    watcher, pod = Watcher(), _pod(name="web", state={"waiting": {"reason": "ErrImagePull"}})
    assert [_look(watcher, [pod], now).fault is None for now in (0.0, 19.0, 21.0)] == [True, True, False]


def test_a_container_out_of_memory_is_a_fault_though_it_runs_again() -> None:
    pod = _pod(name="web", restartCount=1, state={"running": {}}, lastState={"terminated": {"reason": "OOMKilled"}})
    assert _look(Watcher(), [pod], 0.0).fault.reason == "OOMKilled"


def test_one_restart_is_none_and_two_are() -> None:
    one, two = (_pod(name="web", restartCount=n, state={"running": {}}) for n in (1, 2))
    assert _look(Watcher(), [one], 0.0).fault is None
    assert _look(Watcher(), [two], 0.0).fault.reason == "restarted 2 times"


def test_an_unschedulable_pod_is_a_fault_after_a_minute() -> None:
    pod = _pod(name="web")
    pod["status"]["conditions"] = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]
    watcher = Watcher()
    assert [_look(watcher, [pod], now).fault is None for now in (0.0, 59.0, 61.0)] == [True, True, False]


def test_a_quota_is_a_fault_though_there_is_no_pod() -> None:
    condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
    assert str(_look(Watcher(), [], 0.0, condition).fault) == "FailedCreate: exceeded quota"
