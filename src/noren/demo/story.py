"""Tells the demo: commits go out under load, bad ones come back, and nobody loses a request.

``main.py`` runs it for ``noren demo``. The daemon is a process of its own, as on a real host; the
load and its ledger run here (``noren.prove``), so that what is said was counted by the client.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from noren.api.client import Client
from noren.core.errors import HostError, NorenError, NotRunningError
from noren.demo.team import BUILD, SERVER, Team
from noren.prove.keepalive import KeepAlive, NewConnection
from noren.prove.ledger import Ledger
from noren.prove.request import Target
from noren.prove.run import Run

SITES = ("website", "website-jp")
APPS = (*SITES, "demo")
RATE = 20.0  # requests a second and app, half of them over new connections
PATIENCE = 60.0  # seconds for the outcome of a commit


async def tell(console: Console, *, once: bool) -> int:
    """The whole story; the exit code: 1 when a request was lost that should not have been, or a step failed."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="noren-demo-") as folder, _daemon(Path(folder)) as (team, client, port):
        story = _Story(console, team, client, port)
        console.print(f"The team's repository and settings are in [bold]{folder}[/].")
        await story.first(began)
        async with Run(duration=600) as run:
            for app in APPS:
                target = Target(port=port, host=f"{app}.localhost", app=app)
                run.start(KeepAlive(name=f"{app} kept alive", target=target, rate=RATE / 2, connections=8))
                run.start(NewConnection(name=f"{app} new", target=target, rate=RATE / 2))
            with story.watching(run.ledger):
                await story.commits()
            await run.stop()
        good = story.end(run.ledger)
        if not once:
            console.print("All of it keeps running. Look around; Ctrl-C ends the demo and leaves nothing behind.")
            await _interrupted()
    return 0 if good else 1


