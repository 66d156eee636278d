"""Asks how the pods of an app are: the Probes of kind kubernetes.

Before the switch there is nothing to ask, for nothing in the cluster has changed. During the bake time it looks at
the pods and asks the app's own ``checks`` through its Service, by way of the API server, so that inside and outside
of the cluster are the same.
"""

from __future__ import annotations

import asyncio
import time

from noren.adapters.kubernetes.clusters import Place, cluster_of
from noren.adapters.kubernetes.evidence import explained
from noren.adapters.kubernetes.fault import ApiFault
from noren.adapters.kubernetes.fields import Json, items, selector
from noren.adapters.kubernetes.marks import changed_by
from noren.adapters.kubernetes.standing import Standing, Watcher
from noren.adapters.kubernetes.traffic import Target, Templates, still
from noren.core.model import App, Instance, ProbeAnswer, Ready

_PAUSE = 1.0  # seconds until an API server that does not answer is asked again


class PodProbes:
    """The Probes of apps in a cluster."""

    def __init__(self, templates: Templates) -> None:
        self._templates = templates

    async def probe(self, app: App, instance: Instance, ready: Ready) -> ProbeAnswer:
        """How its pods are now; while the API server is away there is no answer, so that no verdict is made."""
        target = self._templates.target(app.name)
        url = f"kubernetes:{instance.address}"
        if target is None or target.instance != instance.id:
            return ProbeAnswer(ok=True, url=url, judged="accepted by the API server")
        while True:
            try:
                return await self._asked(app, target, url)
            except ApiFault:
                await asyncio.sleep(_PAUSE)

    async def _asked(self, app: App, target: Target, url: str) -> ProbeAnswer:
        place = target.place
        deployment = await place.deployment()
        if place.deployments.problem is not None:
            raise place.deployments.problem
        if deployment is None:
            return ProbeAnswer(ok=False, url=url, problem="the Deployment was deleted")
        if not still(target, deployment):
            return ProbeAnswer(ok=False, url=url, problem=f"was changed {changed_by(deployment, app.name)}")
        standing = await _standing(place, deployment)
        if standing.fault is not None:
            return ProbeAnswer(ok=False, url=url, problem=await explained(place, standing.fault), judged=str(standing))
        if standing.ready < standing.wanted:
            return ProbeAnswer(ok=False, url=url, problem=f"only {standing}", judged=str(standing))
        return await _checked(app, place, url, str(standing))


async def _standing(place: Place, deployment: Json) -> Standing:
    labels = selector(deployment)
    sets = await place.api.get(place.apps("replicasets"), labelSelector=labels)
    pods = await place.api.get(place.core("pods"), labelSelector=labels)
    return Watcher().look(deployment, sets["items"], pods["items"], time.monotonic())


async def _checked(app: App, place: Place, url: str, judged: str) -> ProbeAnswer:
    settings = cluster_of(app)
    service = settings.service or settings.deployment
    for path in settings.checks:
        try:
            await place.api.text(f"{await _proxied(place, service)}{path}")
        except ApiFault as exc:
            if exc.status in (0, 401, 403, 429):
                raise
            return ProbeAnswer(
                ok=False, url=url, status=exc.status, body=exc.seen[:200], judged=judged,
                problem=f"{path} through Service {service} answered {exc.status}",
            )  # fmt: skip
    number = len(settings.checks)
    checks = f", {number} check{'' if number == 1 else 's'} good" if number else ""
    return ProbeAnswer(ok=True, url=url, judged=judged + checks)


async def _proxied(place: Place, service: str) -> str:
    """Where the API server passes requests on. Without a port it finds no endpoint where the port has a name."""
    found = await place.api.get(f"{place.core('services')}/{service}")
    ports = items(found, "spec", "ports")
    port = f":{ports[0]['port']}" if ports else ""
    return f"{place.core('services')}/{service}{port}/proxy"
