"""A release as objects of the cluster: what server-side apply gets.

Pure, compared in tests as data. Of an adopted Deployment only what a release changes is named, so everything else
stays its owner's; an own app is whole: Deployment, Service, PodDisruptionBudget and, with ``route``, HTTPRoute.
"""

from __future__ import annotations

from math import ceil

from noren.adapters.kubernetes.fields import Json, merged
from noren.adapters.kubernetes.marks import APP, container_of, marks
from noren.adapters.kubernetes.repair import patches, readiness
from noren.core.model import App, Kubernetes, Release

Objects = list[tuple[str, Json]]  # (path, object)


def adopted(release: Release, rollout: int, deployment: Json, settings: Kubernetes) -> Objects:
    """The image by digest, our marks, and with ``repair`` what mends the Deployment."""
    container = container_of(deployment["spec"]["template"], settings.container)
    assert container is not None
    image = {
        "spec": {
            "template": {
                "metadata": {"annotations": marks(release, rollout)},
                "spec": {"containers": [{"name": container["name"], "image": release.artifact.path}]},
            }
        }
    }
    mended = patches(deployment, release.app, settings) if settings.repair else []
    body = merged([_head("apps/v1", "Deployment", settings, settings.deployment), image, *mended])
    return [(_path("apis/apps/v1", settings, "deployments", settings.deployment), body)]


def owned(release: Release, rollout: int, settings: Kubernetes) -> Objects:
    """Everything that the app needs; the Deployment last, so that what it is reached by is there."""
    app, name = release.app, settings.deployment
    objects: Objects = [
        (_path("api/v1", settings, "services", name), _service(app, settings)),
        (_path("apis/policy/v1", settings, "poddisruptionbudgets", name), _budget(app, settings)),
    ]
    if settings.route:
        objects += _routes(app, settings, settings.route)
    objects.append((_path("apis/apps/v1", settings, "deployments", name), _deployment(release, rollout, settings)))
    return objects


def _path(group: str, settings: Kubernetes, kind: str, name: str) -> str:
    return f"/{group}/namespaces/{settings.namespace}/{kind}/{name}"


def _head(version: str, kind: str, settings: Kubernetes, name: str) -> Json:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": settings.namespace}}


def _own(version: str, kind: str, app: App, settings: Kubernetes) -> Json:
    labels = {"app.kubernetes.io/name": app.name, "app.kubernetes.io/managed-by": "noren", **_selector(app)}
    return merged([_head(version, kind, settings, settings.deployment), {"metadata": {"labels": labels}}])


def _selector(app: App) -> dict[str, str]:
    return {APP: app.name}


def _service(app: App, settings: Kubernetes) -> Json:
    ports = [{"name": "http", "port": 80, "targetPort": settings.port, "protocol": "TCP"}]
    return _own("v1", "Service", app, settings) | {"spec": {"selector": _selector(app), "ports": ports}}


def _budget(app: App, settings: Kubernetes) -> Json:
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": _selector(app)}}
    return _own("policy/v1", "PodDisruptionBudget", app, settings) | {"spec": spec}


def _routes(app: App, settings: Kubernetes, gateway: str) -> Objects:
    """One for each path, which its hosts share; the path is taken off, as our own proxy does."""
    hosts: dict[str, list[str]] = {}
    for host in app.hosts:
        name, _, path = host.partition("/")
        hosts.setdefault(path, []).append(name)
    return [_route(app, settings, gateway, f"/{path}", names) for path, names in hosts.items()]


def _route(app: App, settings: Kubernetes, gateway: str, path: str, hosts: list[str]) -> tuple[str, Json]:
    namespace, _, parent = gateway.partition("/")
    name = "-".join([settings.deployment, *(part.lower() for part in path.split("/") if part)])
    rule: Json = {
        "matches": [{"path": {"type": "PathPrefix", "value": path}}],
        "backendRefs": [{"name": settings.deployment, "port": 80}],
    }
    if path != "/":
        rewrite = {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}
        rule["filters"] = [{"type": "URLRewrite", "urlRewrite": rewrite}]
    spec: Json = {"parentRefs": [{"namespace": namespace, "name": parent}], "hostnames": hosts, "rules": [rule]}
    body: Json = _own("gateway.networking.k8s.io/v1", "HTTPRoute", app, settings) | {"spec": spec}
    body["metadata"]["name"] = name
    return _path("apis/gateway.networking.k8s.io/v1", settings, "httproutes", name), body


def _deployment(release: Release, rollout: int, settings: Kubernetes) -> Json:
    app = release.app
    template = {
        "metadata": {"labels": _selector(app), "annotations": marks(release, rollout)},
        "spec": {
            "containers": [_container(release, settings)],
            "terminationGracePeriodSeconds": ceil(settings.pre_stop + max(app.drain.requests, app.drain.grace)),
        },
    }
    spec = {
        "replicas": settings.replicas,
        "minReadySeconds": ceil(app.min_ready),
        "selector": {"matchLabels": _selector(app)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": template,
    }
    return _own("apps/v1", "Deployment", app, settings) | {"spec": spec}


def _container(release: Release, settings: Kubernetes) -> Json:
    app = release.app
    given = {"NOREN_APP": app.name, "NOREN_RELEASE": str(release.number), "NOREN_REVISION": release.revision}
    variables = {"PORT": str(settings.port), **given, **dict(app.env)}
    memory = {"limits": {"memory": str(app.limits.memory)}} if app.limits.memory else {}
    return {
        "name": settings.container or "app",
        "image": release.artifact.path,
        "ports": [{"containerPort": settings.port, "name": "http", "protocol": "TCP"}],
        "env": [{"name": key, "value": value} for key, value in variables.items()],
        "envFrom": [_source(entry) for entry in settings.env_from],
        "readinessProbe": readiness(app, settings.port),
        "lifecycle": {"preStop": {"sleep": {"seconds": ceil(settings.pre_stop)}}},
        "resources": memory,
    }


def _source(entry: str) -> Json:
    kind, _, name = entry.partition("/")
    return {"secretRef" if kind == "secret" else "configMapRef": {"name": name}}
