"""Tells the demo: commits go out under load, bad ones come back, and nobody loses a request.

``main.py`` runs it for ``noren demo``. The daemon is a process of its own (``daemon``); the load and its ledger run
here (``traffic``), so that what is said was counted by the client.
"""

from __future__ import annotations

import asyncio
import http.client
import signal
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from noren.api.client import Client
from noren.core.errors import NorenError
from noren.demo.commits import APPS, STORY, Commit
from noren.demo.daemon import daemon, free_port
from noren.demo.team import Team
from noren.demo.traffic import Traffic, lost, orders
from noren.prove.ledger import Ledger
from noren.prove.run import Run

PATIENCE = 60.0  # seconds for the first page, and for the outcome of a commit
COLOURS = {"kept": "green", "failed": "yellow", "aborted": "yellow", "rolled_back": "yellow"}
WORDS = {
    "kept": "is live",
    "failed": "was not built",
    "aborted": "never got traffic",
    "rolled_back": "was sent back",
}


async def tell(console: Console, *, once: bool, began: float | None = None) -> int:
    """The whole story; the exit code: 1 when an upgrade lost a request or a commit ended otherwise than it must.

    ``began`` (seconds since boot): when whoever asked for the demo did so, if that was before now.
    """
    began = began or time.clock_gettime(time.CLOCK_BOOTTIME)
    _end_on_signals()
    with tempfile.TemporaryDirectory(prefix="noren-demo-") as folder:
        team = Team(Path(folder), port := free_port())
        with daemon(team.settings) as client:
            story = _Story(console, team, client, port)
            await story.first(began)
            async with Run(duration=900) as run:
                with story.watching(Traffic(run, port)):
                    await story.commits()
                ledger = await run.stop()
            good = story.end(ledger)
            if not once:
                await story.stay()
    return 0 if good else 1


