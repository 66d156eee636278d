"""Tells people: a signed webhook, a command, and more than a hundred services by Apprise.

Implements the engine's ``Notifier``, wired in ``daemon.py``. What blocks runs in threads of its own, two at
most, so that a service which hangs keeps nothing waiting but other messages.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from noren.adapters.command import Patience, Stalled, run
from noren.core.errors import OutsideError
from noren.core.model import Notifications

TIMEOUT = 10.0  # seconds for a webhook
COMMAND_TIMEOUT = 30.0
SIGNATURE = "X-Noren-Signature-256"  # "sha256=" and HMAC-SHA256 of the body, in hex: as GitHub signs
_VARIABLES = ("app", "outcome", "kind", "rollout", "release", "revision", "text")

Message = dict[str, Any]


class Notifiers:
    """What ``[notify]`` names; ``settings`` may be replaced at any time."""

    def __init__(self, settings: Notifications) -> None:
        self.settings = settings
        self._threads = ThreadPoolExecutor(2, "notify")
        self._host = socket.gethostname()

    def sinks(self) -> Sequence[str]:
        """The names of those that are set."""
        named = {"webhook": self.settings.webhook, "command": self.settings.command}
        return [name for name, value in (named | {"apprise": self.settings.apprise_file}).items() if value]

    async def send(self, sink: str, message: Message) -> None:
        """One message; raises OutsideError. To a sink that is no longer set, nothing."""
        message = {**message, "host": self._host}
        settings = self.settings
        if sink == "webhook" and settings.webhook:
            await self._blocking(_post, settings.webhook, settings.secret_env, message)
        elif sink == "command" and settings.command:
            await _command(settings.command, message)
        elif sink == "apprise" and settings.apprise_file:
            await self._blocking(_apprise, settings.apprise_file, message)

    async def _blocking(self, work: Callable[..., None], *args: Any) -> None:
        await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)


def signature(secret: str, body: bytes) -> str:
    """The value of the header by which the other side knows us."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def _post(url: str, secret_env: str | None, message: Message) -> None:
    from urllib.request import Request  # these imports take memory that a daemon which tells nothing does not need

    body = json.dumps(message).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "noren", "X-Noren-Delivery": str(message["id"])}
    if secret_env:
        headers[SIGNATURE] = signature(_secret(secret_env), body)
    _exchange(Request(url, data=body, headers=headers, method="POST"))


def _exchange(request: Any) -> None:
    from urllib.error import HTTPError
    from urllib.request import HTTPRedirectHandler, build_opener

    class Nowhere(HTTPRedirectHandler):
        """A redirected POST would become a GET without a body, and look as if it had been told."""

        def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> None:
            return None

    try:
        with build_opener(Nowhere).open(request, timeout=TIMEOUT) as answer:
            answer.read(1)
    except HTTPError as exc:
        with exc:
            raise OutsideError("the webhook refused it", seen=f"status {exc.code}") from exc
    except (OSError, ValueError) as exc:
        raise OutsideError("the webhook could not be reached", seen=str(exc)) from exc


def _secret(name: str) -> str:
    if name in os.environ:
        return os.environ[name]
    hint = "noren up with it; of a service, in its environment"
    raise OutsideError(f"the variable {name} is not set for the daemon", hint=hint)


async def _command(command: str, message: Message) -> None:
    """What the daemon may know the operator's own command may know: it gets the daemon's environment."""
    env = dict(os.environ) | {f"NOREN_{name.upper()}": str(message.get(name) or "") for name in _VARIABLES}
    patience = Patience(COMMAND_TIMEOUT, COMMAND_TIMEOUT)
    told = json.dumps(message).encode()
    try:
        done = await run(("/bin/sh", "-c", command), env=env, cwd=Path("/"), patience=patience, most=4000, told=told)
    except Stalled as exc:
        raise OutsideError("the command was ended", seen=f"it took longer than {COMMAND_TIMEOUT:g} s") from exc
    except OSError as exc:
        raise OutsideError("the command could not be started", seen=str(exc)) from exc
    if done.code != 0:
        raise OutsideError(f"the command ended with {done.code}", seen=done.stderr.strip()[-500:])


def _apprise(file: str, message: Message) -> None:
    try:
        import apprise
    except ImportError as exc:
        raise OutsideError("Apprise is not installed", hint="pip install 'noren[notify]'") from exc
    config = apprise.AppriseConfig()
    config.add(file)
    services: Any = apprise.Apprise()
    services.add(config)
    if not services.notify(title=f"{message['app']}: {message['outcome']}", body=str(message["text"])):
        raise OutsideError("not every service took it", seen=f"the services in {file}")
