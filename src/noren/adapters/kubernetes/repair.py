"""What in an adopted Deployment would lose requests during an upgrade, and the fix.

Pure: ``noren check`` tells the ``advice``, the runner refuses a Deployment that has some or, with ``repair``, lays
the fixes into what it applies. Endpoints are taken out while SIGTERM is on its way, so zero loss needs all of it:
no pod less at any time, no traffic before ready, serving on until taken out, and time to end.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from noren.adapters.kubernetes.fields import Json, items, merged, table
from noren.adapters.kubernetes.marks import POD, container_of, in_container, owns
from noren.core.model import App, Kubernetes


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """``field`` as kubectl explains it, what was seen, why it loses requests, and the value that mends it."""

    field: str
    seen: str
    why: str
    fix: str

    def __str__(self) -> str:
        return f"{self.field} is {self.seen}: {self.why}; set {self.fix}"


@dataclass(frozen=True, slots=True)
class _Fix:
    """``patch`` is what server-side apply gets; ``ours``: we set the field already."""

    risk: Risk | None
    patch: Json
    ours: bool


def risks(deployment: Json, app: App, settings: Kubernetes) -> list[Risk]:
    """Everything that would lose requests, in the order of an upgrade."""
    return [fix.risk for fix in _fixes(deployment, app, settings) if fix.risk is not None]


def patches(deployment: Json, app: App, settings: Kubernetes) -> list[Json]:
    """What mends it: the fixes that are needed, and those that are ours already and would vanish if not set again."""
    return [fix.patch for fix in _fixes(deployment, app, settings) if fix.risk is not None or fix.ours]


def advice(deployment: Json, app: App, settings: Kubernetes) -> Iterator[str]:
    """The risks as lines for people, with the command that mends them all; none where there is none."""
    found = [fix for fix in _fixes(deployment, app, settings) if fix.risk is not None]
    if not found:
        return
    where = f"Deployment {settings.deployment} in namespace {settings.namespace}"
    if settings.repair:
        first = (
            "the next release mends it. The pods that run now were started without: their end may cost requests once"
        )
    else:
        first = "it is refused until it is mended, by you or with repair = true"
    yield f"{app.name}: {where} would lose requests in an upgrade; {first}"
    yield from (f"  {fix.risk}" for fix in found)
    patch = json.dumps(merged(fix.patch for fix in found), separators=(",", ":"))
    yield f"  kubectl -n {settings.namespace} patch deployment {settings.deployment} --patch {shlex.quote(patch)}"


def _fixes(deployment: Json, app: App, settings: Kubernetes) -> Iterator[_Fix]:
    container = container_of(deployment["spec"]["template"], settings.container)
    yield _strategy(deployment)
    if container is not None:
        yield _probe(deployment, container, app, settings)
        yield _pre_stop(deployment, container, settings)
    yield _grace(deployment, app, settings)
    if app.min_ready:
        yield _Fix(None, {"spec": {"minReadySeconds": ceil(app.min_ready)}}, ours=True)


def _strategy(deployment: Json) -> _Fix:
    strategy = table(deployment, "spec", "strategy")
    rolling = table(strategy, "rollingUpdate")
    unavailable, surge = rolling.get("maxUnavailable", "25%"), rolling.get("maxSurge", "25%")
    update = {"maxUnavailable": 0} | ({"maxSurge": 1} if surge in (0, "0", "0%") else {})
    patch: Json = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": update}}}
    ours = owns(deployment, ("f:spec", "f:strategy", "f:rollingUpdate", "f:maxUnavailable"))
    fix = "strategy.rollingUpdate.maxUnavailable: 0"
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        why = "all pods end before the first new one starts"
        return _Fix(
            Risk(field="strategy.type", seen=strategy["type"], why=why, fix=f"RollingUpdate and {fix}"), patch, ours
        )
    if unavailable in (0, "0", "0%"):
        return _Fix(None, patch, ours)
    why = "pods end before new ones are ready"
    return _Fix(
        Risk(field="strategy.rollingUpdate.maxUnavailable", seen=str(unavailable), why=why, fix="0"), patch, ours
    )


def _probe(deployment: Json, container: Json, app: App, settings: Kubernetes) -> _Fix:
    probe = readiness(app, _port(container, settings))
    patch = _in_pod(container, {"readinessProbe": probe})
    ours = owns(deployment, in_container(container["name"], "f:readinessProbe", "f:httpGet"))
    if container.get("readinessProbe"):
        return _Fix(None, patch, ours)
    fix = f"httpGet {probe['httpGet']['path']} on port {probe['httpGet']['port']}, every second"
    why = "a pod gets requests before it listens"
    return _Fix(Risk(field=f"{container['name']}.readinessProbe", seen="absent", why=why, fix=fix), patch, ours)


def readiness(app: App, port: int | str) -> Json:
    """The readiness probe that ``ready`` amounts to; every second, so that a pod counts soon and is out soon."""
    return {
        "httpGet": {"path": app.ready.path, "port": port, "scheme": "HTTP"},
        "periodSeconds": max(1, round(app.ready.interval)),
        "timeoutSeconds": max(1, ceil(app.ready.timeout)),
        "failureThreshold": 3,
        "successThreshold": 1,
    }


def _port(container: Json, settings: Kubernetes) -> int:
    ports = items(container, "ports")
    return ports[0]["containerPort"] if ports else settings.port


def _pre_stop(deployment: Json, container: Json, settings: Kubernetes) -> _Fix:
    seconds = ceil(settings.pre_stop)
    patch = _in_pod(container, {"lifecycle": {"preStop": {"sleep": {"seconds": seconds}}}})
    ours = owns(deployment, in_container(container["name"], "f:lifecycle", "f:preStop", "f:sleep"))
    if table(container, "lifecycle", "preStop"):
        return _Fix(None, patch, ours)
    why = "a pod ends while requests are still sent to it"
    fix = f"sleep.seconds: {seconds}"
    return _Fix(Risk(field=f"{container['name']}.lifecycle.preStop", seen="absent", why=why, fix=fix), patch, ours)


def _grace(deployment: Json, app: App, settings: Kubernetes) -> _Fix:
    """The clock of the grace includes preStop."""
    seen = deployment["spec"]["template"]["spec"].get("terminationGracePeriodSeconds", 30)
    wanted = ceil(settings.pre_stop + max(app.drain.requests, app.drain.grace))
    patch = {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": wanted}}}}
    ours = owns(deployment, (*POD, "f:terminationGracePeriodSeconds"))
    if seen >= settings.pre_stop + app.drain.grace:
        return _Fix(None, patch, ours)
    why = f"preStop ({settings.pre_stop:g} s) and the end of running requests ({app.drain.grace:g} s) do not fit"
    return _Fix(Risk(field="terminationGracePeriodSeconds", seen=str(seen), why=why, fix=str(wanted)), patch, ours)


def _in_pod(container: Json, fields: Json) -> Json:
    return {"spec": {"template": {"spec": {"containers": [{"name": container["name"], **fields}]}}}}
