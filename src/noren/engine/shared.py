"""What the parts of one app's life share: its book, the ports, whose turn it is, and its tasks.

Made by ``AppLoop``, which gives it to ``Router``, ``Retirer`` and ``Healer``.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from noren.engine.book import Book
from noren.engine.ports import Ports, Proxy
from noren.engine.tasks import Tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """Whoever holds ``turn`` may change the book and the routing."""

    book: Book
    ports: Ports
    tasks: Tasks
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def name(self) -> str:
        """The name of the app."""
        return self.book.app.name

    @property
    def proxy(self) -> Proxy:
        """What carries the traffic of the app."""
        return self.ports.proxies[self.book.app.kind]
