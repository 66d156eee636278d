"""Where people and scripts are served: reads the books, passes commands on.

The API calls it over the unix socket; it satisfies ``api.desk.Desk``. Reload and stop belong to
the daemon itself, so ``daemon.py`` gives them in.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from noren.core.errors import HostError, UsageError
from noren.core.model import App, Instance, Release
from noren.core.verdict import Outcome
from noren.engine import command, report
from noren.engine.host import Host

Json = dict[str, Any]
_PAGE = 1000  # lines of history read at once


class Desk:
    """Serves every verb of the CLI."""

    def __init__(
        self,
        host: Host,
        *,
        urls: Callable[[App], Sequence[str]],
        environment: Callable[[Release, Instance | None], dict[str, str]],
        reload: Callable[[bool, bool], Awaitable[list[str]]],
        stop: Callable[[bool], Awaitable[None]],
        variable: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        self._host = host
        self._urls = urls
        self._environment = environment
        self._reload = reload
        self._stop = stop
        self._variable = variable

    async def status(self) -> list[Json]:
        """Every app."""
        return [
            report.status(loop.book, self._urls(loop.book.app), loop.left_out, loop.source_problem)
            for loop in self._host.loops.values()
        ]

    async def releases(self, app: str) -> list[Json]:
        """Newest first."""
        return report.releases(self._host.loop(app).book)

    async def receipt(self, app: str, rollout: int | None) -> Json:
        """One receipt, by default the newest."""
        self._host.loop(app)
        body = await self._host.ports.ledger.receipt(app, rollout)
        if body is None:
            which = f"rollout {rollout}" if rollout is not None else "any rollout"
            raise UsageError(f"{app} has no receipt of {which}", hint=f"noren events {app}")
        return json.loads(body)

    async def events(self, app: str | None, after: int) -> list[Json]:
        """History after a ``seq``, or its newest ``-after`` lines."""
        if app is not None:
            self._host.loop(app)
        return list(await self._host.ports.ledger.notes(app, after, _PAGE))

    async def follow(self, app: str | None, after: int) -> AsyncIterator[Json]:
        """History, and then each line as it comes."""
        while True:
            lines = await self.events(app, after)
            for line in lines:
                yield line
            after = lines[-1]["seq"] if lines else max(after, 0)
            if not lines:
                async with self._host.changed:
                    await self._host.changed.wait()

    async def log_path(self, app: str, release: int | None, build: bool) -> str | None:
        """The log of the newest instance of a release, or of its build."""
        book = self._host.loop(app).book
        log = self._host.ports.builder.log
        last = book.record.rebuild
        if build and release is None and last and last.failed:
            return await log(book.app, last.revision, last.at)
        serving = book.serving
        number = release or (serving.release if serving and not build else max(book.releases, default=0))
        if not number:
            return None
        record = book.release(number)
        if build:
            return await log(record.app, record.revision, record.rebuilt)
        return next((i.log for i in book.instances if i.release == number and i.log), None)

    async def quarantine(self) -> list[Json]:
        """What no trigger tries again, newest first."""
        rows = [
            {"app": name, "revision": q.revision, "reason": q.reason, "since": q.since}
            for name, loop in self._host.loops.items()
            for q in loop.book.quarantined
        ]
        return sorted(rows, key=lambda row: row["since"], reverse=True)

    async def run(self, app: str) -> Json:
        """Directory and environment of the active release."""
        book = self._host.loop(app).book
        serving = book.serving
        release = book.release(serving.release).release if serving else None
        if serving is None or release is None:
            raise UsageError(f"{app} has no active release")
        instance = serving.instances[0] if serving.instances else None
        return {
            "release": serving.release,
            "directory": release.artifact.path,
            "environment": self._environment(release, instance),
        }

    async def wait(self, app: str, rollout: int) -> Json:
        """The verdict of a rollout, or of the one that superseded it."""
        book = self._host.loop(app).book
        if rollout > book.record.rollouts + 1:
            raise UsageError(f"{app} has no rollout {rollout}")
        while True:
            body = await self._host.ports.ledger.receipt(app, rollout)
            if body is None:
                async with self._host.changed:
                    await self._host.changed.wait()
                continue
            receipt = json.loads(body)
            if receipt["outcome"] != Outcome.SUPERSEDED.value:
                return {k: receipt[k] for k in ("rollout", "release", "revision", "outcome", "reason")}
            rollout += 1

    def secret(self, app: str) -> str:
        """The secret of an app's webhook, from the daemon's environment."""
        name = self._host.loop(app).book.app.webhook.secret_env
        if name is None:
            raise UsageError(f"{app} takes no webhooks", hint=f"set webhook.secret_env of {app}")
        if not (secret := self._variable(name)):
            raise HostError(f"Noren runs without {name}, the secret of the webhook of {app}")
        return secret

    async def hint(self, app: str, delivery: str | None) -> None:
        """Look at the app's repository soon."""
        await self._host.hint(app, delivery)

    async def deploy(self, app: str, revision: str | None, by: str) -> int:
        """Release a revision, or the tip of the branch."""
        return await command.deploy(self._host.loop(app), self._host.ports.source, revision, by)

    async def rollback(self, app: str, release: int | None, by: str) -> int:
        """Go back."""
        return await command.rollback(self._host.loop(app), release, by)

    async def restart(self, app: str, by: str) -> int:
        """New instances of the active release."""
        return await command.restart(self._host.loop(app), by)

    async def promote(self, app: str, by: str) -> None:
        """Keep the candidate now."""
        await command.promote(self._host.loop(app), by)

    async def abort(self, app: str, by: str) -> None:
        """End the rollout under way."""
        await command.abort(self._host.loop(app), by)

    async def hold(self, app: str, reason: str, by: str) -> None:
        """Stop triggers."""
        await command.hold(self._host.loop(app), reason, by)

    async def approve(self, app: str, number: int, revision: str, by: str) -> None:
        """Let a commit of a fork have a preview."""
        await self._host.previews.approve(self._host.loop(app), number, revision, by)

    async def resume(self, app: str, by: str) -> None:
        """End a hold."""
        await command.resume(self._host.loop(app), by)
        self._host.look(self._host.loop(app))

    async def lift(self, app: str, revision: str, by: str) -> None:
        """Out of quarantine."""
        await command.lift(self._host.loop(app), revision, by)
        self._host.look(self._host.loop(app))

    async def reload(self, prune: bool, dry: bool) -> list[str]:
        """Read the settings again; the plan."""
        return await self._reload(prune, dry)

    async def stop(self, everything: bool) -> None:
        """End the daemon, with ``everything`` all that it runs."""
        await self._stop(everything)
