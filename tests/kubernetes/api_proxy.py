"""A proxy in front of the API server that misbehaves as it is told: what the tests of API faults put in Noren's way.

Noren's kubeconfig leads to it, plain HTTP on loopback; each request goes on over a connection of its own. It knows
one token, which it exchanges for the cluster's, so that a token can expire.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.kubernetes.cluster.files import kubeconfig

_BLOCK = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """``away``: connections are refused and cut. ``delay``: seconds before a request goes on. ``status``: answered so
    to requests whose line matches ``to``, ``after`` they were carried out or instead of it; ``once``: to the first.
    ``forgotten``: each watch is told in its stream that its version is gone.
    """

    away: bool = False
    delay: float = 0.0
    status: int | None = None
    to: str = ""
    after: bool = False
    once: bool = False
    forgotten: bool = False


class ApiProxy:
    """``misbehave`` says how it is from now on; ``told`` are the lines of requests that were carried out."""

    def __init__(self) -> None:
        config = json.loads(Path(os.environ["KUBECONFIG"]).read_text())
        cluster = config["clusters"][0]["cluster"]
        self.token = "first"
        self.told: list[str] = []
        self.refused = 0
        self._fault = Fault()
        self._upstream = urlsplit(cluster["server"])
        self._authority = Path(cluster["certificate-authority"])
        self._admin = config["users"][0]["user"]["token"]
        self._context = ssl.create_default_context(cafile=self._authority)
        self._open: set[socket.socket] = set()

    def misbehave(self, fault: Fault) -> None:
        """Until the next call; what is under way goes on, unless the server is away."""
        self._fault = fault
        if fault.away or fault.forgotten:
            for client in list(self._open):
                with contextlib.suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)

    def kubeconfig(self, folder: Path, port: int) -> Path:
        """A kubeconfig with the token that is known now."""
        file = folder / "kubeconfig"
        file.write_text(kubeconfig(f"http://127.0.0.1:{port}", self.token, self._authority))
        return file

    def serve(self, client: socket.socket) -> None:
        """One connection, one request."""
        self._open.add(client)
        try:
            head, body = _request(client)
            fault, line = self._fault, head.partition(b"\r\n")[0].decode()
            if fault.away or not head:
                return
            time.sleep(fault.delay)
            self._answer(client, fault, line, head, body)
        finally:
            self._open.discard(client)

    def _answer(self, client: socket.socket, fault: Fault, line: str, head: bytes, body: bytes) -> None:
        if f"authorization: bearer {self.token}\r\n".encode() not in head.lower():
            return self._refuse(client, 401)
        if fault.forgotten and "watch=true" in line:
            self.refused += 1
            status = {"kind": "Status", "status": "Failure", "code": 410, "message": "too old resource version"}
            event = json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"
            return client.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + event)
        wrong = fault.status is not None and re.match(fault.to, line) is not None
        if wrong and fault.once:
            self._fault = Fault()
        if not wrong or fault.after:
            self.told.append(line)
            self._carry_out(client, head, body, quietly=wrong)
        if wrong and fault.status is not None:
            self._refuse(client, fault.status)

    def _refuse(self, client: socket.socket, status: int) -> None:
        self.refused += 1
        said = json.dumps({"kind": "Status", "status": "Failure", "code": status, "message": "misbehaving"}).encode()
        head = f"HTTP/1.1 {status} Told\r\nConnection: close\r\nContent-Length: {len(said)}\r\n\r\n"
        client.sendall(head.encode() + said)

    def _carry_out(self, client: socket.socket, head: bytes, body: bytes, *, quietly: bool) -> None:
        lines = [line for line in head.split(b"\r\n") if line and not line.lower().startswith(_OURS)]
        lines += [f"Authorization: Bearer {self._admin}".encode(), b"Connection: close"]
        address = (str(self._upstream.hostname), int(self._upstream.port or 443))
        with self._context.wrap_socket(socket.create_connection(address), server_hostname=address[0]) as server:
            server.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)
            self._open.add(server)
            try:
                while block := server.recv(_BLOCK):
                    if not quietly:
                        client.sendall(block)
            finally:
                self._open.discard(server)


_OURS = (b"authorization:", b"connection:")


def _request(client: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        if not (block := client.recv(_BLOCK)):
            return b"", b""
        data += block
    head, _, body = data.partition(b"\r\n\r\n")
    sizes = [line.partition(b":")[2] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while sizes and len(body) < int(sizes[0]):
        body += client.recv(_BLOCK)
    return head + b"\r\n", body


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


@contextmanager
def api_proxy() -> Iterator[tuple[ApiProxy, int]]:
    """The proxy and its port, until the block ends."""
    proxy = ApiProxy()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):  # a side that went away, or was told to
                proxy.serve(self.request)

    with _Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield proxy, server.server_address[1]
        finally:
            proxy.misbehave(Fault(away=True))
            server.shutdown()
