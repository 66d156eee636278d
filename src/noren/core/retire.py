"""The running instances of a release, and how those of an old release come to rest.

Retiring is durable work of its own: it delays no verdict and no next rollout. The engine's
``retire`` loop walks each through warm → draining → stopping; the ledger keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from noren.core.model import Backend, Instance, Kind, Release, Server

MOST_RETIRING = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The instances of one release that one rollout started."""

    release: int
    rollout: int
    instances: tuple[Instance, ...] = ()

    def name(self, app: str) -> str:
        """The name of its backend."""
        return f"{app}@{self.release}.{self.rollout}"

    def backend(self, release: Release, backups: tuple[Server, ...] = ()) -> Backend:
        """What the proxy routes to; ``backups`` answer when none of ours does."""
        app = release.app
        static = app.kind is Kind.STATIC
        return Backend(
            app=app.name,
            release=self.release,
            rollout=self.rollout,
            servers=self.servers() + backups,
            site=f"{app.name}-{self.release}" if static else None,
            cache_control=app.static.cache_control if static else (),
        )

    def servers(self, *, backup: bool = False) -> tuple[Server, ...]:
        """The instances that have an address, as the proxy sees them."""
        return tuple(
            Server(instance=i.id, release=i.release, address=i.address, backup=backup)
            for i in self.instances
            if i.address is not None
        )


class RetirePhase(StrEnum):
    """Where a retired release is on its way out."""

    WARM = "warm"  # runs, gets no new requests, a rollback is one map write away
    DRAINING = "draining"  # its last requests and connections end
    STOPPING = "stopping"  # out of the proxy, its processes are ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Retiring:
    """``until``: monotonic second at which warm ends. ``faulty``: its connections get the short limit."""

    running: Running
    phase: RetirePhase
    until: float = 0.0
    faulty: bool = False


def crowded_out(retiring: tuple[Retiring, ...]) -> tuple[Retiring, ...]:
    """The oldest ones beyond the limit of three: they are cut."""
    return retiring[: max(0, len(retiring) - MOST_RETIRING)]
