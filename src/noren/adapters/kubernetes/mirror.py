"""A list of objects of the cluster as it is now, kept by a watch.

One for the Deployments of a namespace serves all apps there, and one each for the pods and ReplicaSets of a
rollout lives as long as it is watched. What the API server forgot (410) is listed anew; while it is away the
last known state stays, and ``problem`` says so.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

from noren.adapters.kubernetes.api import Api, Json
from noren.adapters.kubernetes.fault import ApiFault

_FIRST_PAUSE, _LAST_PAUSE = 0.25, 5.0
_PAGE = "500"


class Mirror:
    """Objects by name."""

    def __init__(self, api: Api, path: str, **params: str) -> None:
        self.objects: dict[str, Json] = {}
        self.problem: ApiFault | None = None
        self.listed = asyncio.Event()
        self._api, self._path, self._params = api, path, params
        self._version = ""
        self._waiting: dict[str | None, list[asyncio.Future[None]]] = {}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Mirror:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def start(self) -> None:
        """Begin to follow."""
        self._task = self._task or asyncio.create_task(self._follow(), name=f"mirror {self._path}")

    async def stop(self) -> None:
        """Follow no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def ready(self, patience: float) -> None:
        """Until it was listed once; raises ApiFault when that does not happen."""
        if not self.listed.is_set() and self.problem is None:
            waits = [asyncio.ensure_future(self.listed.wait()), self.change(None)]
            await asyncio.wait(waits, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        if not self.listed.is_set():
            raise self.problem or ApiFault(f"the API server did not list {self._path} yet", 0)

    def change(self, name: str | None) -> asyncio.Future[None]:
        """Done at the next change of the object, for None of any; ask before you look."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, []).append(future)
        return future

    async def _follow(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                if not self._version:
                    await self._list()
                async for event in self._api.watch(self._path, self._version, **self._params):
                    self._take(event)
                    pause, self.problem = _FIRST_PAUSE, None
            except ApiFault as exc:
                self.problem = exc
                self._version = "" if exc.status == 410 else self._version
                self._wake(None)
                await asyncio.sleep(pause)
                pause = min(_LAST_PAUSE, pause * 2)

    async def _list(self) -> None:
        found: dict[str, Json] = {}
        params, more, version = {**self._params, "limit": _PAGE}, True, ""
        while more:
            page = await self._api.get(self._path, patience=0.0, **params)
            found |= {item["metadata"]["name"]: item for item in page["items"]}
            params["continue"] = str(page["metadata"].get("continue", ""))
            more, version = bool(params["continue"]), page["metadata"]["resourceVersion"]
        names = self.objects.keys() | found.keys()
        changed = [name for name in names if self.objects.get(name) != found.get(name)]
        self.objects, self._version, self.problem = found, version, None
        self.listed.set()
        for name in changed:
            self._wake(name)

    def _take(self, event: Json) -> None:
        item = event["object"]
        self._version = item["metadata"]["resourceVersion"]
        if event["type"] == "BOOKMARK":
            return
        name = item["metadata"]["name"]
        if event["type"] == "DELETED":
            self.objects.pop(name, None)
        else:
            self.objects[name] = item
        self._wake(name)

    def _wake(self, name: str | None) -> None:
        for key in {name, None}:
            for future in self._waiting.pop(key, []):
                if not future.done():
                    future.set_result(None)
