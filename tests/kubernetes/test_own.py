"""An app that Noren owns: its objects are made, checked through the Service, upgraded under load, and sent back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.daemon import Daemon
from tests.kubernetes.baseline import PARTS, loaded
from tests.kubernetes.cluster.files import REGISTRY
from tests.kubernetes.test_cluster import answer
from tests.kubernetes.upgraded import outcome, pushed
from tests.kubernetes.workload import Namespace, Object, namespace, node_port
from tests.proofs.claim import claim

SETTINGS = """
[server]
listen = ["127.0.0.1:{{port}}"]
[apps.site]
kind = "kubernetes"
image = "{registry}/{image}:latest"
hosts = ["site.example", "team.example/site"]
triggers.poll = "1s"
ready = {{ path = "/healthz", deadline = "30s" }}
verify.bake_time = "3s"
drain = {{ requests = "3s", grace = "3s" }}
env = {{ GREETING = "hello" }}
[apps.site.kubernetes]
namespace = "{image}"
pre_stop = "3s"
replicas = 2
checks = {checks}
env_from = ["secret/site"]
route = "gateways/public"
"""
# Enough of the Gateway API for routes to be kept; nothing acts on them here.
ROUTES: Object = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {
        "name": "httproutes.gateway.networking.k8s.io",
        "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
    },
    "spec": {
        "group": "gateway.networking.k8s.io",
        "names": {"kind": "HTTPRoute", "plural": "httproutes", "singular": "httproute"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                },
            }
        ],
    },
}


@contextmanager
def owned(name: str, folder: Path, checks: Sequence[str]) -> Iterator[tuple[Namespace, Daemon]]:
    """Noren with an app of its own, in a namespace that has what the app needs."""
    with namespace(name) as here:
        here.apply(ROUTES, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "site"}, "data": {}})
        here.kubectl("wait", "--for=condition=Established", f"crd/{ROUTES['metadata']['name']}")
        settings = SETTINGS.format(registry=REGISTRY, image=name, checks=json.dumps(checks))
        with Daemon(folder, settings) as noren:
            yield here, noren


@pytest.mark.timeout(240)
def test_an_own_app_is_made_checked_upgraded_and_sent_back(cluster: Path, tmp_path: Path) -> None:
    first = pushed("own", version="1", **PARTS)
    with owned("own", tmp_path, ["/healthz"]) as (here, noren):
        receipt = outcome(noren, first)
        assert receipt["outcome"] == "kept", receipt
        assert receipt["reason"] == "2 of 2 pods ready, 0 restarts, 1 check good in 3 s after the switch"
        made = here.get("deployment,service,poddisruptionbudget,httproute")["items"]
        kinds = [each["kind"] for each in made]
        assert sorted(kinds) == ["Deployment", "HTTPRoute", "HTTPRoute", "PodDisruptionBudget", "Service"]
        assert all("noren" in {each["manager"] for each in thing["metadata"]["managedFields"]} for thing in made)

        service = node_port("reached", 30070)
        service["spec"]["selector"] = {"noren.dev/app": "site"}
        here.apply(service)
        answer(30070)  # kube-proxy needs a moment to write its rules
        second = pushed("own", version="2", **PARTS)
        ledger = asyncio.run(loaded(30070, lambda: outcome(noren, second), 1, 3.0))
        assert outcome(noren, second)["outcome"] == "kept"
        assert not ledger.lost(), "\n".join(map(str, ledger.lost()[:20]))

        template = here.get("deployment/site")["spec"]["template"]
        receipt = outcome(noren, pushed("own", version="3", start="crash"))
        assert receipt["outcome"] == "rolled_back", receipt
        assert here.get("deployment/site")["spec"]["template"] == template
        assert len(here.get("deployment,service,poddisruptionbudget,httproute")["items"]) == len(made) + 1
        figures = f"{len(made)} objects made, an upgrade under {len(ledger.records):,} requests, 0 lost"
        claim("an app that Noren owns", figures)


@pytest.mark.timeout(240)
def test_an_own_app_that_answers_its_checks_badly_is_sent_back(cluster: Path, tmp_path: Path) -> None:
    good = pushed("checked", version="1")
    with owned("checked", tmp_path, ["/", "/healthz"]) as (here, noren):
        assert outcome(noren, good)["outcome"] == "kept"
        receipt = outcome(noren, pushed("checked", version="2", errors="1"))
        assert receipt["outcome"] == "rolled_back", receipt
        assert "/ through Service site answered 500" in receipt["reason"]
        answered = here.kubectl("get", "--raw", "/api/v1/namespaces/checked/services/site:80/proxy/")
        assert json.loads(answered)["version"] == "1"
