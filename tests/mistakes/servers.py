"""Small applications of the standard library, each with one mistake of a newcomer in it.

Used by test_release_mistakes. The source of each is the text that is committed as ``app.py``.
"""

from __future__ import annotations

_SERVER = """\
import os, socket, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Server(ThreadingHTTPServer):
    address_family = socket.{family}

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        {answer}
    def give(self, status, body=b"ok", **headers):
        self.send_response(status)
        for name, value in {{"Content-Length": str(len(body)), **headers}}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

{before}
Server(("{bind}", {port}), Handler).serve_forever()
"""


def server(
    *,
    answer: str = "self.give(200)",
    bind: str = "127.0.0.1",
    family: str = "AF_INET",
    port: str = 'int(os.environ["PORT"])',
    before: str = "",
) -> str:
    """A server that does it all right but for what is given."""
    return _SERVER.format(answer=answer, bind=bind, family=family, port=port, before=before)
