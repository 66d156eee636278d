"""A HAProxy that was replaced while it served: it answers what it has and hands on what is asked next.

Opened by the lifetime before a successor starts: soon it has no listener and no admin socket any more, only this
session. A client that was idle meanwhile sends its next request to it and must get the release of that time, but it
takes in no server any more: it is told to ask its successor, with the address of the client, and closes.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import asdict

from noren.adapters import proctable
from noren.adapters.haproxy.folder import ADMIN, REPLACED, Folder
from noren.adapters.haproxy.runtime import Gone, Runtime, word
from noren.adapters.haproxy.view import ACTIVE, TAKEN_OVER, WEIGHT, parse_map
from noren.adapters.identity import Identity
from noren.adapters.sockets import connected

_PROMPT = b"\n> "
_LONGEST_ANSWER = 2**24
_PATIENCE = 86_400  # seconds without a command; `timeout cli` of others is 10 s
_PAUSE = 1.0


class Predecessor(Runtime):
    """Use ``Predecessor.of``; ``close`` lets it end as soon as it has no connection left."""

    def __init__(self, folder: Folder, identity: Identity) -> None:
        super().__init__(folder)
        self.identity = identity
        self._one = asyncio.Lock()
        self._session: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    @staticmethod
    async def of(identity: Identity, folder: Folder) -> Predecessor:
        """The HAProxy that serves now; raises Gone when it does not answer."""
        predecessor = Predecessor(folder, identity)
        try:
            predecessor._session = await asyncio.open_unix_connection(folder.socket(ADMIN), limit=_LONGEST_ANSWER)
        except OSError as exc:
            raise Gone("HAProxy does not answer", seen=str(exc), hint="see haproxy.log in the state") from exc
        for command in ("prompt", f"set timeout cli {_PATIENCE}"):
            await predecessor.ask(command)
        return predecessor

    async def hand_over(self) -> None:
        """From now on its successor answers what its clients ask; raises TrafficError."""
        apps = parse_map(await self.ask(f"show map {ACTIVE}"))
        await self.do([f"clear map {WEIGHT}", *(f"set map {ACTIVE} {word(app)} {TAKEN_OVER}" for app in apps)])

    async def done(self) -> None:
        """Wait until no client is connected to it, or it has ended. HAProxy has no event for that."""
        with suppress(Gone):
            while True:
                if re.search(r"^CurrConns: 0$", await self.ask("show info"), re.MULTILINE):
                    return
                await asyncio.sleep(_PAUSE)

    def close(self) -> None:
        """Leave it alone."""
        if self._session is not None:
            self._session[1].close()

    async def _ask(self, command: str) -> str:
        async with self._one:
            # An answer that was not read to its end would be taken for that of the next command: then no more is asked.
            session, self._session = self._session, None
            if session is None:
                raise OSError("its session has ended")
            reader, writer = session
            try:
                writer.write(command.encode() + b"\n")
                answer = await reader.readuntil(_PROMPT)
                self._session = session
            except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as exc:
                raise OSError(f"its session ended: {exc}") from exc
            finally:
                if self._session is None:
                    writer.close()
            return answer.decode(errors="replace").removesuffix(_PROMPT.decode())


def note(folder: Folder, identities: Sequence[Identity]) -> None:
    """Write which replaced ones still run, so that they can be ended without a session."""
    folder.note(REPLACED, json.dumps([asdict(identity) for identity in identities]))


def noted(folder: Folder) -> list[Identity]:
    """Those of them that still run."""
    known = (Identity(**each) for each in json.loads(folder.read(REPLACED) or "[]"))
    return [identity for identity in known if identity.alive()]


async def silent(identities: Sequence[Identity], ports: Collection[int], limit: float) -> int:
    """Wait until these have no connection to the ports, at most ``limit`` seconds.

    The sessions ended with the daemon that replaced them: nothing can be asked of them, but it can be seen.
    Returns how many requests it cut: none, the end of their instance does.
    """
    end = time.monotonic() + limit
    while identities and time.monotonic() < end:
        if not await asyncio.to_thread(_talk, identities, ports):
            break
        await asyncio.sleep(_PAUSE)
    return 0


def _talk(identities: Sequence[Identity], ports: Collection[int]) -> bool:
    there = connected(ports)
    return any(there & (proctable.sockets(identity.pid) or frozenset()) for identity in identities if identity.alive())


async def end_all(folder: Folder) -> None:
    """End what was replaced, with the connections that it still has."""
    for identity in noted(folder):
        identity.send(signal.SIGTERM)
        await identity.ended()
    folder.remove(REPLACED)
