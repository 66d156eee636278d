"""What the ledger keeps: one small document a fact, whole and replaceable.

The engine commits these before it acts, ``adapters/ledger.py`` stores them as JSON under
(app, type, key), and ``engine/recover.py`` starts from them after a crash. Times are RFC 3339 UTC.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from noren.core.forge import PullRequest
from noren.core.model import App, Artifact, Instance, Release
from noren.core.quarantine import Quarantined
from noren.core.retire import Retiring, Running
from noren.core.rollout import Rollout
from noren.core.schedule import Hold, Rebuild, Wanted
from noren.core.traffic import Observation
from noren.core.verdict import Outcome

Choice = tuple[str | None, str | None]  # the tip considered last, and the revision that a person chose since


@dataclass(frozen=True, slots=True, kw_only=True)
class AppRecord:
    """Where an app stands.

    ``tip`` is the branch tip considered last, ``revision`` and ``settings`` what it led to.
    ``active`` is what new requests get. ``wanted`` waits for its turn or for its next try.
    ``pinned`` is a revision that a person chose: it stays until the next commit. ``healing`` is an
    instance that is being started in the place of one that ended, not yet part of ``active``.
    ``left`` is owed an end: it could not be ended when it had to be, or exited and may have left children behind.
    ``tag`` is the newest that was followed, ``scheduled`` when the schedule was followed last, ``rebuild`` what
    building again then came to.
    """

    name: str
    tip: str | None = None
    revision: str | None = None
    settings: str | None = None
    active: Running | None = None
    active_since: str | None = None
    last_good: int | None = None
    hold: Hold | None = None
    wanted: Wanted | None = None
    pinned: str | None = None
    healing: Instance | None = None
    left: tuple[Instance, ...] = ()
    tag: str | None = None
    scheduled: str | None = None
    rebuild: Rebuild | None = None
    releases: int = 0
    rollouts: int = 0

    @property
    def key(self) -> str:
        """One per app."""
        return ""

    @property
    def meant_to_run(self) -> bool:
        """Whether it serves, or is owed an instance or the end of one; candidates and what retires not counted."""
        return bool((self.active and self.active.instances) or self.healing or self.left)

    @property
    def choice(self) -> Choice:
        """What a trigger or a person chose last: who looks for something newer remembers it from before the look."""
        return self.tip, self.pinned

    def owing(self, instance: Instance) -> AppRecord:
        """With an end owed to what this instance left, the newest first."""
        return replace(self, left=(instance, *self.settled(instance).left))

    def settled(self, instance: Instance) -> AppRecord:
        """With nothing of this instance left."""
        return replace(self, left=tuple(i for i in self.left if i.id != instance.id))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRecord:
    """A release number and what became of it; ``artifact`` None: never built, or pruned.

    ``rebuilt`` is the scheduled time it was built for, None for what the commit led to.
    ``told`` is the state of the commit status that its forge knows.
    """

    number: int
    revision: str
    settings: str
    app: App
    artifact: Artifact | None = None
    built_at: str | None = None
    outcome: Outcome | None = None
    reason: str = ""
    rebuilt: str | None = None
    told: str = ""

    @property
    def key(self) -> str:
        """One per release number."""
        return str(self.number)

    @property
    def release(self) -> Release | None:
        """The release, while its artifact is there."""
        if self.artifact is None:
            return None
        return Release(app=self.app, number=self.number, revision=self.revision, artifact=self.artifact)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRecord:
    """A rollout under way, with the proxy's counters at its intent and just before its first switch.

    ``intent``, ``entered`` (the phase) and ``switched`` are monotonic seconds; ``phases`` are (phase, seconds).
    ``wanted`` is what an upgrade was begun for: tried again as it is after a fault from outside.
    """

    rollout: Rollout
    started_at: str
    intent: float
    entered: float
    wanted: Wanted | None = None
    switched: float | None = None
    switched_at: str | None = None
    phases: tuple[tuple[str, float], ...] = ()
    at_intent: Observation | None = None
    at_switch: Observation | None = None
    switch_ms: float | None = None

    @property
    def key(self) -> str:
        """One per rollout number."""
        return str(self.rollout.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetiringRecord:
    """An old release on its way out."""

    retiring: Retiring

    @property
    def key(self) -> str:
        """One per release, rollout and first instance: a rolling strategy retires a few at a time.

        By id, for a healed instance has the ordinal of one that may still drain.
        """
        running = self.retiring.running
        return f"{running.release}.{running.rollout}.{running.instances[0].id if running.instances else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineRecord:
    """What no trigger may try again."""

    quarantined: Quarantined

    @property
    def key(self) -> str:
        """One per revision and settings, and per artifact where only that is meant."""
        barred = self.quarantined
        return ".".join(filter(None, (barred.revision, barred.settings, barred.artifact)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptRecord:
    """The receipt of a rollout that is over, as JSON text."""

    rollout: int
    body: str

    @property
    def key(self) -> str:
        """One per rollout number."""
        return str(self.rollout)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewsRecord:
    """The previews of an app: written before one is opened, and again after it is gone.

    ``approved`` are (number, commit) of forks. ``releases`` is the highest number that a release of a preview
    that is gone had: one that comes back goes on from there, for caches know releases by their number.
    """

    open: tuple[PullRequest, ...] = ()
    approved: tuple[tuple[int, str], ...] = ()
    releases: int = 0

    @property
    def key(self) -> str:
        """One per app."""
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRecord:
    """A webhook that was taken, so that it is known when it comes again."""

    delivery: str
    at: str

    @property
    def key(self) -> str:
        """One per delivery."""
        return self.delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRecord:
    """What people are still to be told, as JSON text, and by what; committed with the outcome that it tells of."""

    id: str
    body: str
    sinks: tuple[str, ...]

    @property
    def key(self) -> str:
        """One per outcome."""
        return self.id


Record = (
    MessageRecord
    | AppRecord
    | ReleaseRecord
    | RolloutRecord
    | RetiringRecord
    | QuarantineRecord
    | ReceiptRecord
    | DeliveryRecord
    | PreviewsRecord
)


def released(records: Iterable[Record]) -> App | None:
    """The app as its active release has it, else as its newest one; None when it never had any."""
    known = list(records)
    releases = {record.number: record.app for record in known if isinstance(record, ReleaseRecord)}
    active = next((record.active for record in known if isinstance(record, AppRecord)), None)
    newest = releases.get(max(releases, default=0))
    return releases.get(active.release, newest) if active else newest


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One line of an app's history: what happened, to which rollout, and the phase it led to."""

    at: str
    text: str
    kind: str
    rollout: int | None = None
    phase: str | None = None
