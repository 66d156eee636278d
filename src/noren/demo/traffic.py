"""The visible load: people who read the sites and use the application, and the account of what they lost.

All is counted by the client; the daemon is only asked when its bad releases had traffic. Used by ``story``.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from noren.demo.commits import APPS
from noren.prove.checks import names_its_release
from noren.prove.keepalive import KeepAlive, NewConnection, Posts
from noren.prove.ledger import Ledger, Record
from noren.prove.orders import Once, Order, exactly_once
from noren.prove.request import Target, gets
from noren.prove.run import Run
from noren.prove.sockets import WebSockets

RATE = 10.0  # requests a second: kept alive, and as many over new connections, for each app


class Traffic:
    """The loads of a run. ``of(app)`` is what the live table shows."""

    def __init__(self, run: Run, port: int) -> None:
        self._ledger = run.ledger
        self._seen = 0
        self._requests: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()
        for app in APPS:
            target = Target(port=port, host=f"{app}.localhost", app=app)
            run.start(KeepAlive(name=f"{app} kept alive", target=target, rate=RATE, connections=8))
            run.start(NewConnection(name=f"{app} new", target=target, rate=RATE))
        demo = Target(port=port, host="demo.localhost", app="demo")
        ask = gets("/api")
        run.start(KeepAlive(name="demo api", target=demo, rate=RATE, requests=ask, check=names_its_release))
        run.start(Posts(name="demo orders", target=demo, rate=RATE, check=names_its_release))
        self.sockets = WebSockets(name="demo sockets", target=demo, clients=5, interval=0.5)
        run.start(self.sockets)

    def of(self, app: str) -> tuple[int, int]:
        """Requests and lost ones so far."""
        records = self._ledger.records
        for record in records[self._seen :]:
            name = record.load.partition(" ")[0]
            self._requests[name] += 1
            self._lost[name] += record.lost
        self._seen = len(records)
        return self._requests[app], self._lost[app]


def lost(ledger: Ledger, harmful: list[dict[str, Any]]) -> tuple[list[Record], list[Record]]:
    """What was lost to upgrades, and what was lost while a harmful release of these receipts had traffic."""
    inside = {id(record) for receipt in harmful for record in _within(ledger, receipt)}
    every = ledger.lost()
    return [r for r in every if id(r) not in inside], [r for r in every if id(r) in inside]


def _within(ledger: Ledger, receipt: dict[str, Any]) -> list[Record]:
    begin, end = (datetime.fromisoformat(receipt[key]) for key in ("started_at", "ended_at"))
    return [record for record in ledger.lost(begin, end) if record.load.startswith(f"{receipt['app']} ")]


def orders(ledger: Ledger, database: Path) -> Once:
    """What the clients were told, beside what the application has in its database."""
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT id, release FROM orders").fetchall()
    return exactly_once(ledger, [Order(str(id), str(release)) for id, release in rows])
