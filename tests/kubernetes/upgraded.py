"""Noren beside the cluster, following a tag or commits: what the tests of adopting, failing and faults have in common.

Used by the tests of this folder; runs in the network of the cluster.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from tests.daemon import Daemon, Repository
from tests.kubernetes import site_image
from tests.kubernetes.cluster.files import REGISTRY
from tests.kubernetes.workload import Namespace, deployment, namespace, node_port

SETTINGS = """
[server]
listen = ["127.0.0.1:{{port}}"]
[apps.site]
{source}
triggers.poll = "{poll:g}s"
ready = {{ path = "/healthz", deadline = "{deadline:g}s" }}
verify.bake_time = "3s"
drain = {{ requests = "3s", grace = "3s" }}
[apps.site.kubernetes]
namespace = "{namespace}"
deployment = "site"
pre_stop = "3s"
{more}
"""
TAG = 'image = "{registry}/{image}:latest"'
COMMITS = """image = "{registry}/{image}"
repo = "{repository}"
build = "cp behaviour.json $NOREN_OUTPUT/"
"""
# The layer of a commit lies beside what the image says of itself: it hides the folder that it is laid on.
ON_TOP = """base_image = "{registry}/{image}:latest"
base_path = "/told"
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
    folder: Path, here: Namespace, *, more: str = "repair = true", poll: float = 1.0, deadline: float = 20.0
) -> Iterator[Daemon]:
    """Noren, which has adopted the Deployment of ``here``."""
    source = TAG.format(registry=REGISTRY, image=here.name)
    text = SETTINGS.format(source=source, namespace=here.name, more=more, poll=poll, deadline=deadline)
    with Daemon(folder, text) as noren:
        yield noren


@dataclass(frozen=True, slots=True)
class Committed:
    """Noren, and the repository that it makes images of."""

    noren: Daemon
    repository: Repository
    _versions: Iterator[int] = field(default_factory=count)

    def commit(self, **behaviour: str) -> str:
        """A new version of the app; the revision."""
        told = {"version": f"commit {next(self._versions)}", **behaviour}
        return self.repository.commit({"behaviour.json": json.dumps(told)})

    def upgrade(self) -> None:
        """Commit, and wait until that is kept."""
        receipt = outcome(self.noren, self.commit())
        assert receipt["outcome"] == "kept", receipt


@contextmanager
def committed(folder: Path, here: Namespace, *, more: str = "repair = true") -> Iterator[Committed]:
    """The same, with images made from commits."""
    repository = Repository(folder / "repository")
    names = {"registry": REGISTRY, "image": here.name, "repository": repository.path}
    more = f"{more}\n{ON_TOP.format(**names)}"
    text = SETTINGS.format(source=COMMITS.format(**names), namespace=here.name, more=more, poll=1.0, deadline=20.0)
    with Daemon(folder, text) as noren:
        yield Committed(noren, repository)


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
