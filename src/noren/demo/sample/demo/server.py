"""The team's web application: a page, an API, a WebSocket, and orders in SQLite. uvicorn runs it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

RELEASE = os.environ["NOREN_RELEASE"]
# The same folder for every release: two of them write to it while an upgrade is under way.
DATABASE = Path(os.environ["NOREN_DATA"]) / "orders.sqlite"


@contextmanager
def orders() -> Generator[sqlite3.Connection]:
    """The database, for one request."""
    connection = sqlite3.connect(DATABASE, timeout=10)
    try:
        with connection:
            yield connection
    finally:
        connection.close()


async def page(request: Request) -> Response:
    """What a person sees."""
    return FileResponse(Path(__file__).with_name("page.html"))


async def api(request: Request) -> Response:
    """Who answers, and how much was ordered."""
    with orders() as database:
        (number,) = database.execute("SELECT count(*) FROM orders").fetchone()
    return JSONResponse({"app": "demo", "release": RELEASE, "orders": number})


async def order(request: Request) -> Response:
    """Take an order: one row. Nothing here hides an order that comes twice."""
    id = str((await request.json())["id"])
    with orders() as database:
        database.execute("INSERT INTO orders VALUES (?, ?)", (id, RELEASE))
    return JSONResponse({"release": RELEASE, "id": id}, status_code=201)


async def healthz(request: Request) -> Response:
    """Ready when the database can be read."""
    with orders() as database:
        database.execute("SELECT 1 FROM orders LIMIT 1")
    return PlainTextResponse("ok")


async def echo(socket: WebSocket) -> None:
    """Say what was said."""
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text)


with orders() as database:
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE IF NOT EXISTS orders (id TEXT, release TEXT)")

app = Starlette(
    routes=[
        Route("/", page),
        Route("/api", api),
        Route("/orders", order, methods=["POST"]),
        Route("/healthz", healthz),
        WebSocketRoute("/ws", echo),
    ]
)
