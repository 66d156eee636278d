"""The example for the standard library's http.server: run `python simple.py $PORT`."""

from __future__ import annotations

import hashlib
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import shop


class Handler(BaseHTTPRequestHandler):
    """One object for each connection."""

    protocol_version = "HTTP/1.1"
    # Head and body are two writes: with Nagle's algorithm the second waits 40 ms for the client's delayed ACK.
    disable_nagle_algorithm = True

    def do_GET(self):
        """Long requests by their own methods, the rest as in every server."""
        path = urlsplit(self.path).path
        if path != "/healthz":
            time.sleep(shop.HANG)
        long = {"/upload": self.upload, "/download": self.download, "/stream": self.stream}.get(path)
        if long is None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.reply(*shop.answer(self.command, self.path, headers, self.rfile.read(self.length())))
        elif wrong := shop.trouble(path, self.headers.get("Host", "")):
            self.close_connection = True
            self.reply(*wrong)
        else:
            long()

    do_POST = do_HEAD = do_GET

    def length(self):
        """Bytes of the request's body."""
        return int(self.headers.get("Content-Length") or 0)

    def upload(self):
        """Hash the body as it comes."""
        digest, left = hashlib.sha256(), self.length()
        while left and (part := self.rfile.read(min(left, 65_536))):
            digest.update(part)
            left -= len(part)
        self.reply(*shop.uploaded(digest.hexdigest()))

    def download(self):
        """Send known bytes."""
        size = int(shop.query(self.path, "size", 1000))
        self.start(200, {"Content-Length": str(size), "X-Sha256": shop.sha256(size)})
        for block in shop.blocks(size):
            self.wfile.write(block)

    def stream(self):
        """Send numbered events in chunks."""
        self.start(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
        for number in range(int(shop.query(self.path, "n", 10))):
            self.chunk(shop.event(number))
            time.sleep(shop.query(self.path, "interval", 0.1))
        self.chunk(b"")

    def chunk(self, part):
        """One chunk; an empty one ends the answer."""
        self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")

    def start(self, status, headers):
        """Send the head of an answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def reply(self, status, headers, content):
        """Send a short answer."""
        self.start(status, headers if status == 304 else {**headers, "Content-Length": str(len(content))})
        self.wfile.write(b"" if self.command == "HEAD" else content)

    def log_message(self, *args):
        """Quiet."""


class Server(ThreadingHTTPServer):
    """The default backlog of 5 refuses bursts."""

    request_queue_size = 512


if __name__ == "__main__":
    shop.begin()
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
