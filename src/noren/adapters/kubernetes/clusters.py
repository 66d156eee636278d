"""The clusters that apps run in: one connection for each kubeconfig and context, one mirror for each namespace.

Made by the daemon and shared by the three ports of this kind; nothing connects before an app needs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType

from noren.adapters.kubernetes.api import Api, Json
from noren.adapters.kubernetes.fault import ApiFault
from noren.adapters.kubernetes.mirror import Mirror
from noren.core.model import App, Kubernetes

_PATIENCE = 10.0  # seconds for the first list of a namespace


@dataclass(frozen=True, slots=True)
class Place:
    """Where one app is in its cluster."""

    api: Api
    namespace: str
    name: str
    deployments: Mirror

    @property
    def path(self) -> str:
        """Of its Deployment."""
        return f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{self.name}"

    def core(self, kind: str) -> str:
        """Of pods, services and events of its namespace."""
        return f"/api/v1/namespaces/{self.namespace}/{kind}"

    def apps(self, kind: str) -> str:
        """Of ReplicaSets of its namespace."""
        return f"/apis/apps/v1/namespaces/{self.namespace}/{kind}"

    async def read(self) -> Json | None:
        """Its Deployment, asked now; None when there is none. Raises ApiFault."""
        try:
            return await self.api.get(self.path)
        except ApiFault as exc:
            if exc.status == 404:
                return None
            raise

    async def deployment(self) -> Json | None:
        """As last seen, None when there is none; raises ApiFault while nothing was seen."""
        await self.deployments.ready(_PATIENCE)
        return self.deployments.objects.get(self.name)


def cluster_of(app: App) -> Kubernetes:
    """Its settings of this kind, which settings make sure of."""
    assert app.kubernetes is not None
    return app.kubernetes


class Clusters:
    """Connections and mirrors, ended together."""

    def __init__(self) -> None:
        self._apis: dict[tuple[str | None, str | None], Api] = {}
        self._mirrors: dict[tuple[Api, str], Mirror] = {}

    async def __aenter__(self) -> Clusters:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        for mirror in self._mirrors.values():
            await mirror.stop()
        for api in self._apis.values():
            await api.close()

    def place(self, settings: Kubernetes) -> Place:
        """Where an app with these settings is."""
        reached = (settings.kubeconfig, settings.context)
        api = self._apis.setdefault(reached, Api(*reached))
        key = (api, settings.namespace)
        if key not in self._mirrors:
            self._mirrors[key] = Mirror(api, f"/apis/apps/v1/namespaces/{settings.namespace}/deployments")
            self._mirrors[key].start()
        return Place(api, settings.namespace, settings.deployment, self._mirrors[key])
