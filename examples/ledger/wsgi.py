"""The example for gunicorn, WSGI: `noren.toml` has the command. With threads, so that a stream blocks nobody."""

from __future__ import annotations

import hashlib
import os
import time
from http import HTTPStatus

import shop

if os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn"):
    shop.PROCESSES.append(os.getppid())  # or the arbiter would start another worker
shop.begin()


def app(environ, start_response):
    """WSGI: one call for each request."""
    path, target = environ["PATH_INFO"], environ["PATH_INFO"] + "?" + environ.get("QUERY_STRING", "")
    if path != "/healthz":
        time.sleep(shop.HANG)
    if path in LONG:
        wrong = shop.trouble(path, environ.get("HTTP_HOST", ""))
        return reply(start_response, *wrong) if wrong else LONG[path](target, environ, start_response)
    headers = {"host": environ.get("HTTP_HOST", ""), "if-none-match": environ.get("HTTP_IF_NONE_MATCH")}
    content = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return reply(start_response, *shop.answer(environ["REQUEST_METHOD"], target, headers, content))


def upload(target, environ, start_response):
    """Hash the body as it comes."""
    digest, left = hashlib.sha256(), int(environ["CONTENT_LENGTH"])
    while left and (part := environ["wsgi.input"].read(min(left, 65_536))):
        digest.update(part)
        left -= len(part)
    return reply(start_response, *shop.uploaded(digest.hexdigest()))


def download(target, environ, start_response):
    """Send known bytes."""
    size = int(shop.query(target, "size", 1000))
    start_response("200 OK", [("Content-Length", str(size)), ("X-Sha256", shop.sha256(size))])
    return shop.blocks(size)


def stream(target, environ, start_response):
    """Send numbered events."""
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    for number in range(int(shop.query(target, "n", 10))):
        yield shop.event(number)
        time.sleep(shop.query(target, "interval", 0.1))


def reply(start_response, status, headers, content):
    """Send a short answer."""
    length = {} if status == 304 else {"Content-Length": str(len(content))}
    start_response(f"{status} {HTTPStatus(status).phrase}", list({**headers, **length}.items()))
    return [content]


LONG = {"/upload": upload, "/download": download, "/stream": stream}
