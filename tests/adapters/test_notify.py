"""Telling people by real means: an HTTP server that checks signatures, a shell, Apprise."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.api.fake_desk import RECEIPT

from noren.adapters.notify import SIGNATURE, Notifiers
from noren.core.errors import OutsideError
from noren.core.message import of_receipt
from noren.core.model import Notifications

MESSAGE = of_receipt(RECEIPT)


class Ear(ThreadingHTTPServer):
    """Hears what is posted; answers ``status`` after ``delay`` seconds."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.heard: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 204
        self.delay = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hooks/noren"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        ear: Any = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        ear.heard.append((self.path, dict(self.headers), body))
        time.sleep(ear.delay)
        self.send_response(ear.status)
        if ear.status == 302:
            self.send_header("Location", ear.url)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def ear() -> Iterator[Ear]:
    with Ear() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def send(settings: Notifications, sink: str) -> None:
    asyncio.run(Notifiers(settings).send(sink, MESSAGE))


def test_a_webhook_gets_the_message_signed_over_its_bytes(ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", "s3cret")
    send(Notifications(webhook=ear.url, secret_env="HOOK_SECRET"), "webhook")
    ((path, headers, body),) = ear.heard
    assert path == "/hooks/noren"
    assert headers[SIGNATURE] == "sha256=" + hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
    assert headers["X-Noren-Delivery"] == MESSAGE["id"] == f"{RECEIPT['app']}/{RECEIPT['rollout']}"
    told = json.loads(body)
    assert told.pop("host")
    assert told == MESSAGE


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_webhook_that_does_not_say_yes_has_not_heard(ear: Ear, status: int) -> None:
    ear.status = status
    with pytest.raises(OutsideError):
        send(Notifications(webhook=ear.url), "webhook")
    assert len(ear.heard) == 1


def test_nobody_there_and_no_secret_are_told(ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOOK_SECRET", raising=False)
    with pytest.raises(OutsideError, match="HOOK_SECRET is not set"):
        send(Notifications(webhook=ear.url, secret_env="HOOK_SECRET"), "webhook")
    with pytest.raises(OutsideError, match="could not be reached"):
        send(Notifications(webhook="http://127.0.0.1:9/"), "webhook")
    assert not ear.heard


def test_webhooks_that_hang_keep_the_loop_and_its_threads_free(ear: Ear) -> None:
    ear.delay = 1.0

    async def main() -> float:
        notifiers = Notifiers(Notifications(webhook=ear.url))
        sending = [asyncio.create_task(notifiers.send("webhook", MESSAGE)) for _ in range(4)]
        await asyncio.sleep(0.2)
        began = time.monotonic()
        await asyncio.to_thread(time.sleep, 0)
        free = time.monotonic() - began
        await asyncio.gather(*sending)
        return free

    assert asyncio.run(main()) < 0.5
    assert len(ear.heard) == 4


def test_a_command_gets_the_message_on_its_input_and_the_main_facts_as_variables(tmp_path: Path) -> None:
    command = f'cat >{tmp_path}/body; echo "$NOREN_APP $NOREN_OUTCOME $NOREN_ROLLOUT" >{tmp_path}/facts'
    send(Notifications(command=command), "command")
    assert json.loads((tmp_path / "body").read_text())["text"] == MESSAGE["text"]
    assert (tmp_path / "facts").read_text() == f"{RECEIPT['app']} {RECEIPT['outcome']} {RECEIPT['rollout']}\n"


def test_a_command_need_not_read_and_its_failure_is_told() -> None:
    send(Notifications(command="true"), "command")
    with pytest.raises(OutsideError, match=r"(?s)ended with 3.*no mail today"):
        send(Notifications(command="echo no mail today >&2; exit 3"), "command")


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_apprise_carries_the_text_to_its_services(ear: Ear, tmp_path: Path) -> None:
    services = tmp_path / "apprise.txt"
    services.write_text(f"json://127.0.0.1:{ear.server_port}/x\n")
    send(Notifications(apprise_file=str(services)), "apprise")
    ((_, _, body),) = ear.heard
    assert json.loads(body)["message"] == MESSAGE["text"]
    ear.status = 500
    with pytest.raises(OutsideError, match="not every service took it"):
        send(Notifications(apprise_file=str(services)), "apprise")


def test_what_is_not_set_is_no_sink() -> None:
    assert Notifiers(Notifications()).sinks() == []
    assert Notifiers(Notifications(webhook="https://x.example", command="x")).sinks() == ["webhook", "command"]