def _end_on_signals() -> None:
    """Whatever ends the demo early, the daemon and the folder do not stay behind."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)


class _Story:
    def __init__(self, console: Console, team: Team, client: Client, port: int) -> None:
        self._console = console
        self._team = team
        self._client = client
        self._port = port
        self._wrong: list[str] = []
        self._receipts: list[dict[str, Any]] = []
        self._harmful: list[dict[str, Any]] = []

    async def first(self, began: float) -> None:
        """The first release of every app, and how long the first page took."""
        self._print(f"A team's repositories and settings are in {self._team.settings.parent}.", style="bold")
        self._print("website and website-jp are built from one repository, demo is a web application with a database.")
        self._print(self._team.documentation.told)
        self._print("Noren builds the first commit of each and brings it up.")
        await self._served("website")
        took = time.clock_gettime(time.CLOCK_BOOTTIME) - began
        self._print(f"The first page was served {took:.1f} s after the demo was asked for.", style="bold")
        for app in APPS:
            await self._settled(app, 1)
        self.addresses()

    def addresses(self) -> None:
        """Where to look."""
        for app in APPS:
            self._print(f"  http://{app}.localhost:{self._port}/")

    async def stay(self) -> None:
        """Until a signal comes."""
        self._print("\nAll of it keeps running. Look around; Ctrl-C ends it and leaves nothing behind.", style="bold")
        self.addresses()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    async def commits(self) -> None:
        """Chapter by chapter."""
        for heading, commits in STORY:
            self._print(f"\n{heading}", style="bold")
            before = {app: self._newest(app) for app in APPS}
            pushed = [commit for commit in commits if self._push(commit)]
            for commit in pushed:
                for app in commit.apps:
                    self._say(commit, app, await self._settled(app, before[app] + 1))

    def _push(self, commit: Commit) -> bool:
        pushed = commit.push(self._team)
        if pushed is not None:
            self._print(f"git push {pushed[0][:7]} to {commit.repo}: {pushed[1]!r}")
        return pushed is not None

    def _newest(self, app: str) -> int:
        return max((r["release"] for r in self._releases(app)), default=0)

    def _releases(self, app: str) -> list[dict[str, Any]]:
        return self._client.releases(app)

    async def _served(self, app: str) -> None:
        end = time.monotonic() + PATIENCE
        while not self._answers(app):
            ended = [release for release in self._releases(app) if release["outcome"] not in (None, "kept")]
            if ended or time.monotonic() > end:
                seen = ended[0]["reason"] if ended else self._log()
                raise NorenError(f"{app} serves no page after {PATIENCE - end + time.monotonic():.0f} s", seen=seen)
            await asyncio.sleep(0.05)

    def _answers(self, app: str) -> bool:
        asked = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            asked.request("GET", "/", headers={"Host": f"{app}.localhost"})
            return asked.getresponse().status == 200
        except OSError:
            return False
        finally:
            asked.close()

    async def _settled(self, app: str, number: int) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for release in self._releases(app):
                if release["release"] == number and release["outcome"]:
                    return release
            await asyncio.sleep(0.1)
        raise NorenError(f"release {number} of {app} has no outcome after {PATIENCE:g} s", seen=self._log())

    def _log(self) -> str:
        return "\n".join((self._team.settings.with_name("noren.log")).read_text().splitlines()[-20:])

    def _say(self, commit: Commit, app: str, release: dict[str, Any]) -> None:
        outcome = str(release["outcome"])
        lines = [line.strip() for line in release["reason"].splitlines() if line.strip()]
        seen = [line.removeprefix("seen: ") for line in lines[1:] if not line.startswith("try: ")]
        head = Text.assemble(
            f"  {app} release {release['release']} ", (WORDS.get(outcome, outcome), COLOURS.get(outcome, "red"))
        )
        self._print(head.append(f": {lines[0]}"))
        if seen:
            self._print(f"    {seen[-1]}", style="dim")
        if outcome != "kept":
            self._print(f"    release {self._active(app)} serves on; no trigger tries this commit again", style="dim")
        if outcome != commit.outcome:
            self._wrong.append(f"{app}: {commit.message!r} ended as {outcome}, not {commit.outcome}")
        receipt = self._client.receipt(app)
        self._receipts.append(receipt)
        if commit.harm:
            self._harmful.append(receipt)

    def _active(self, app: str) -> int | None:
        entry = next(a for a in self._status() if a["name"] == app)
        return entry["active"]["release"] if entry["active"] else None

    def _status(self) -> list[dict[str, Any]]:
        return self._client.status()["apps"]

    @contextmanager
    def watching(self, traffic: Traffic) -> Generator[None]:
        """A live table below the story; nothing in a pipe."""
        if not self._console.is_terminal:
            yield
            return
        with Live(get_renderable=lambda: self._table(traffic), console=self._console, refresh_per_second=4):
            yield

    def _table(self, traffic: Traffic) -> Table:
        table = Table("app", "release", "phase", "requests", "lost", box=None, header_style="dim", padding=(0, 2))
        for entry in self._status():
            requests, gone = traffic.of(entry["name"])
            release = str(entry["active"]["release"]) if entry["active"] else "-"
            table.add_row(entry["name"], release, entry["phase"], f"{requests:,}", str(gone))
        return table

    def end(self, ledger: Ledger) -> bool:
        """The receipts; whether all came as it should."""
        self._print("\nThe receipts, as `noren receipt` gives them:", style="bold")
        self._console.print(_receipts(self._receipts))
        ours, harmed = lost(ledger, self._harmful)
        self._print(
            f"\nThe clients asked {len(ledger.records):,} times. Upgrades lost {len(ours)} requests.",
            style="bold red" if ours else "bold green",
        )
        self._print(f"{len(harmed)} met one of the two bad releases of demo in the moment before it was sent back.")
        once = orders(ledger, self._team.orders)
        missing, doubled = len(once.missing), len(once.doubled)
        self._print(f"Of {once.orders:,} orders {missing} are missing in the database and {doubled} are there twice.")
        wrong = [*map(str, ours[:10]), *self._wrong, *(once.lines()[1:] if once.broken else [])]
        for sentence in wrong:
            self._print(f"  unexpected: {sentence}", style="red")
        return not wrong

    def _print(self, text: str | Text, style: str | None = None) -> None:
        """One line, never wrapped in a pipe; nothing in it is markup."""
        self._console.print(text, style=style, markup=False, soft_wrap=not self._console.is_terminal)


def _receipts(receipts: list[dict[str, Any]]) -> Table:
    table = Table("app", "release", "outcome", "requests", "failed", "retried", "switch", box=None, header_style="dim")
    for receipt in receipts:
        requests = receipt["requests"] or {"total": 0, "failed": 0, "retried": 0}
        counts = [f"{requests[name]:,}" for name in ("total", "failed", "retried")]
        switch = f"{receipt['switch_ms']:.0f} ms" if receipt["switch_ms"] is not None else "-"
        outcome = Text(receipt["outcome"], style=COLOURS.get(receipt["outcome"], ""))
        table.add_row(receipt["app"], str(receipt["release"]), outcome, *counts, switch)
    return table
