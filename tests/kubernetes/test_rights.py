"""What Noren may do in a cluster is what ``rights.txt`` says, line for line, and it ends at its namespace."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.kubernetes.workload import Namespace, namespace

DEPLOY = Path(__file__).parents[2] / "deploy" / "kubernetes"
GOLDEN = Path(__file__).parent / "rights.txt"


def deployed(here: Namespace, folder: Path) -> str:
    """Apply deploy/kubernetes in this namespace; the name of its service account, as the API server calls it."""
    shutil.copytree(DEPLOY, folder)
    written = folder / "kustomization.yaml"
    written.write_text(written.read_text().replace("namespace: default", f"namespace: {here.name}"))
    here.kubectl("apply", "--kustomize", str(folder))
    return f"--as=system:serviceaccount:{here.name}:noren"


def may(here: Namespace, account: str, *words: str) -> bool:
    """Ask the API server; kubectl ends with 1 for no."""
    argv = ["kubectl", f"--namespace={here.name}", "auth", "can-i", account, *words]
    return subprocess.run(argv, capture_output=True, timeout=60).stdout.strip() == b"yes"


def test_the_rights_of_the_service_account_are_the_golden_file(cluster: Path, tmp_path: Path) -> None:
    with namespace("rights") as here:
        account = deployed(here, tmp_path / "deploy")
        listed = here.kubectl("auth", "can-i", "--list", account)
        told = sorted(" ".join(line.split()) for line in listed.splitlines()[1:])
        assert told == GOLDEN.read_text().splitlines()


@pytest.mark.parametrize(
    "words", [("list", "secrets"), ("get", "secrets"), ("delete", "pods"), ("create", "pods/exec")]
)
def test_what_is_not_needed_is_not_allowed(cluster: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    with namespace(f"denied-{words[0]}-{words[1].replace('/', '-')}") as here:
        account = deployed(here, tmp_path / "deploy")
        assert may(here, account, "patch", "deployments.apps")
        assert not may(here, account, *words)
        assert not may(Namespace("kube-system"), account, "get", "deployments.apps")


def test_the_objects_are_such_as_the_cluster_takes_and_one_noren_at_a_time(cluster: Path, tmp_path: Path) -> None:
    with namespace("deployed") as here:
        deployed(here, tmp_path / "deploy")
        spec = here.get("deployment/noren")["spec"]
        assert (spec["replicas"], spec["strategy"]["type"]) == (1, "Recreate")
        names = {volume["name"] for volume in spec["template"]["spec"]["volumes"]}
        assert names == {"state", "settings"} and here.get("persistentvolumeclaim/noren")
