"""All apps of one host: started, changed by a reload, pruned, stopped.

Made by ``daemon.py``, used by ``desk.py``. Each app has its own loop; a fault in one is none of
the others'.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches

from noren.core.errors import NorenError, OutsideError, TrafficError, UsageError
from noren.core.forge import PullRequest
from noren.core.model import App, Instance, Routing, Triggers, Webhook, build_key, settings_digest
from noren.core.preview import preview, preview_name
from noren.core.quarantine import find
from noren.core.record import Note, ReleaseRecord, released
from noren.core.release import superfluous
from noren.core.schedule import SETTINGS, Wanted
from noren.engine.book import Book
from noren.engine.hints import Hints
from noren.engine.loop import AppLoop
from noren.engine.poll import Poll, place
from noren.engine.ports import Ports
from noren.engine.previews import Previews
from noren.engine.recover import recover
from noren.engine.timer import Timer


class Host:
    """The apps by name."""

    def __init__(
        self, ports: Ports, group: asyncio.TaskGroup, clear: Callable[[str], Awaitable[None]] | None = None
    ) -> None:
        """``clear`` removes what an app that will not come back left on the disk."""
        self.ports = ports
        self.loops: dict[str, AppLoop] = {}
        self.changed = asyncio.Condition()
        self._group = group
        self._poll = Poll(ports.source, group)
        self.previews = Previews(self, group)
        self._clear = clear
        self._hints: dict[str, Hints] = {}
        self._timer = Timer(ports.source, group)
        self._pruning = asyncio.Event()
        self._changing = asyncio.Lock()

    async def start(self, apps: Iterable[App]) -> None:
        """Take up every app where it was left, then look at the repositories."""
        for app in apps:
            await self._open(app)
            await self._open_previews(self.loops[app.name])
        for name in await self._absent():
            await self._open_left(name)
        self._group.create_task(self._prune_when_asked(), name="prune")
        self._watch()

    def _watch(self) -> None:
        self._poll.watch(self.loops)
        self._timer.watch(self.loops)
        self.previews.watch(list(self.loops.values()))

    def _look_away(self) -> None:
        self._poll.stop()
        self._timer.stop()

    def loop(self, name: str) -> AppLoop:
        """An app by name; raises UsageError with the names there are."""
        if name in self.loops:
            return self.loops[name]
        names = ", ".join(self.loops) or "none"
        meant = get_close_matches(name, self.loops, 1)
        hint = f"did you mean {meant[0]}?" if meant else "noren status"
        raise UsageError(f"there is no app {name}", seen=f"apps: {names}", hint=hint)

    async def hint(self, app: str, delivery: str | None) -> None:
        """A webhook tells that something happened; returns once that is durable, raises StateError."""
        loop = self.loop(app)
        if app not in self._hints:
            self._hints[app] = Hints(loop.book, self.ports.ledger, lambda: self.look(loop))
        await self._hints[app].take(delivery)

    def look(self, loop: AppLoop) -> None:
        """Look at the repository of an app soon; where neither polls nor webhooks are wanted, no change."""
        self._poll.hint(loop.book.app)
        self.previews.hint(loop.book.app.name)

    def plan(self, apps: Mapping[str, App], prune: bool) -> list[str]:
        """What ``change`` would do, a line each; raises UsageError when an app would go without ``prune``."""
        lines = [f"{name}: new app" for name in apps if name not in self.loops]
        loops = {name: loop for name, loop in self.loops.items() if loop.book.app.preview is None}
        for name, loop in loops.items():
            after = apps.get(name)
            if after is None:
                lines.append(f"{name}: removed, its instances are stopped")
            elif place(after) != place(loop.book.app):
                lines.append(f"{name}: {_moved(after)}")
            elif settings_digest(after) != settings_digest(loop.book.app):
                lines.append(f"{name}: changed, a new release of the same revision")
            elif loop.absent:
                lines.append(f"{name}: back in the settings")
            elif after != loop.book.app:
                lines.append(f"{name}: changed, no new release needed")
        removed = [name for name in loops if name not in apps]
        if removed and not prune:
            raise UsageError(
                f"{', '.join(removed)} would be removed", hint="noren reload --prune, or put it back into the settings"
            )
        kinds = [n for n, loop in self.loops.items() if n in apps and apps[n].kind is not loop.book.app.kind]
        if kinds:
            raise UsageError(f"{', '.join(kinds)} would change its kind", hint="give the app another name")
        return lines or ["nothing has changed"]

    async def change(self, apps: Mapping[str, App]) -> None:
        """Make the host run these apps; call ``plan`` first."""
        async with self._changing:
            self._look_away()
            try:
                # A host that moves is given to its new app before the old one lets go of it.
                for app in sorted(apps.values(), key=self._gives_away):
                    if app.name in self.loops:
                        await self._change(self.loops[app.name], app)
                    else:
                        await self._open(app)
                    await self._open_previews(self.loops[app.name])
                for loop in [n for n in self.loops.values() if n.book.app.preview is None]:
                    if loop.book.app.name not in apps:
                        await self._remove(loop)
            finally:
                self._watch()

    async def _remove(self, loop: AppLoop) -> None:
        for pull in loop.book.previews.open:
            await self._close_preview(loop, pull.number)
        await self._close(loop, "removed from the settings")
        del self.loops[loop.book.app.name]

    def _gives_away(self, app: App) -> bool:
        known = self.loops.get(app.name)
        return known is not None and not set(known.book.app.hosts) <= set(app.hosts)

    async def _open(self, app: App) -> None:
        await self._caught_up(await self._take_up(app))

    async def _take_up(self, app: App, releases: int = 0, *, absent: bool = False) -> AppLoop:
        """``releases``: the number that the releases of a new app go on from."""
        book = await self._book(app)
        if book.record.releases < releases:
            await book.save(replace(book.record, releases=releases))
        loop = AppLoop(book, self.ports, self._group, self._pruning.set)
        loop.absent = absent
        if absent and book.record.wanted:
            text = "it left the settings: what waits begins when it is back, or is dropped by `noren reload --prune`"
            await book.save(notes=[book.note("app", text)])
        self.loops[app.name] = loop
        await recover(loop)
        return loop

    async def _open_left(self, name: str) -> None:
        """An app that left the settings while Noren was down serves on until a reload prunes it, without triggers."""
        app = released(await self.ports.ledger.load(name))
        if app is None or not await self._runs(app):
            for proxy in dict.fromkeys(self.ports.proxies.values()):
                with suppress(TrafficError):  # told again at the next start; until then it has no server
                    await proxy.apply(Routing(app=name, hosts=()))
            return
        taken = {host for loop in self.loops.values() for host in loop.book.app.hosts}
        hosts = tuple(host for host in app.hosts if host not in taken)
        app = replace(app, hosts=hosts, triggers=Triggers(poll=None), webhook=Webhook())
        await self._take_up(app, absent=True)

    async def _runs(self, app: App) -> bool:
        """Whether anything of it is meant to run, or runs: a candidate, say, that was all there was."""
        book = await self._book(app)
        if book.record.meant_to_run:
            return True
        runner = self.ports.runners.get(app.kind)
        if runner is None:
            return False
        try:
            return any([await runner.adopt(instance) for instance in book.instances])
        except OutsideError:
            return True  # who takes it up tells, and knows what to do

    async def _book(self, app: App) -> Book:
        book = Book(app, self.ports.ledger, self.ports.clock, self.changed)
        await book.load()
        return book

    async def _absent(self) -> list[str]:
        return [name for name in await self.ports.ledger.apps() if name not in self.loops]

    async def _caught_up(self, loop: AppLoop) -> None:
        """Settings that changed while Noren was not running count as changed now."""
        record = loop.book.record
        if record.settings and record.settings != settings_digest(loop.book.app):
            await self._new_settings(loop)

    async def _change(self, loop: AppLoop, app: App) -> None:
        before = loop.book.app
        if before == app and not loop.absent:
            return
        loop.book.app, loop.absent = app, False
        if settings_digest(before) != settings_digest(app):
            await self._new_settings(loop)
        async with loop.turn:
            await loop.router.mend()
            await loop.next()  # other windows may let it begin

    async def _new_settings(self, loop: AppLoop) -> None:
        """A new release of the same revision: of the one a person chose, else of the newest considered.

        From another repository or branch it is what the next look finds: the old revision need not be there.
        """
        async with loop.turn:
            record = loop.book.record
            newest = max(loop.book.releases.values(), key=lambda r: r.number, default=None)
            if newest is not None and place(newest.app) != place(loop.book.app):
                loop.tasks.cancel("retry")
                note = loop.book.note("trigger", _moved(loop.book.app))
                await loop.book.save(replace(record, tip=None, revision=None, tag=None, wanted=None), notes=[note])
                return
            digest = settings_digest(loop.book.app)
            active = loop.book.releases[record.active.release].revision if record.active else None
            chosen = (record.pinned or record.revision, active)
            revision = next((r for r in chosen if r and not find(loop.book.quarantined, r, digest)), None)
            if revision is None:
                return
            record = replace(record, settings=digest)
            if record.hold is not None:
                await loop.book.save(replace(record, tip=None, revision=None))
                return
            note = loop.book.note("trigger", f"settings changed: {revision[:12]} again")
            await loop.want(record, Wanted(revision=revision, trigger=SETTINGS), note)

    async def _close(self, loop: AppLoop, why: str) -> None:
        """No new requests, let the running ones end, stop; its records stay for the case that it comes back.

        Raises TrafficError with nothing changed when the proxy does not answer.
        """
        async with loop.turn:
            book, app = loop.book, loop.book.app
            book.app = replace(app, hosts=())
            try:
                await loop.router.show()
            except TrafficError:
                book.app = app
                raise
            loop.tasks.cancel_all()
            self._hints.pop(app.name, None)
            names = [i.id for i in book.instances]
            proxy = self.ports.proxies[app.kind]
            await proxy.drain(app.name, names, requests=app.drain.requests, connections=app.drain.requests)
            await proxy.apply(Routing(app=app.name, hosts=()))
            await self._end(loop, [i for i in book.instances if i not in book.record.left])
            notes = [book.note("app", why), *await self._still_there(loop)]
            ended = book.record.active and replace(book.record.active, instances=())
            gone = replace(book.record, active=ended, healing=None, left=())
            await book.save(gone, drop=list(book.retiring.values()), notes=notes)

    def find(self, app: str) -> AppLoop | None:
        """An app that runs, previews included."""
        return self.loops.get(app)

    def taken(self, host: str, name: str) -> str | None:
        """The app other than ``name`` that has this host."""
        return next((n for n, loop in self.loops.items() if n != name and host in loop.book.app.hosts), None)

    async def open_preview(self, parent: AppLoop, pull: PullRequest) -> AppLoop:
        """Take a preview up, or change it to what it should be now; written down before."""
        async with self._changing:
            async with parent.turn:
                record = parent.book.previews
                others = tuple(each for each in record.open if each.number != pull.number)
                pulls = (*others, replace(pull, age=0.0))
                if set(pulls) != set(record.open):
                    await parent.book.save(replace(record, open=pulls))
            app = preview(parent.book.app, pull)
            known = self.loops.get(app.name)
            if known is not None:
                await self._change(known, app)
                return known
            return await self._take_up(app, record.releases)

    async def close_preview(self, parent: AppLoop, number: int) -> None:
        """End a preview and forget all of it: instances, route, refs, records, folders, and soon its builds."""
        async with self._changing:
            await self._close_preview(parent, number)

    async def _close_preview(self, parent: AppLoop, number: int) -> None:
        name = preview_name(parent.book.app.name, number)
        loop = self.loops.get(name) or await self._unopened(name)
        releases = 0
        if loop is not None:
            await self._close(loop, f"pull request {number} has no preview any more")
            for release in loop.book.releases.values():
                await self.ports.source.forget(release.app, release.number)
            releases = loop.book.record.releases
            self.loops.pop(name, None)
        await self.ports.ledger.forget(name)
        if self._clear is not None:
            await self._clear(name)
        async with parent.turn:
            record = parent.book.previews
            left = tuple(pull for pull in record.open if pull.number != number)
            await parent.book.save(replace(record, open=left, releases=max(record.releases, releases)))
        self._pruning.set()

    async def _unopened(self, name: str) -> AppLoop | None:
        """A preview that was not taken up at the start, because previews are no longer wanted."""
        app = released(await self.ports.ledger.load(name))
        return await self._take_up(app) if app else None

    async def _open_previews(self, parent: AppLoop) -> None:
        """Those that were there, as the settings want them now; what became of their pull requests is asked later."""
        for pull in parent.book.previews.open if parent.book.app.pull_requests else ():
            app = preview(parent.book.app, pull)
            if app.name in self.loops:
                await self._change(self.loops[app.name], app)
            else:
                await self._open(app)

    async def stop(self) -> None:
        """End every instance; the records say what to start again."""
        self._look_away()
        self.previews.stop()
        for loop in self.loops.values():
            loop.tasks.cancel_all()
        await _all(self._end(loop, loop.book.instances) for loop in self.loops.values())

    def leave(self) -> None:
        """Stop deciding and let everything run: the next start adopts it."""
        self._look_away()
        self.previews.stop()
        for loop in self.loops.values():
            loop.tasks.cancel_all()

    async def _end(self, loop: AppLoop, instances: Iterable[Instance]) -> None:
        app = loop.book.app
        await _all(self.ports.runners[app.kind].stop(instance, app.drain.grace) for instance in instances)

    async def _still_there(self, loop: AppLoop) -> list[Note]:
        """What could not be ended before is tried once more, and keeps no app from going."""
        told: list[Note] = []

        async def end(instance: Instance) -> None:
            try:
                await self._end(loop, [instance])
            except OutsideError as exc:
                told.append(loop.book.note("fault", f"{instance.id} is still there: {exc}"))

        await _all(end(instance) for instance in loop.book.record.left)
        return told

    async def _prune_when_asked(self) -> None:
        while True:
            await self._pruning.wait()
            self._pruning.clear()
            try:
                await self.prune()
            except NorenError as exc:
                for loop in list(self.loops.values()):
                    await loop.book.save(notes=[loop.book.note("fault", f"pruning failed: {exc}")])

    async def prune(self) -> None:
        """Forget releases that nothing can go back to, and remove the builds that no release needs."""
        for loop in list(self.loops.values()):  # a reload may change them meanwhile
            async with loop.turn:
                await self._prune(loop)
        absent = [await self.ports.ledger.load(name) for name in await self._absent()]
        releases = [r for records in absent for r in records if isinstance(r, ReleaseRecord)]
        releases += [r for loop in self.loops.values() for r in loop.book.releases.values()]
        keys = {r.artifact.key for r in releases if r.artifact}
        under_way = [loop.book.rollout.rollout for loop in self.loops.values() if loop.book.rollout]
        keys |= {build_key(r.app, r.revision, r.rebuilt) for r in under_way}
        waiting = [(loop.book.app, loop.book.record.wanted) for loop in self.loops.values()]
        keys |= {build_key(app, wanted.revision, wanted.rebuilt) for app, wanted in waiting if wanted}
        await self.ports.builder.prune(frozenset(keys))

    async def _prune(self, loop: AppLoop) -> None:
        book = loop.book
        in_use = {r.retiring.running.release for r in book.retiring.values()}
        in_use |= {book.record.active.release} if book.record.active else set()
        in_use |= {book.record.last_good} if book.record.last_good else set()
        in_use |= {book.rollout.rollout.number} if book.rollout else set()
        for release in superfluous(book.releases.values(), keep=book.app.keep, in_use=in_use):
            await self.ports.source.forget(book.app, release.number)
            await book.save(replace(release, artifact=None))


def _moved(app: App) -> str:
    """What a changed repository or branch leads to."""
    triggers = app.triggers
    look = f"poll is off: noren deploy {app.name}"
    look = "its tip is considered at the next scheduled time" if triggers.schedule else look
    look = "its tip is considered next" if triggers.poll is not None else look
    followed = f"the tags {app.tags}" if app.tags else app.branch or "the default branch"
    return f"changed to {followed} of {app.repo}, {look}"


async def _all(works: Iterable[Awaitable[None]]) -> None:
    """All to their end, at once, and then the first error: what cannot be ended must not save the others."""
    outcomes = await asyncio.gather(*works, return_exceptions=True)
    for outcome in outcomes:
        if outcome is not None:
            raise outcome
