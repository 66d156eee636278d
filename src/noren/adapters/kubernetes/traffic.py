"""Moves traffic in a cluster: the pod template of a Deployment decides, so it is patched and its pods are watched.

The Proxy of kind kubernetes. ``apply`` says what shall be there and goes on trying while the API server is away;
``confirm`` waits until the new pods are all there is, or says what is wrong with them long before Kubernetes would.
What somebody else put there is left alone until the next release.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from noren.adapters.kubernetes.clusters import Clusters, Place
from noren.adapters.kubernetes.evidence import explained
from noren.adapters.kubernetes.fault import ApiFault
from noren.adapters.kubernetes.fields import Json, selector
from noren.adapters.kubernetes.marks import changed_by, container_of, is_ours, shown
from noren.adapters.kubernetes.mirror import Mirror
from noren.adapters.kubernetes.saved import Manifest, Manifests
from noren.adapters.kubernetes.standing import Fault, Standing, Watcher
from noren.core.errors import ReleaseError, TrafficError
from noren.core.model import App, Routing
from noren.core.traffic import Observation, Sample

_AWAY_SECONDS = 600.0  # for which a rollout waits for an API server that does not answer
_TICK = 1.0  # seconds between looks when nothing changes: some states are faults only after a while
_FIRST_PAUSE, _LAST_PAUSE = 0.5, 5.0


@dataclass(slots=True)
class Target:
    """What shall be on a Deployment, and what was seen there: ``template`` as the API server completed it."""

    instance: str
    manifest: Manifest
    place: Place
    template: Json = field(default_factory=dict[str, object])
    generation: int = 0
    respected: str = ""
    problem: ApiFault | None = None
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    trying: asyncio.Task[None] | None = None

    def see(self, deployment: Json) -> None:
        """This is what it looks like from now on."""
        self.template, self.generation = deployment["spec"]["template"], deployment["metadata"]["generation"]
        self.settled.set()


class Templates:
    """The Proxy of apps in a cluster."""

    def __init__(self, clusters: Clusters, manifests: Manifests) -> None:
        self._clusters = clusters
        self._manifests = manifests
        self._targets: dict[str, Target] = {}
        self._moves: dict[str, list[asyncio.Future[None]]] = {}

    def target(self, app: str) -> Target | None:
        """What shall be on its Deployment now."""
        return self._targets.get(app)

    def moved(self, app: str) -> asyncio.Future[None]:
        """Done when that is another one; ask before you look."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._moves.setdefault(app, []).append(future)
        return future

    async def apply(self, routing: Routing) -> None:
        """Make the Deployment show the active release; raises TrafficError when the API server refuses for good.

        While it does not answer, it is tried again until another release shall be there. Again: no change.
        """
        backend = next((b for b in routing.backends if b.name == routing.active), None)
        server = next((s for s in backend.servers if not s.backup), None) if backend else None
        if server is None:
            return
        known = self._targets.get(routing.app)
        if known is not None and known.instance == server.instance:
            return
        manifest = self._manifests.read(server.instance)
        if manifest is None:
            raise TrafficError(f"what {server.instance} is in its cluster is not known", hint="noren restart APP")
        await self._aim(routing.app, Target(server.instance, manifest, self._clusters.place(manifest.settings)))

    async def confirm(self, app: App, release: int, times: int) -> None:
        """Until every pod is of the release; raises ReleaseError with the cause when its pods fail, TrafficError
        when the API server was away for too long. ``times`` does not matter: Kubernetes counts for us.
        """
        target = self._targets[app.name]
        try:
            async with asyncio.timeout(_AWAY_SECONDS):
                await target.settled.wait()
        except TimeoutError as exc:
            raise TrafficError("the Deployment could not be changed", seen=str(target.problem)) from exc
        if not target.respected:
            await self._rolled_out(app, target)

    async def drain(self, app: str, instances: Sequence[str], *, requests: float, connections: float) -> int:
        """Nothing: the pods of an old release have ended by their own preStop and grace."""
        return 0

    async def observe(self, app: str) -> Observation | None:
        """None: the cluster carries the traffic and counts nothing for us."""
        return None

    def samples(self, app: str, since: float) -> Sequence[Sample]:
        """None, as with ``observe``."""
        return ()

    async def _aim(self, app: str, target: Target) -> None:
        before = self._targets.get(app)
        if before is not None and before.trying is not None:
            before.trying.cancel()
        self._targets[app] = target
        for future in self._moves.pop(app, []):
            if not future.done():
                future.set_result(None)
        try:
            await self._reach(target)
        except ApiFault as exc:
            target.problem = exc
            if not exc.passing:
                del self._targets[app]
                raise TrafficError(exc.what, seen=exc.seen, hint=exc.hint) from exc
            target.trying = asyncio.create_task(self._go_on(target), name=f"reach {target.instance}")

    async def _go_on(self, target: Target) -> None:
        pause = _FIRST_PAUSE
        while True:
            await asyncio.sleep(pause)
            try:
                return await self._reach(target)
            except ApiFault as exc:
                target.problem = exc
                pause = min(_LAST_PAUSE, pause * 2)

    async def _reach(self, target: Target) -> None:
        place, manifest = target.place, target.manifest
        seen = place.deployments.objects.get(place.name)
        if seen is None or not shows(manifest, seen):
            seen = await place.read()
        if seen is not None and shows(manifest, seen):
            self._applied(target)
        elif seen is not None and manifest.applied and not is_ours(seen, manifest.container):
            target.respected = changed_by(seen, manifest.app)
        else:
            seen = await _write(place, manifest, seen)
            self._applied(target)
        target.see(seen)

    def _applied(self, target: Target) -> None:
        if not target.manifest.applied:
            target.manifest = replace(target.manifest, applied=True)
            self._manifests.write(target.instance, target.manifest)

    async def _rolled_out(self, app: App, target: Target) -> None:
        place = target.place
        labels = selector(await place.deployment() or Json())
        async with (
            Mirror(place.api, place.apps("replicasets"), labelSelector=labels) as sets,
            Mirror(place.api, place.core("pods"), labelSelector=labels) as pods,
        ):
            await _Rollout(app, target, sets, pods).watch()


