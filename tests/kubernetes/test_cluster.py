"""The cluster is one: pods run, their Service is reached at the node's port, an image that is not there is not run."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.kubernetes import site_image
from tests.kubernetes.workload import deployment, namespace, node_port, ready


def answer(port: int, *, within: float = 30) -> dict[str, str]:
    """What the app says; kube-proxy may need a moment after a pod is ready."""
    deadline = time.monotonic() + within
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2) as response:
                return json.load(response)
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def test_an_image_that_was_pushed_runs_and_answers_at_the_port_of_the_node(cluster: Path) -> None:
    asyncio.run(site_image.push("site", "one", version="1"))
    with namespace("first") as here:
        here.apply(deployment("site", "site:one", readinessProbe=ready()), node_port("site", 30001))
        here.rolled_out("site")
        said = answer(30001)
        pod = here.get("pods")["items"][0]["metadata"]["name"]
    assert (said["version"], said["pod"]) == ("1", pod)
