"""The example for uvicorn, plain ASGI: run `uvicorn app:app --port $PORT`. The only one with WebSockets (/ws)."""

from __future__ import annotations

import asyncio
import hashlib

import shop

shop.begin()


async def app(scope, receive, send):
    """ASGI: one call for each request or connection."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await echo(receive, send)
    else:
        await http(scope, receive, send)


async def lifespan(receive, send):
    """Nothing to prepare, nothing to clean up."""
    while (await receive())["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})


async def echo(receive, send):
    """Send every message back."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", **{key: message[key] for key in ("text", "bytes") if message.get(key)}})


async def http(scope, receive, send):
    """Long requests by their own coroutines, the rest as in every server."""
    target = scope["path"] + "?" + scope["query_string"].decode()
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    if scope["path"] != "/healthz":
        await asyncio.sleep(shop.HANG)
    if scope["path"] in LONG and not (wrong := shop.trouble(scope["path"], headers.get("host", ""))):
        await LONG[scope["path"]](target, receive, send)
    elif scope["path"] in LONG:
        await reply(send, *wrong)
    else:
        await reply(
            send, *shop.answer(scope["method"], target, headers, b"".join([part async for part in body(receive)]))
        )


async def upload(target, receive, send):
    """Hash the body as it comes."""
    digest = hashlib.sha256()
    async for part in body(receive):
        digest.update(part)
    await reply(send, *shop.uploaded(digest.hexdigest()))


async def download(target, receive, send):
    """Send known bytes."""
    size = int(shop.query(target, "size", 1000))
    sha256 = await asyncio.to_thread(shop.sha256, size)
    await start(send, 200, {"content-length": str(size), "x-sha256": sha256})
    for block in shop.blocks(size):
        await send({"type": "http.response.body", "body": block, "more_body": True})
    await send({"type": "http.response.body"})


async def stream(target, receive, send):
    """Send numbered events."""
    await start(send, 200, {"content-type": "text/event-stream"})
    for number in range(int(shop.query(target, "n", 10))):
        await send({"type": "http.response.body", "body": shop.event(number), "more_body": True})
        await asyncio.sleep(shop.query(target, "interval", 0.1))
    await send({"type": "http.response.body"})


async def body(receive):
    """The parts of the body of a request."""
    while (message := await receive())["type"] == "http.request":
        yield message["body"]
        if not message.get("more_body"):
            return


async def start(send, status, headers):
    """Send the head of an answer."""
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})


async def reply(send, status, headers, content):
    """Send a short answer."""
    await start(send, status, {**headers, "content-length": str(len(content))} if status != 304 else headers)
    await send({"type": "http.response.body", "body": content})


LONG = {"/upload": upload, "/download": download, "/stream": stream}
