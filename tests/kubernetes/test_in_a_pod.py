"""Noren in a pod of the cluster, as deploy/kubernetes makes it: it upgrades, and ends what it began when replaced.

Its image is a stand-in: nothing but folders of this machine. The objects, rights and service account are the real ones.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from noren.api.client import Client
from noren.core.errors import NotRunningError
from tests.daemon import free_port
from tests.kubernetes import site_image
from tests.kubernetes.cluster.files import REGISTRY
from tests.kubernetes.upgraded import SETTINGS, TAG, badly_configured, pushed
from tests.kubernetes.workload import Namespace, Object
from tests.proofs.claim import claim

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy" / "kubernetes"
FOLDERS = (*map(Path, ("/usr", "/lib", "/lib64", "/bin")), Path(sys.base_prefix), Path(sys.prefix), ROOT)
NOBODY = 999  # as deploy/kubernetes/noren.yaml has it


@contextmanager
def deployed(here: Namespace, folder: Path) -> Iterator[Client]:
    """Noren in the namespace of its app; its volume is a folder, through which it is asked."""
    volume = folder / "volume"
    volume.mkdir()
    shutil.chown(volume, NOBODY, NOBODY)
    for parent in volume.parents:
        if parent.is_relative_to("/tmp/"):
            parent.chmod(0o755)
    write(folder / "deploy", here.name)
    here.apply(persistent(here.name, volume))
    here.kubectl("apply", "--kustomize", str(folder / "deploy"))
    here.rolled_out("noren")
    yield Client(volume / "state" / "noren.sock", by="test")


def write(folder: Path, name: str) -> None:
    """A copy of deploy/kubernetes with what a team changes in it, and the stand-in."""
    shutil.copytree(DEPLOY, folder)
    kustomization = folder / "kustomization.yaml"
    text = kustomization.read_text().replace("namespace: default", f"namespace: {name}")
    kustomization.write_text(f"{text}patches: {json.dumps([{'patch': json.dumps(stand_in())}])}\n")
    source = TAG.format(registry=REGISTRY, image=name)
    settings = SETTINGS.format(source=source, namespace=name, more="repair = true", poll=1.0, deadline=20.0)
    settings = settings.replace("[server]\n", '[server]\nstate = "/var/lib/noren/state"\n')
    (folder / "noren.toml").write_text(settings.replace("{port}", str(free_port())))


def stand_in() -> Object:
    """What differs from a cluster of a team: where the image comes from, and a registry on the node's loopback."""
    names = [f"folder-{number}" for number in range(len(FOLDERS))]
    mounts = [{"name": n, "mountPath": str(f), "readOnly": True} for n, f in zip(names, FOLDERS, strict=True)]
    volumes = [{"name": n, "hostPath": {"path": str(f.resolve())}} for n, f in zip(names, FOLDERS, strict=True)]
    container: dict[str, Any] = {
        "name": "noren",
        "image": f"{REGISTRY}/noren:latest",
        "command": [sys.executable, "-m", "noren.daemon", "/etc/noren/noren.toml"],
        "env": [{"name": "PATH", "value": "/usr/bin:/bin"}, {"name": "HOME", "value": "/tmp"}],
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, *mounts],
    }
    pod = {"hostNetwork": True, "containers": [container], "volumes": [{"name": "tmp", "emptyDir": {}}, *volumes]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "noren"},
        "spec": {"template": {"spec": pod}},
    }


def persistent(name: str, folder: Path) -> Object:
    """A volume for the claim, which belongs to no class here."""
    claimed = {"namespace": name, "name": "noren"}
    spec = {"capacity": {"storage": "2Gi"}, "accessModes": ["ReadWriteOnce"], "claimRef": claimed}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {**spec, "hostPath": {"path": str(folder)}},
    }


def kept(client: Client, revision: str, *, within: float = 90) -> dict[str, Any]:
    """Its line of releases, once it is kept; the daemon may be away meanwhile."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            for release in client.releases("site"):
                if (release["revision"], release["outcome"]) == (revision, "kept"):
                    return release
        except NotRunningError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"{revision[:12]} is not kept")


@pytest.mark.timeout(240)
def test_noren_in_a_pod_upgrades_and_is_itself_replaced_amid_a_rollout(cluster: Path, tmp_path: Path) -> None:
    asyncio.run(site_image.push("noren", "latest"))
    with badly_configured("inside", 30083) as here, deployed(here, tmp_path) as client:
        kept(client, pushed("inside", version="1"))
        revision = pushed("inside", version="2", start_after=4)
        image = "{.spec.template.spec.containers[0].image}"
        until = time.monotonic() + 30
        while not here.kubectl("get", "deployment/site", f"--output=jsonpath={image}").endswith(revision):
            assert time.monotonic() < until
            time.sleep(0.1)
        here.kubectl("rollout", "restart", "deployment/noren")
        began = time.monotonic()
        kept(client, revision)
        claim("Noren in a pod, replaced amid a rollout", f"kept {time.monotonic() - began:.1f} s after")
