"""Runs releases of static sites: a folder that Caddy serves is the instance, no process starts.

The engine calls it as the Runner of kind static. Two instances of one release (a restart) share a
folder; each leaves its mark there, and the folder goes with the last one.
"""

from __future__ import annotations

import asyncio
import errno
import os
from dataclasses import replace
from pathlib import Path

from noren.adapters.caddy import Caddy
from noren.adapters.caddy_config import ETAG_SUFFIX
from noren.adapters.identity import boot_id
from noren.adapters.removal import remove
from noren.adapters.site_tree import page, publish
from noren.core.errors import HostError, OutsideError, ReleaseError
from noren.core.model import App, Exit, Found, Instance, Release


def site_label(app: str, release: int) -> str:
    """``website-42``: the folder of a release, and the first label of the host that selects it."""
    return f"{app}-{release}"


class Sites:
    """The Runner of static releases."""

    def __init__(self, caddy: Caddy) -> None:
        self._caddy = caddy
        self._one = asyncio.Lock()

    async def start(self, release: Release, instance: Instance) -> Instance:
        """Publish the artifact; raises ReleaseError when it is no site, OutsideError when the host fails.

        Again: no change.
        """
        served = await self._served(instance)
        async with self._one:
            await asyncio.to_thread(self._publish, release, instance)
        return served

    async def adopt(self, instance: Instance) -> Instance | None:
        """The instance while its folder is there; None after a reboot: what was not yet on disk is unknown."""
        site = self._site(instance)
        if not (_of_this_boot(site) and _mark(site, instance).exists()):
            return None
        return await self._served(instance)

    async def exited(self, instance: Instance) -> Exit:
        """Never returns: a folder does not exit, and Caddy is started again by its own supervisor."""
        await asyncio.Event().wait()
        raise AssertionError

    async def stop(self, instance: Instance, grace: float) -> None:
        """Remove the folder with its last instance; ``grace`` does not matter. Again: no change."""
        async with self._one:
            await asyncio.to_thread(self._remove, instance)

    async def found(self, app: App) -> Found | None:
        """Nothing: what runs without a record is not ours."""
        return None

    async def _served(self, instance: Instance) -> Instance:
        try:
            await self._caddy.ensure()
        except HostError as exc:
            raise OutsideError(exc.what, seen=exc.seen, hint=exc.hint) from exc
        return replace(instance, address=self._caddy.address)

    def _site(self, instance: Instance) -> Path:
        return self._caddy.sites / site_label(instance.app, instance.release)

    def _publish(self, release: Release, instance: Instance) -> None:
        site = self._site(instance)
        try:
            if not _of_this_boot(site):
                self._sweep()
                _discard(site)
                _make(release, site)
            _mark(site, instance).touch()
        except RecursionError as exc:
            raise ReleaseError(f"The folders of {release.label} are nested too deep to be served") from exc
        except OSError as exc:
            fault = ReleaseError if exc.errno == errno.ENAMETOOLONG else OutsideError
            raise fault(
                f"The files of {release.label} could not be published", seen=str(exc), hint="check the disk"
            ) from exc

    def _remove(self, instance: Instance) -> None:
        site = self._site(instance)
        try:
            _mark(site, instance).unlink(missing_ok=True)
            if not any(site.glob("instances/*")):
                _discard(site)
        except OSError as exc:
            raise OutsideError(f"{site} could not be removed", seen=str(exc), hint="check the disk") from exc

    def _sweep(self) -> None:
        """What a crash left half made or half removed."""
        for leftover in self._caddy.sites.glob(".*"):
            remove(leftover)


def _mark(site: Path, instance: Instance) -> Path:
    return site / "instances" / instance.id


def _of_this_boot(site: Path) -> bool:
    try:
        return (site / "boot").read_text() == boot_id()
    except FileNotFoundError:
        return False


def _make(release: Release, site: Path) -> None:
    fresh = site.with_name(f".{site.name}.new")
    for folder in (fresh, fresh / "pages", fresh / "instances"):
        folder.mkdir(parents=True)
    publish(Path(release.artifact.path), fresh / "tree")
    _check_index(release, fresh / "tree")
    _settings(release, fresh)
    (fresh / "boot").write_text(boot_id())
    fresh.rename(site)


def _check_index(release: Release, tree: Path) -> None:
    if (tree / "index.html").is_file():
        return
    names = sorted(entry.name for entry in tree.iterdir() if not entry.name.endswith(ETAG_SUFFIX))
    raise ReleaseError(
        f"{release.label} has no index.html",
        seen=f"{release.artifact.path} holds {', '.join(names[:10]) or 'nothing that may be served'}",
        hint="write the site to $NOREN_OUTPUT, or set `publish` to the folder that holds it",
    )


def _settings(release: Release, site: Path) -> None:
    static = release.app.static
    if static.clean_urls:
        (site / "clean").symlink_to("tree")
    if missing := page(site / "tree", static.not_found):
        os.link(missing, site / "pages/not_found.html")
    if static.fallback is None:
        return
    fallback = page(site / "tree", static.fallback)
    if fallback is None:
        raise ReleaseError(
            f"{release.label} lacks its fallback page",
            seen=f"no file {static.fallback} in {release.artifact.path}",
            hint="correct `fallback` in [apps.NAME.static], or build that page",
        )
    for suffix in ("", ETAG_SUFFIX):
        os.link(fallback.with_name(fallback.name + suffix), site / f"pages/fallback.html{suffix}")


def _discard(site: Path) -> None:
    """Out of sight in one step, so that no request meets half a site."""
    gone = site.with_name(f".{site.name}.old")
    if site.exists():
        remove(gone)
        site.rename(gone)
    remove(gone)
