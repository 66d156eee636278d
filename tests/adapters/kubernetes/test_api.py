"""An API server that stumbles is asked again, one that forgets is listed anew, expired credentials are read anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.adapters.kubernetes.api_server import ApiServer, api_server

from noren.adapters.kubernetes.api import Api
from noren.adapters.kubernetes.fault import ApiFault
from noren.adapters.kubernetes.mirror import Mirror


@asynccontextmanager
async def connected(folder: Path) -> AsyncIterator[tuple[ApiServer, Api]]:
    async with api_server() as server:
        api = Api(server.kubeconfig(folder), None)
        try:
            yield server, api
        finally:
            await api.close()


async def until(ask: Callable[[], object], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not ask():  # noqa: ASYNC110 - what is waited for belongs to what is tested
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("status", [409, 410, 429, 500, 503])
def test_a_request_that_may_yet_succeed_is_tried_again(tmp_path: Path, status: int) -> None:
    async def test() -> None:
        async with connected(tmp_path) as (server, api):
            server.ordered = [status, status]
            assert (await api.get("/things"))["items"] == []
            assert len(server.told) == 3

    asyncio.run(test())


@pytest.mark.parametrize("status", [400, 403, 404, 422])
def test_a_request_that_is_refused_for_good_is_not(tmp_path: Path, status: int) -> None:
    async def test() -> None:
        async with connected(tmp_path) as (server, api):
            server.ordered = [status]
            with pytest.raises(ApiFault) as told:
                await api.get("/things")
            assert (told.value.status, told.value.seen, len(server.told)) == (status, "as ordered", 1)

    asyncio.run(test())


def test_a_token_that_expired_is_read_again_by_a_request_and_by_a_watch(tmp_path: Path) -> None:
    async def test() -> None:
        async with connected(tmp_path) as (server, api):
            server.put("web")
            async with Mirror(api, "/things") as mirror:
                await until(lambda: any("watch" in line for line in server.told))
                server.token = "second"
                server.hang_up()
                await until(lambda: mirror.problem is not None and mirror.problem.status == 401)
                server.kubeconfig(tmp_path)
                server.put("web", changed=True)
                await until(lambda: mirror.objects["web"]["spec"])
            server.token = "third"
            server.kubeconfig(tmp_path)
            assert (await api.get("/things"))["items"]

    asyncio.run(test())


def test_a_mirror_keeps_what_it_saw_and_lists_anew_what_the_server_forgot(tmp_path: Path) -> None:
    async def test() -> None:
        async with connected(tmp_path) as (server, api):
            server.put("web", replicas=1)
            async with Mirror(api, "/things") as mirror:
                await until(lambda: any("watch" in line for line in server.told))
                changed = mirror.change("web")
                server.put("web", replicas=2)
                await asyncio.wait_for(changed, 5)
                assert mirror.objects["web"]["spec"] == {"replicas": 2}
                server.objects["web"]["spec"] = {"replicas": 3}  # unheard: the watch must not be what tells it
                server.say({"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}})
                await until(lambda: mirror.problem is not None)
                assert mirror.objects["web"]["spec"] == {"replicas": 2}
                await until(lambda: mirror.objects["web"]["spec"] == {"replicas": 3})
                assert mirror.problem is None

    asyncio.run(test())
