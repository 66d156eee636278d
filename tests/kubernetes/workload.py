"""What a team has in its cluster, as objects, and kubectl to bring it there, all in a namespace of its own.

Used by the tests of this folder; runs in the network of the cluster.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.kubernetes.cluster.files import REGISTRY

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Namespace:
    """One namespace of the cluster."""

    name: str

    def kubectl(self, *words: str, given: str | None = None) -> str:
        """Its output; raises AssertionError with what it said when it fails."""
        done = subprocess.run(
            ["kubectl", f"--namespace={self.name}", *words], input=given, capture_output=True, text=True, timeout=180
        )
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stderr}"
        return done.stdout

    def apply(self, *objects: Object) -> None:
        """Server-side, as a team's pipeline does it."""
        given = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        self.kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", given=given)

    def get(self, what: str) -> Object:
        """An object, or a list of them, and who manages their fields."""
        return json.loads(self.kubectl("get", what, "--output=json", "--show-managed-fields"))

    def edit(self, what: str, program: str) -> None:
        """kubectl edit, with sed for the editor."""
        env = {**os.environ, "KUBE_EDITOR": f"sed -i -e '{program}'"}
        argv = ["kubectl", f"--namespace={self.name}", "edit", what]
        subprocess.run(argv, env=env, check=True, capture_output=True, timeout=60)

    def rolled_out(self, deployment: str, *, within: float = 120) -> None:
        """Wait until kubectl says that it is."""
        self.kubectl("rollout", "status", f"deployment/{deployment}", f"--timeout={within:g}s")


@contextmanager
def namespace(name: str) -> Iterator[Namespace]:
    """A new namespace; deleted, without waiting, when the block ends."""
    subprocess.run(["kubectl", "create", "namespace", name], check=True, capture_output=True, timeout=60)
    try:
        yield Namespace(name)
    finally:
        subprocess.run(["kubectl", "delete", "namespace", name, "--wait=false"], capture_output=True, timeout=60)


def deployment(
    name: str, image: str, *, spec: Mapping[str, Any] = {}, pod: Mapping[str, Any] = {}, **container: Any
) -> Object:
    """One replica, as many a team writes it; ``spec``, ``pod`` and ``container`` add to it or replace."""
    labels = {"app": name}
    whole = {"name": name, "image": f"{REGISTRY}/{image}", "ports": [{"containerPort": 8080}], **container}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [whole], **pod}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template, **spec},
    }


def node_port(name: str, port: int) -> Object:
    """A Service that is reached at this port of the node."""
    ports = [{"port": 80, "targetPort": 8080, "nodePort": port}]
    spec = {"type": "NodePort", "selector": {"app": name}, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def ready(path: str = "/healthz", period: int = 1) -> Object:
    """A probe of the web app."""
    return {"httpGet": {"path": path, "port": 8080}, "periodSeconds": period}
