"""As much of an API server as the client of ours talks to: a list, a watch, a patch, and answers that were ordered.

For tests without a cluster; plain HTTP on loopback.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

Json = dict[str, Any]


class ApiServer:
    """``objects`` are what a list holds; ``ordered`` are statuses that the next requests get instead of an answer."""

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.ordered: list[int] = []
        self.told: list[str] = []
        self.token = "first"
        self.port = 0
        self._version = 1
        self._watches: list[asyncio.StreamWriter] = []

    def put(self, name: str, **spec: object) -> None:
        """An object, new or changed; watches hear of it."""
        self._version += 1
        metadata = {"name": name, "resourceVersion": str(self._version)}
        self.objects[name] = {"metadata": metadata, "spec": spec}
        self.say({"type": "MODIFIED", "object": self.objects[name]})

    def say(self, event: Json) -> None:
        """To all watches."""
        for writer in self._watches:
            writer.write(json.dumps(event).encode() + b"\n")

    def hang_up(self) -> None:
        """End all watches."""
        for writer in self._watches:
            writer.close()
        self._watches.clear()

    def kubeconfig(self, folder: Path) -> str:
        """A file with the token that is good now."""
        file = folder / "kubeconfig"
        file.write_text(
            json.dumps(
                {
                    "current-context": "c",
                    "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
                    "users": [{"name": "u", "user": {"token": self.token}}],
                    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                }
            )
        )
        return str(file)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line = head.partition("\r\n")[0]
        self.told.append(line)
        if f"Bearer {self.token}" not in head:
            self._answer(writer, 401, {"message": "Unauthorized"})
        elif self.ordered:
            self._answer(writer, self.ordered.pop(0), {"message": "as ordered"})
        elif "watch=true" in line:
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
            self._watches.append(writer)
            since = int(line.partition("resourceVersion=")[2].partition("&")[0].partition(" ")[0])
            for thing in self.objects.values():
                if int(thing["metadata"]["resourceVersion"]) > since:
                    self.say({"type": "MODIFIED", "object": thing})
            return
        else:
            listed = {"metadata": {"resourceVersion": str(self._version)}, "items": [*self.objects.values()]}
            self._answer(writer, 200, listed)
        writer.close()

    def _answer(self, writer: asyncio.StreamWriter, status: int, body: Json) -> None:
        said = json.dumps(body).encode()
        writer.write(f"HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {len(said)}\r\n\r\n".encode() + said)


@asynccontextmanager
async def api_server() -> AsyncIterator[ApiServer]:
    """One that listens until the block ends."""
    api = ApiServer()
    server = await asyncio.start_server(api.serve, "127.0.0.1", 0)
    api.port = server.sockets[0].getsockname()[1]
    try:
        yield api
    finally:
        api.hang_up()
        server.close()