class _Rollout:
    """One look after the other at the pods of a target."""

    def __init__(self, app: App, target: Target, sets: Mirror, pods: Mirror) -> None:
        self._app, self._target = app, target
        self._sets, self._pods = sets, pods
        self._watcher = Watcher()
        self._progress: tuple[int, ...] = ()
        self._since = self._answered = time.monotonic()

    async def watch(self) -> None:
        """Until done; raises ReleaseError or TrafficError."""
        place = self._target.place
        while True:
            changes = [self._sets.change(None), self._pods.change(None), place.deployments.change(place.name)]
            if await self._done():
                return
            await asyncio.wait(changes, timeout=_TICK, return_when=asyncio.FIRST_COMPLETED)
            for change in changes:
                change.cancel()

    async def _done(self) -> bool:
        now = time.monotonic()
        if self._away(now):
            return False
        place, target = self._target.place, self._target
        deployment = place.deployments.objects.get(place.name)
        if deployment is None:
            raise ReleaseError(f"the Deployment {place.name} was deleted meanwhile")
        if deployment["metadata"]["generation"] < target.generation:
            return False
        if not still(target, deployment):
            raise ReleaseError(
                f"the Deployment {place.name} was changed meanwhile {changed_by(deployment, self._app.name)}"
            )
        standing = self._watcher.look(deployment, [*self._sets.objects.values()], [*self._pods.objects.values()], now)
        if standing.fault is not None:
            raise ReleaseError(await explained(place, standing.fault))
        await self._in_time(standing, now)
        return standing.done

    def _away(self, now: float) -> bool:
        """Whether what we see is old; raises TrafficError when that lasts. No time counts meanwhile."""
        mirrors = (self._sets, self._pods, self._target.place.deployments)
        problem = next((m.problem for m in mirrors if m.problem or not m.listed.is_set()), None)
        if problem is None and all(m.listed.is_set() for m in mirrors):
            self._answered = now
            return False
        self._since = now
        if now - self._answered > _AWAY_SECONDS:
            raise TrafficError("the API server did not answer for too long", seen=str(problem))
        return True

    async def _in_time(self, standing: Standing, now: float) -> None:
        if standing.progress != self._progress:
            self._progress, self._since = standing.progress, now
        deadline = self._app.ready.deadline + self._app.min_ready
        if not standing.done and now - self._since > deadline:
            fault = Fault(reason=f"no pod came further within {deadline:g} s ({standing})", pod=standing.waiting)
            raise ReleaseError(await explained(self._target.place, fault))


def shows(manifest: Manifest, deployment: Json) -> bool:
    """Whether the Deployment is what the manifest makes of it."""
    if manifest.template is not None:
        return deployment["spec"]["template"] == manifest.template
    wanted = container_of(manifest.objects[-1][1]["spec"]["template"], manifest.container)
    there = container_of(deployment["spec"]["template"], manifest.container)
    same = wanted is not None and there is not None and wanted["image"] == there["image"]
    return same and shown(deployment, manifest.app) == (manifest.release, manifest.rollout)


def still(target: Target, deployment: Json) -> bool:
    """Whether nobody has put another image or release there; edits of other fields are their owners' business."""
    return deployment["spec"]["template"] == target.template or shows(target.manifest, deployment)


async def _write(place: Place, manifest: Manifest, seen: Json | None) -> Json:
    """What the Deployment is afterwards."""
    if manifest.template is None:
        answers = [await place.api.apply(path, body) for path, body in manifest.objects]
        return answers[-1]
    if seen is None:
        raise ApiFault(f"the Deployment {place.name} is gone, and with it what {manifest.app} was", 404)
    version = seen["metadata"]["resourceVersion"]
    test: Json = {"op": "test", "path": "/metadata/resourceVersion", "value": version}
    try:
        return await place.api.patch(
            place.path, [test, {"op": "replace", "path": "/spec/template", "value": manifest.template}]
        )
    except ApiFault as exc:
        if exc.status != 422:
            raise
        # A test that fails: it changed since it was read, by the pods' status or by this patch, whose answer was lost.
        raise ApiFault(f"the Deployment {place.name} changed meanwhile", 409, seen=exc.seen) from exc
