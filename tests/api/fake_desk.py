"""A tame desk: one app, ``website``, whose rollouts go as ``script`` says. Used by the tests of API and CLI."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from noren.api.server import serve
from noren.core.errors import NorenError, SettingsError, UsageError

Json = dict[str, Any]

RECEIPT: Json = {
    "rollout": 7,
    "kind": "upgrade",
    "app": "website",
    "release": 42,
    "revision": "a" * 40,
    "from_release": 41,
    "trigger": "poll",
    "events": [],
    "outcome": "kept",
    "reason": "no more errors than before in 60 s",
    "started_at": "2026-01-02T03:04:05Z",
    "ended_at": "2026-01-02T03:05:25Z",
    "requests": {"total": 18204, "ok": 18204, "failed": 0, "retried": 2, "held": 0},
    "complete": True,
    "by_release": {"41": 9000, "42": 9204},
    "latency_ms": {
        "before": {"p50": 1.2, "p99": 4.0, "samples": 900},
        "during": {"p50": 1.3, "p99": 4.4, "samples": 300},
        "after": {"p50": None, "p99": None, "samples": 0},
    },
    "longest_hold_ms": 0,
    "switch_ms": 0.12,
    "phases": [{"phase": "building", "seconds": 12.5}, {"phase": "baking", "seconds": 60.0}],
}
STATUS: Json = {
    "name": "website",
    "kind": "static",
    "phase": "kept",
    "active": {
        "release": 42,
        "revision": "a" * 40,
        "since": "2026-01-02T03:04:05Z",
        "instances": {"running": 2, "wanted": 2},
    },
    "candidate": {"release": 43, "revision": "b" * 40, "phase": "building"},
    "last_good": 42,
    "hold": {"reason": "freeze", "by": "ann", "since": "2026-01-02T03:04:05Z"},
    "quarantined": [{"revision": "c" * 40, "reason": "never ready", "since": "2026-01-02T03:04:05Z"}],
    "source_problem": "there is no branch 'mian'\nseen: branches there: main",
    "waiting": None,
    "schedule": {"next": "2026-11-24T00:00:00.000Z", "last": "2026-11-23T00:00:00.031Z", "result": "unchanged"},
    "urls": ["http://website.example/"],
    "preview": {"of": "website", "number": 12},
    "pull_requests": [{"number": 12, "revision": "d" * 40, "preview": None, "reason": "touches nothing"}],
}


def event(seq: int, phase: str, rollout: int | None = 7, text: str = "") -> Json:
    """A line of history."""
    at = f"2026-01-02T03:04:{seq % 60:02d}Z"
    return {
        "seq": seq,
        "app": "website",
        "at": at,
        "rollout": rollout,
        "phase": phase,
        "kind": "phase",
        "text": text or phase,
    }


class FakeDesk:
    """Knows one app; ``asked`` has every act, ``script`` the phases of each rollout, ``outcome`` how it ends.

    ``otherwise`` is what its status says instead.
    """

    def __init__(self, folder: Path, script: tuple[str, ...] = ("building", "baking", "kept")) -> None:
        self.folder = folder
        self.script = script
        self.outcome = "kept"
        self.otherwise: Json = {}
        self.asked: list[tuple[Any, ...]] = []
        self.history = [event(1, "kept", rollout=5)]
        self.changed = asyncio.Event()
        self.follower_gone = asyncio.Event()
        self.stuck = False
        self.ended: Callable[[], object] = lambda: None

    def know(self, app: str | None) -> None:
        if app not in (None, "website"):
            raise UsageError(f"there is no app {app}", seen="apps: website", hint="noren status")

    def add(self, line: Json) -> None:
        self.history.append(line)
        self.changed.set()
        self.changed = asyncio.Event()

    async def status(self) -> list[Json]:
        return [{**STATUS, **self.otherwise}]

    async def releases(self, app: str) -> list[Json]:
        self.know(app)
        built = {"release": 42, "revision": "a" * 40, "built_at": "2026-01-02T03:04:05Z"}
        return [{**built, "outcome": None, "reason": None}, {**built, "release": 41, "outcome": "kept", "reason": "ok"}]

    async def receipt(self, app: str, rollout: int | None) -> Json:
        self.know(app)
        if rollout not in (None, 7):
            raise UsageError(f"{app} has no rollout {rollout}")
        return {**RECEIPT, "outcome": self.outcome}

    async def events(self, app: str | None, after: int) -> list[Json]:
        self.know(app)
        return self.history[after:] if after < 0 else [line for line in self.history if line["seq"] > after]

    async def follow(self, app: str | None, after: int) -> AsyncIterator[Json]:
        last = 0
        try:
            while True:
                changed = self.changed
                for line in await self.events(app, after if last == 0 else last):
                    last = line["seq"]
                    yield line
                await changed.wait()
        finally:
            self.follower_gone.set()

    async def log_path(self, app: str, release: int | None, build: bool) -> str | None:
        self.know(app)
        path = self.folder / ("build.log" if build else f"{release or 'active'}.log")
        return str(path) if path.exists() else None

    async def quarantine(self) -> list[Json]:
        return [{"app": "website", **STATUS["quarantined"][0]}]

    async def run(self, app: str) -> Json:
        self.know(app)
        return {"release": 42, "directory": str(self.folder), "environment": {"NOREN_RELEASE": "42", "TOKEN": "x"}}

    async def wait(self, app: str, rollout: int) -> Json:
        while self.stuck or not any(
            line["rollout"] == rollout and line["phase"] == self.script[-1] for line in self.history
        ):
            await self.changed.wait()
        return {"rollout": rollout, "release": 42, "revision": "a" * 40, "outcome": self.outcome, "reason": "because"}

    async def _roll(self) -> int:
        for phase in self.script:
            self.add(event(len(self.history) + 1, phase))
            await asyncio.sleep(0)
        return 7

    async def deploy(self, app: str, revision: str | None, by: str) -> int:
        self.know(app)
        self.asked.append(("deploy", app, revision, by))
        return await self._roll()

    async def rollback(self, app: str, release: int | None, by: str) -> int:
        self.asked.append(("rollback", app, release, by))
        return await self._roll()

    async def restart(self, app: str, by: str) -> int:
        self.asked.append(("restart", app, by))
        return await self._roll()

    async def promote(self, app: str, by: str) -> None:
        raise NorenError("nothing to promote", seen="website is kept", hint="noren deploy website")

    async def abort(self, app: str, by: str) -> None:
        raise RuntimeError("a fault of ours")

    async def hold(self, app: str, reason: str, by: str) -> None:
        self.asked.append(("hold", app, reason, by))

    async def resume(self, app: str, by: str) -> None:
        self.asked.append(("resume", app, by))

    async def approve(self, app: str, number: int, revision: str, by: str) -> None:
        self.know(app)
        self.asked.append(("approve", app, number, revision, by))

    async def lift(self, app: str, revision: str, by: str) -> None:
        self.asked.append(("lift", app, revision, by))

    async def reload(self, prune: bool, dry: bool) -> list[str]:
        self.asked.append(("reload", prune, dry))
        if prune and not dry:
            raise SettingsError("noren.toml has an error", seen="\n  noren.toml:3: x")
        return ["website: a new release of the same revision"]

    async def stop(self, everything: bool) -> None:
        self.asked.append(("stop", everything))
        self.ended()


class Daemon:
    """A desk served in a thread of its own, as the CLI meets it: across a real socket."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "noren.sock"
        self.ready = threading.Event()
        self.desk: FakeDesk
        self._folder = folder
        self._loop: asyncio.AbstractEventLoop
        self.task: asyncio.Task[None]
        self.thread = threading.Thread(target=lambda: asyncio.run(self._main()))

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.desk = FakeDesk(self._folder)
        self.task = asyncio.create_task(serve(self.desk, self.path))
        self._loop.call_later(0.05, self.ready.set)
        try:
            await self.task
        except asyncio.CancelledError:
            return

    def call(self, act: Any, *arguments: Any) -> None:
        """Run something in the daemon's loop."""
        self._loop.call_soon_threadsafe(act, *arguments)

    def stop(self) -> None:
        """End it as main.py does."""
        if self.thread.is_alive():
            self.call(self.task.cancel)
            self.thread.join(10)
        assert not self.thread.is_alive()


@contextmanager
def running(folder: Path) -> Iterator[Daemon]:
    """A daemon for the time of a test."""
    daemon = Daemon(folder)
    daemon.thread.start()
    assert daemon.ready.wait(10)
    try:
        yield daemon
    finally:
        daemon.stop()
