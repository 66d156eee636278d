"""Releases of apps in a cluster: rendered, tried with a dry run, found again, watched for what others change.

The Runner of kind kubernetes. An instance is a Deployment as one rollout of a release makes it; a start changes
nothing in the cluster, so what is given up before the switch was never seen there. Kubernetes runs the pods.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from noren.adapters.kubernetes.api import Json
from noren.adapters.kubernetes.clusters import Clusters, Place, cluster_of
from noren.adapters.kubernetes.fault import ApiFault
from noren.adapters.kubernetes.marks import changed_by, container_of, marked, shown
from noren.adapters.kubernetes.render import Objects, adopted, owned
from noren.adapters.kubernetes.repair import risks
from noren.adapters.kubernetes.saved import Manifest, Manifests
from noren.adapters.kubernetes.traffic import Target, Templates, still
from noren.core.errors import OutsideError, ReleaseError
from noren.core.model import App, Artifact, Exit, Found, Instance, Release
from noren.core.source import watches_image

Tag = Callable[[App, str, str], Awaitable[None]]


class Deployments:
    """The Runner of apps in a cluster."""

    def __init__(self, clusters: Clusters, manifests: Manifests, templates: Templates, tag: Tag) -> None:
        """``tag`` gives an image, by digest, a name in its registry that says the release."""
        self._clusters, self._manifests, self._templates, self._tag = clusters, manifests, templates, tag

    async def start(self, release: Release, instance: Instance) -> Instance:
        """Render and try without a change; raises ReleaseError when the API server finds it invalid, OutsideError
        when the Deployment is not as it must be. Again: no change.
        """
        app, settings = release.app, cluster_of(release.app)
        place = self._clusters.place(settings)
        deployment = await place.read()
        rollout = _rollout(instance)
        if settings.mode == "adopt":
            objects = adopted(release, rollout, _adoptable(app, deployment, place), settings)
        else:
            _check_owned(app, deployment, place)
            objects = owned(release, rollout, settings)
        await _try(place, release, objects)
        if not watches_image(app) and release.artifact.key != _FOUND:
            await self._tag(app, release.artifact.path, f"{release.number}-{release.revision[:7]}")
        container = container_of(objects[-1][1]["spec"]["template"], None)
        assert container is not None
        manifest = Manifest(
            app=app.name,
            settings=settings,
            release=release.number,
            rollout=rollout,
            container=container["name"],
            objects=objects,
        )
        self._manifests.write(instance.id, manifest)
        return replace(instance, address=f"{place.namespace}/{place.name}")

    async def adopt(self, instance: Instance) -> Instance | None:
        """The instance while it is known what it is: the cluster is asked when traffic is."""
        manifest = self._manifests.read(instance.id)
        if manifest is None:
            return None
        return replace(instance, address=f"{manifest.settings.namespace}/{manifest.settings.deployment}")

    async def exited(self, instance: Instance) -> Exit:
        """When somebody else changes the image or the release of the Deployment, or deletes it."""
        while True:
            waits = [self._templates.moved(instance.app)]
            target = self._templates.target(instance.app)
            if target is not None and target.instance == instance.id:
                waits.append(target.place.deployments.change(target.place.name))
                if target.settled.is_set() and (ended := _ended(instance, target)):
                    return ended
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()

    async def stop(self, instance: Instance, grace: float) -> None:
        """Forget what it was: its pods ended with the switch, and those of a release that serves go on."""
        self._manifests.remove(instance.id)

    async def found(self, app: App) -> Found | None:
        """The Deployment as it is: a release of ours by its marks, else what is to be adopted."""
        settings = cluster_of(app)
        place = self._clusters.place(settings)
        deployment = await place.deployment()
        if deployment is None:
            return None
        released = shown(deployment, app.name)
        if released is None and settings.mode != "adopt":
            return None
        release, rollout = released or (1, 0)
        container = container_of(deployment["spec"]["template"], settings.container)
        if container is None:
            return None
        instance = Instance(id=f"{app.name}-{release}-{rollout}-0", app=app.name, release=release, ordinal=0)
        manifest = Manifest(
            app=app.name,
            settings=settings,
            release=release,
            rollout=rollout,
            container=container["name"],
            template=deployment["spec"]["template"],
            applied=True,
        )
        self._manifests.write(instance.id, manifest)
        said = marked(deployment)
        return Found(
            instance=replace(instance, address=f"{place.namespace}/{place.name}"),
            rollout=rollout,
            revision=said.get("revision") or container["image"],
            settings=said.get("settings"),
            artifact=Artifact(key=_FOUND, path=container["image"], digest="", seconds=0.0),
        )


_FOUND = "found"  # the key of an artifact that Noren did not make


def _rollout(instance: Instance) -> int:
    """``shop-7-9-0``: instances are named by app, release, rollout and ordinal."""
    return int(instance.id.removeprefix(f"{instance.app}-").split("-")[1])


def _adoptable(app: App, deployment: Json | None, place: Place) -> Json:
    settings = cluster_of(app)
    if deployment is None:
        hint = "create it, or leave out `deployment`: then Noren makes one"
        raise OutsideError(f"there is no Deployment {place.name} in namespace {place.namespace}", hint=hint)
    if deployment["spec"].get("paused"):
        hint = f"kubectl -n {place.namespace} rollout resume deployment/{place.name}"
        raise OutsideError(f"the Deployment {place.name} is paused", hint=hint)
    template = deployment["spec"]["template"]
    if container_of(template, settings.container) is None:
        names = ", ".join(c["name"] for c in template["spec"]["containers"])
        raise OutsideError(f"the Deployment {place.name} has no container {settings.container}", seen=f"it has {names}")
    found = [] if settings.repair else risks(deployment, app, settings)
    if found:
        raise OutsideError(
            f"the Deployment {place.name} would lose requests in an upgrade",
            seen="; ".join(str(risk) for risk in found),
            hint="mend it, or set repair = true and Noren does",
        )
    return deployment


def _check_owned(app: App, deployment: Json | None, place: Place) -> None:
    if deployment is not None and shown(deployment, app.name) is None:
        raise OutsideError(
            f"the Deployment {place.name} in namespace {place.namespace} is not this app's",
            hint=f'adopt it with deployment = "{place.name}", or give the app another name',
        )


async def _try(place: Place, release: Release, objects: Objects) -> None:
    for path, body in objects:
        try:
            await place.api.apply(path, body, dry_run=True)
        except ApiFault as exc:
            if exc.status in (400, 422):
                what = f"{release.label} is not valid in the cluster: {body['kind']} {body['metadata']['name']}"
                raise ReleaseError(what, seen=exc.seen) from exc
            raise


def _ended(instance: Instance, target: Target) -> Exit | None:
    """How the Deployment differs from what was put there, None when it does not; each change is told once."""
    mirror, name = target.place.deployments, target.place.name
    if mirror.problem is not None or not mirror.listed.is_set():
        return None
    deployment = mirror.objects.get(name)
    if deployment is None:
        if not target.template:
            return None
        owned_by_us = target.manifest.settings.mode == "own"
        target.template = {}
        return Exit(instance=instance.id, code=None, what=f"lost its Deployment {name}", respected=not owned_by_us)
    behind = deployment["metadata"]["generation"] < target.generation
    if behind or still(target, deployment):
        return None
    target.see(deployment)
    return Exit(
        instance=instance.id, code=None, what=f"was changed {changed_by(deployment, instance.app)}", respected=True
    )
