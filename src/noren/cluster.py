"""Brings together what apps in a cluster need: connections, images, and the ports of their kind.

Called by daemon.py, and only when an app of this kind is set, or left the settings and serves on: connections and
images need ``lightkube``, which the extra ``noren[kubernetes]`` brings, and take memory that nobody else shall pay for.
``noren check`` asks for advice.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from noren.adapters.builder import Builds
from noren.adapters.git import Git
from noren.core.errors import HostError, OutsideError
from noren.core.model import App, Kind

if TYPE_CHECKING:
    from noren.adapters.kubernetes import Clusters
    from noren.engine.ports import Builder, Probes, Proxy, Runner, Source


_PATIENCE = 5.0  # seconds for a cluster that is only asked for advice
_UNSEEN = (
    "What cannot be seen from here: after SIGTERM an app must go on answering for a second or two, with",
    "Connection: close. One that exits at once cuts what comes over connections that clients keep to its Service.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The ports of apps in a cluster; ``source`` and ``builder`` serve all apps."""

    source: Source
    builder: Builder
    runner: Runner
    probes: Probes
    proxy: Proxy


def needed(apps: Iterable[App]) -> bool:
    """Whether any app is in a cluster; raises HostError when what that needs is not installed."""
    found = [app.name for app in apps if app.kind is Kind.KUBERNETES]
    if found and importlib.util.find_spec("lightkube") is None:
        seen, hint = f"in a cluster: {', '.join(found)}", "pip install 'noren[kubernetes]'"
        raise HostError("apps of kind kubernetes need lightkube", seen=seen, hint=hint)
    return bool(found)


async def advice(apps: Iterable[App]) -> list[str]:
    """What would lose requests in the Deployments that are adopted, and the fix, as lines. Changes nothing."""
    here = [app for app in apps if app.kind is Kind.KUBERNETES]
    if not here:
        return []
    from noren.adapters.kubernetes import Clusters

    async with Clusters() as clusters:
        told = await asyncio.gather(*(_advised(clusters, app) for app in here))
    return [line for lines in told for line in lines] + list(_UNSEEN)


async def _advised(clusters: Clusters, app: App) -> list[str]:
    from noren.adapters.kubernetes.clusters import cluster_of
    from noren.adapters.kubernetes.repair import advice

    settings = cluster_of(app)
    if settings.mode != "adopt":
        return []
    try:
        async with asyncio.timeout(_PATIENCE):
            deployment = await clusters.place(settings).read()
    except TimeoutError:
        return [f"{app.name}: its cluster did not answer within {_PATIENCE:g} s and was not examined"]
    except OutsideError as exc:
        return [f"{app.name}: its cluster was not examined: " + " ".join(f"{exc.what}: {exc.seen}".split())]
    if deployment is None:
        return [f"{app.name}: there is no Deployment {settings.deployment} in namespace {settings.namespace}"]
    return list(advice(deployment, app, settings))


async def connect(stack: AsyncExitStack, state: Path, git: Git, builds: Builds) -> Cluster:
    """Everything, ended with the stack; nothing connects before an app asks."""
    from noren.adapters.images.builder import Images
    from noren.adapters.images.reference import Reference
    from noren.adapters.images.registry import Registries
    from noren.adapters.images.source import TagSource
    from noren.adapters.kubernetes import Clusters, Deployments, PodProbes, Templates
    from noren.adapters.kubernetes.clusters import cluster_of
    from noren.adapters.kubernetes.saved import Manifests
    from noren.adapters.origin import Artifacts, Origin

    registries = Registries()
    stack.push_async_callback(registries.close)
    clusters = await stack.enter_async_context(Clusters())
    manifests = Manifests(state)
    templates = Templates(clusters, manifests)

    async def tag(app: App, image: str, name: str) -> None:
        await registries.of(cluster_of(app).registry_auth_file).tag(Reference.parse(image), name)

    return Cluster(
        source=Origin(git, TagSource(registries)),
        builder=Artifacts(builds, Images(state, builds, registries)),
        runner=Deployments(clusters, manifests, templates, tag),
        probes=PodProbes(templates),
        proxy=templates,
    )
