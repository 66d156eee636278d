"""Noren beside the cluster, following a tag: what the tests of adopting, failing and faults have in common.

Used by the tests of this folder; runs in the network of the cluster.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.daemon import Daemon
from tests.kubernetes import site_image
from tests.kubernetes.cluster.files import REGISTRY
from tests.kubernetes.workload import Namespace, deployment, namespace, node_port

SETTINGS = """
[server]
listen = ["127.0.0.1:{{port}}"]
[apps.site]
image = "{registry}/{image}:latest"
triggers.poll = "1s"
ready = {{ path = "/healthz", deadline = "20s" }}
verify.bake_time = "3s"
drain = {{ requests = "3s", grace = "3s" }}
[apps.site.kubernetes]
namespace = "{namespace}"
deployment = "site"
pre_stop = "3s"
{more}
"""


def pushed(image: str, **behaviour: object) -> str:
    """A new image behind the tag ``latest``; its digest without ``sha256:``."""
    return asyncio.run(site_image.push(image, "latest", **behaviour)).removeprefix("sha256:")


@contextmanager
def badly_configured(name: str, port: int, *, replicas: int = 1) -> Iterator[Namespace]:
    """A Deployment of ``<name>:latest`` as teams write it: no probe, no preStop, 25 % may be missing."""
    pushed(name, version="0")
    with namespace(name) as here:
        here.apply(
            deployment("site", f"{name}:latest", spec={"replicas": replicas}, imagePullPolicy="Always"),
            node_port("site", port),
        )
        here.rolled_out("site")
        yield here


@contextmanager
def upgraded(
    folder: Path, here: Namespace, *, more: str = "repair = true", port: int | None = None
) -> Iterator[Daemon]:
    """Noren, which has adopted the Deployment of ``here``."""
    text = SETTINGS.format(registry=REGISTRY, image=here.name, namespace=here.name, more=more)
    with Daemon(folder, text, port=port) as noren:
        yield noren


def outcome(noren: Daemon, revision: str, *, within: float = 90) -> dict[str, Any]:
    """The receipt of the rollout of this revision, once it is over."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        for release in noren.client.releases("site"):
            if release["revision"] == revision and release["outcome"] is not None:
                return next(r for r in receipts(noren) if r["revision"] == revision)
        time.sleep(0.1)
    raise AssertionError(f"{revision[:12]} has no outcome: {noren.output.read_text()[-3000:]}")


def receipts(noren: Daemon) -> list[dict[str, Any]]:
    """All, newest first."""
    newest = noren.client.receipt("site", None)
    return [noren.client.receipt("site", number) for number in range(newest["rollout"], 0, -1)]
