"""What the engine needs from outside, as Protocols of at most six verbs.

The engine calls them, ``adapters/`` implements them, ``daemon.py`` brings both together, and
``tests/fakes.py`` has a tame and a misbehaving fake of each. Every verb may be called again
after a crash: each that changes something states what a second call does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from noren.core.forge import PullRequest, Status
from noren.core.model import App, Artifact, Commit, Exit, Found, Instance, Kind, ProbeAnswer, Ready, Release, Routing
from noren.core.record import Note, Record
from noren.core.traffic import Observation, Sample
from noren.engine.starts import Starts


class Source(Protocol):
    """Git: mirrors of the repositories. Raises OutsideError when a repository cannot be reached."""

    async def tip(self, app: App) -> str:
        """The commit at the tip of the app's branch, or at its newest tag, asked from the remote; changes nothing."""
        ...

    async def commit(self, app: App, tip: str) -> Commit:
        """Fetch until ``tip`` (a sha or a ref name) is in the mirror; the last commit up to it that touches ``watch``.

        With the newest tag at ``tip``, for an app that follows tags; None when there is none there any more.

        Raises ReleaseError when no commit does or ``tip`` does not exist. Again: no fetch when present.
        """
        ...

    async def keep(self, app: App, number: int, revision: str) -> None:
        """Hold the revision as ``refs/noren/<app>/<number>``. Again: no change."""
        ...

    async def forget(self, app: App, number: int) -> None:
        """Drop that ref. Again: no change."""
        ...


class Builder(Protocol):
    """Builds, shared by key."""

    async def build(self, app: App, revision: str, rebuilt: str | None = None) -> Artifact:
        """Check out, build, check the output; the artifact of an earlier or running build with the same key is shared.

        ``rebuilt`` is part of the key: the scheduled time for which it is built again, None otherwise.

        Raises ReleaseError (own fault: exit code, deadline, empty output) or OutsideError (disk, fetch).
        Cancelling the last waiter ends the build and every process of it.
        """
        ...

    async def log(self, app: App, revision: str, rebuilt: str | None = None) -> str | None:
        """Path of the log of the newest build with this key, None when there is none."""
        ...

    async def prune(self, keys: frozenset[str]) -> None:
        """Remove every finished build whose key is not among ``keys``. Again: no change."""
        ...


class Runner(Protocol):
    """Runs releases of one kind."""

    async def start(self, release: Release, instance: Instance) -> Instance:
        """Start, and return the instance with its address and identity; raises ReleaseError or OutsideError.

        Again with the same id: the one that runs already is returned.
        """
        ...

    async def adopt(self, instance: Instance) -> Instance | None:
        """Find a started instance after a restart of Noren, by identity or by its mark; None when it is gone."""
        ...

    async def exited(self, instance: Instance) -> Exit:
        """Wait until the instance ends by itself, or somebody else changes it; never returns for files."""
        ...

    async def stop(self, instance: Instance, grace: float) -> None:
        """SIGTERM, after ``grace`` seconds SIGKILL to every process of it, wait until gone. Again: no change."""
        ...

    async def found(self, app: App) -> Found | None:
        """What serves already of an app that the ledger does not know; None where there can be no such thing.

        Raises OutsideError when that cannot be seen now.
        """
        ...


class Probes(Protocol):
    """Asks an instance of one kind directly, not through the proxy."""

    async def probe(self, app: App, instance: Instance, ready: Ready) -> ProbeAnswer:
        """One request, at most ``ready.timeout`` seconds; never raises for what the instance does."""
        ...


class Proxy(Protocol):
    """What carries the traffic of one kind. Raises TrafficError when it refuses or does not answer."""

    async def apply(self, routing: Routing) -> None:
        """Make the proxy route one app so: servers first and read back, then maps, then what is no longer named out.

        Idempotent and whole: after a crash the same call mends what is half done. ``hosts`` empty
        and no backends: the app is gone.
        """
        ...

    async def confirm(self, app: App, release: int, times: int) -> None:
        """Ask each public listener until ``release`` answers ``times`` in a row; raises TrafficError after a while,
        ReleaseError where it sees that the release itself is at fault.
        """
        ...

    async def drain(self, app: str, instances: Sequence[str], *, requests: float, connections: float) -> int:
        """Wait until no request is in flight to these instances, at most ``requests`` seconds for writes and
        ``connections`` seconds for reads (streams, WebSockets, long polls); then end what is left, spread
        over time. Returns how many were cut. Again: waits for what is left.
        """
        ...

    async def observe(self, app: str) -> Observation | None:
        """The counters now; None where no proxy of ours carries the traffic."""
        ...

    def samples(self, app: str, since: float) -> Sequence[Sample]:
        """Requests of the log since that monotonic time, oldest first: all when few, a share when many."""
        ...


class Ledger(Protocol):
    """The durable state. Raises StateError; after one, what was written is unknown until it is read again."""

    async def apps(self) -> Sequence[str]:
        """The names of all apps that have records, also of those that left the settings."""
        ...

    async def load(self, app: str) -> Sequence[Record]:
        """Every record of an app but its receipts."""
        ...

    async def commit(
        self, app: str, put: Sequence[Record], *, drop: Sequence[Record] = (), notes: Sequence[Note] = ()
    ) -> None:
        """Write, remove and append in one transaction, durable (fsync) on return. Again: only notes are there twice."""
        ...

    async def forget(self, app: str) -> None:
        """Remove every record of an app that will not come back; its history stays. Again: no change."""
        ...

    async def notes(self, app: str | None, after: int, limit: int) -> Sequence[dict[str, Any]]:
        """History lines with ``seq`` > ``after``, oldest first; a negative ``after``: the newest ``-after``."""
        ...

    async def receipt(self, app: str, rollout: int | None) -> str | None:
        """The JSON text of a receipt; None for the rollout: the newest."""
        ...


class Notifier(Protocol):
    """Tells people, by the sinks that the settings name."""

    def sinks(self) -> Sequence[str]:
        """The names of those that are set."""
        ...

    async def send(self, sink: str, message: dict[str, Any]) -> None:
        """One message, within a minute; raises OutsideError. Again: told twice, with the same ``id``."""
        ...


class Forge(Protocol):
    """The API of the app's forge. Raises OutsideError when it cannot be asked, or refuses."""

    async def pulls(self, app: App) -> Sequence[PullRequest]:
        """Every open pull request of the repository."""
        ...

    async def tell(self, app: App, status: Status) -> None:
        """Set a commit status, with the address of the app. Again: replaced by the same."""
        ...


@dataclass(frozen=True, slots=True)
class Clock:
    """``monotonic`` seconds for durations, ``utc`` RFC 3339 text for records."""

    monotonic: Callable[[], float]
    utc: Callable[[], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """All of them, as the engine is given them by ``daemon.py``; ``starts`` bounds how many instances heal at once."""

    source: Source
    builder: Builder
    runners: Mapping[Kind, Runner]
    probes: Mapping[Kind, Probes]
    proxies: Mapping[Kind, Proxy]
    ledger: Ledger
    notifier: Notifier
    forge: Forge
    clock: Clock
    starts: Starts = field(default_factory=lambda: Starts(8))
