"""Talks to the running HAProxy over its admin socket: what changes something has a connection of its own.

Used by the proxy, the drain and the counters.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from itertools import pairwise

from noren.adapters.haproxy.folder import ADMIN, Folder
from noren.adapters.haproxy.view import MAPS, View, parse_map, parse_servers
from noren.core.errors import TrafficError

_SAID_YES = ("", "New server registered.", "Server deleted.")


class Gone(TrafficError):
    """Nobody answers on the admin socket: HAProxy has ended or is about to be started again."""


class Silent(Gone):
    """Nobody answered in time: it has ended, or it stands still with all that it was answering."""


def word(text: str) -> str:
    """One argument of a command, whatever it holds."""
    return re.sub(r"([\\ ;])", r"\\\1", text)


class Runtime:
    """The admin socket of one HAProxy."""

    def __init__(self, folder: Folder, deadline: float = 5.0) -> None:
        self._folder = folder
        self._deadline = deadline

    async def ask(self, command: str) -> str:
        """The answer to one command; raises Gone when nobody answers, Silent not within the deadline (seconds)."""
        try:
            # Not wait_for: until Python 3.12 it may swallow a cancellation.
            async with asyncio.timeout(self._deadline):
                return await self._ask(command)
        except OSError as exc:
            kind = Silent if isinstance(exc, TimeoutError) else Gone
            raise kind(
                "HAProxy does not answer",
                seen=f"{command}: {exc or f'no answer in {self._deadline:g} s'}",
                hint="see haproxy.log in the state",
            ) from exc

    async def ask_all(self, commands: Sequence[str]) -> list[str]:
        """The answers to commands that change nothing, over one connection; raises Gone.

        An empty line ends each, and none has one within (management.txt, 9.3, "Unix Socket commands").
        """
        lines = (await self.ask(";".join(commands))).split("\n")
        ends = [n for n, line in enumerate(lines[:-1]) if not line]
        if len(ends) != len(commands):
            raise Gone("HAProxy does not answer", seen=f"{len(ends)} answers to {len(commands)} commands")
        return ["\n".join(lines[begin + 1 : end + 1]) for begin, end in pairwise([-1, *ends])]

    async def do(self, commands: Sequence[str]) -> None:
        """Run commands in order; raises TrafficError at the first that HAProxy refuses."""
        for command in commands:
            answer = (await self.ask(command)).strip()
            if answer not in _SAID_YES:
                raise TrafficError("HAProxy refused a change", seen=f"{command}: {answer}")

    async def view(self) -> View:
        """What HAProxy knows now; raises Gone."""
        *maps, servers = await self.ask_all([*(f"show map {name}" for name in MAPS), "show servers state"])
        return View(dict(zip(MAPS, map(parse_map, maps), strict=True)), parse_servers(servers))

    async def _ask(self, command: str) -> str:
        reader, writer = await asyncio.open_unix_connection(self._folder.socket(ADMIN))
        try:
            writer.write(command.encode() + b"\n")
            await writer.drain()
            return (await reader.read()).decode(errors="replace")
        finally:
            writer.close()