@contextmanager
def _daemon(folder: Path) -> Generator[tuple[Team, Client, int]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    team = Team(folder, port)
    output = folder / "noren.log"
    with output.open("wb") as log:
        argv = [sys.executable, "-m", "noren.main", "-c", str(team.settings), "up"]
        daemon = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    client = Client(folder / ".noren" / "noren.sock", by="the demo")
    try:
        _wait_for(client, daemon, output)
        yield team, client, port
    finally:
        daemon.send_signal(signal.SIGINT)
        daemon.wait(60)


def _wait_for(client: Client, daemon: subprocess.Popen[bytes], output: Path) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            client.status()
            return
        except NotRunningError as exc:
            if daemon.poll() is not None or time.monotonic() > end:
                raise HostError("the daemon did not start", seen=output.read_text()[-2000:]) from exc
            time.sleep(0.05)


async def _interrupted() -> None:
    asked = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    await asked.wait()


class _Story:
    def __init__(self, console: Console, team: Team, client: Client, port: int) -> None:
        self._console = console
        self._team = team
        self._client = client
        self._port = port
        self._wrong: list[str] = []

    async def first(self, began: float) -> None:
        """The first release of every app."""
        self._console.print("Three apps, one repository. Noren builds the first commit and brings it up.")
        for app in APPS:
            await self._settled(app, 1)
        seconds = time.monotonic() - began
        self._console.print(f"The first pages were served {seconds:.1f} s after the demo began:")
        for app in APPS:
            self._console.print(f"  http://{app}.localhost:{self._port}/")

    async def commits(self) -> None:
        """Good commits, and bad ones of three kinds."""
        await self._push({"en/title": "Hello, spring"}, "A new title", {"website": "kept"})
        await self._push({"jp/title": "こんにちは、春"}, "日本語の見出し", {"website-jp": "kept"})
        await self._push({"build.sh": "echo 'no such template' >&2; exit 3\n"}, "Oops", dict.fromkeys(SITES, "failed"))
        await self._push({"build.sh": BUILD + "# repaired\n"}, "Repair the build", dict.fromkeys(SITES, "kept"))
        await self._push({"demo/server.py": SERVER + "\n# faster\n"}, "A faster demo", {"demo": "kept"})
        crash = "raise SystemExit('no database')\n"
        await self._push({"demo/server.py": crash}, "Crashes at start", {"demo": "aborted"})
        bad = SERVER.replace("FAIL = False", "FAIL = True")
        await self._push({"demo/server.py": bad}, "Ready, but answers badly", {"demo": "rolled_back"})
        await self._push({"demo/server.py": SERVER + "\n# good again\n"}, "Mend the demo", {"demo": "kept"})

    async def _push(self, files: dict[str, str], message: str, expected: dict[str, str]) -> None:
        before = {app: self._newest(app) for app in APPS}
        revision = self._team.push(files, message)
        self._console.print(f"\n[bold]git push[/] {revision[:7]} {message!r}")
        for app, outcome in expected.items():
            found = await self._settled(app, before[app] + 1)
            self._say(app, found)
            if found["outcome"] != outcome:
                self._wrong.append(f"{app}: {message!r} ended as {found['outcome']}, not {outcome}")

    def _newest(self, app: str) -> int:
        return max((r["release"] for r in self._releases(app)), default=0)

    def _releases(self, app: str) -> list[dict[str, Any]]:
        found: Any = self._client.releases(app)
        return found

    async def _settled(self, app: str, number: int) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for release in self._releases(app):
                if release["release"] == number and release["outcome"]:
                    return release
            await asyncio.sleep(0.1)
        raise NorenError(f"release {number} of {app} has no outcome after {PATIENCE:g} s", hint=f"noren events {app}")

    def _say(self, app: str, release: dict[str, Any]) -> None:
        reason = release["reason"].splitlines()[0]
        colour = "green" if release["outcome"] == "kept" else "yellow"
        self._console.print(f"  {app}: release {release['release']} [{colour}]{release['outcome']}[/]: ", end="")
        self._console.print(reason, markup=False, soft_wrap=True)
        if release["outcome"] != "kept":
            self._console.print(f"  {app}: release {self._active(app)} serves on; no trigger tries this commit again")

    def _active(self, app: str) -> int | None:
        entry = next(a for a in self._status() if a["name"] == app)
        return entry["active"]["release"] if entry["active"] else None

    def _status(self) -> list[dict[str, Any]]:
        answer: Any = self._client.status()
        return answer["apps"]

    @contextmanager
    def watching(self, ledger: Ledger) -> Generator[None]:
        """A live table below the story; nothing in a pipe."""
        if not self._console.is_terminal:
            yield
            return
        with Live(get_renderable=lambda: self._table(ledger), console=self._console, refresh_per_second=4):
            yield

    def _table(self, ledger: Ledger) -> Table:
        table = Table("app", "active", "phase", "requests", "lost", box=None, header_style="dim")
        for entry in self._status():
            records = [r for r in ledger.records if r.load.startswith(f"{entry['name']} ")]
            active = str(entry["active"]["release"]) if entry["active"] else "-"
            lost = str(sum(r.lost for r in records))
            table.add_row(entry["name"], active, entry["phase"], str(len(records)), lost)
        return table

    def end(self, ledger: Ledger) -> bool:
        """The receipts; whether all came as it should."""
        self._console.print("\nThe receipt of each app's last rollout:")
        for app in APPS:
            receipt: Any = self._client.receipt(app)
            requests = receipt["requests"]
            self._console.print(
                f"  {app} release {receipt['release']} {receipt['outcome']}: {requests['total']} requests, "
                f"{requests['failed']} failed, {requests['retried']} retried, switched in {receipt['switch_ms']:.1f} ms"
            )
        lost = ledger.lost()
        rolled = [r for r in lost if r.load.startswith("demo ") and r.status == 500]
        others = [r for r in lost if r not in rolled]
        self._console.print(
            f"The client asked {len(ledger.records)} times and lost {len(others)} requests to upgrades; "
            f"{len(rolled)} met the bad release of demo in the moment before it was sent back."
        )
        for record in others[:10]:
            self._console.print(f"  lost: {record}", markup=False)
        for sentence in self._wrong:
            self._console.print(f"  unexpected: {sentence}", markup=False)
        return not others and not self._wrong
