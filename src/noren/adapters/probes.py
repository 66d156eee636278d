"""Asks an instance whether it is ready, and says what is wrong in words that help.

The engine calls it through the Probes port. A good answer counts only from the instance's own
socket: on that port somebody else may answer.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass
from pathlib import Path

from noren.adapters.httpget import Reply, get
from noren.adapters.listening import Listening, Objection
from noren.core.model import App, Instance, ProbeAnswer, Ready

_SHOWN = 200
# Django, Starlette, Rails, Vite, webpack, and what 421 stands for.
_HOST_REFUSED = re.compile(
    r"disallowed.?host|(invalid|bad|wrong|unknown).{0,20}host|allowed_?hosts|host.{0,60}not allowed"
    r"|blocked host|bad request \(400\)",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class _Question:
    address: str
    host: str
    path: str

    @property
    def url(self) -> str:
        """What to show: the socket of a static site has no address that people know."""
        return f"http://{self.host if self.address.startswith('unix@') else self.address}{self.path}"


class HttpProbes:
    """The Probes of the instances of one state directory, static and process."""

    def __init__(self, state_dir: Path) -> None:
        self._listening = Listening(state_dir)

    async def probe(self, app: App, instance: Instance, ready: Ready) -> ProbeAnswer:
        """One GET, at most ``ready.timeout`` seconds; never raises for what the instance does."""
        if instance.address is None:
            return ProbeAnswer(ok=False, url="", problem="has no address: it is not started")
        question = _question(app, instance, instance.address, ready)
        started = time.monotonic()
        reply = await get(question.address, host=question.host, path=question.path, timeout=ready.timeout)
        seconds = time.monotonic() - started
        objection = await self._objection(instance) or _judge(reply, question, ready)
        return ProbeAnswer(
            ok=objection is None,
            url=question.url,
            status=reply.status,
            body=_excerpt(reply.body),
            seconds=seconds,
            problem=objection.problem if objection else "",
            hint=objection.hint if objection else "",
        )

    async def _objection(self, instance: Instance) -> Objection | None:
        if instance.address is None or instance.address.startswith("unix@"):
            return None
        port = int(instance.address.rpartition(":")[2])
        # In a thread: on a host with thousands of processes, looking through /proc takes a while.
        return await asyncio.to_thread(self._listening.objection, instance, port)


def _question(app: App, instance: Instance, address: str, ready: Ready) -> _Question:
    if address.startswith("unix@"):
        # The file server tells releases apart by this label, not by the hosts of the app.
        return _Question(address, f"{instance.app}-{instance.release}.id.noren", "/")
    host = ready.host or (app.hosts[0].partition("/")[0] if app.hosts else address)
    return _Question(address, host, ready.path)


def _judge(reply: Reply, question: _Question, ready: Ready) -> Objection | None:
    status = reply.status
    if reply.problem or status is None:
        return Objection(reply.problem, "raise `ready.timeout` if good answers take that long" if reply.late else "")
    good = 200 <= status < 300 if ready.status is None else status == ready.status
    if not good:
        return _refused(status, reply, question)
    if ready.body is not None and ready.body.encode() not in reply.body:
        return Objection(f"answered {status} without {ready.body!r} in the first 64 kB", "check `ready.body`")
    return None


def _refused(status: int, reply: Reply, question: _Question) -> Objection:
    if 300 <= status < 400 and reply.location:
        return Objection(
            f"answered {status} to {_printable(reply.location)[:_SHOWN]}",
            "redirects are not followed: set `ready.path` to what answers 2xx by itself, or `ready.status`",
        )
    text = reply.body.decode(errors="replace")
    if status == 421 or (status in (400, 403) and _HOST_REFUSED.search(text)):
        return Objection(
            f"answered {status}, perhaps because of the host",
            f"the probe sent Host: {question.host}; allow it (ALLOWED_HOSTS and the like) or set `ready.host`",
        )
    return Objection(f"answered {status}", _hint(status, question))


def _hint(status: int, question: _Question) -> str:
    if status in (401, 403):
        return f"{question.path} wants a login: set `ready.path` to what answers 2xx without one"
    if status < 500:
        return f"set `ready.path` to what answers 2xx, instead of {question.path}, or `ready.status`"
    return "the app itself fails: its log and the body say why"


def _excerpt(body: bytearray) -> str:
    return _printable(body[: 4 * _SHOWN].decode(errors="replace"))[:_SHOWN]


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
