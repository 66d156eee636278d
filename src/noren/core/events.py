"""What happened to a rollout: the input of ``rollout.step``.

Made by the engine from what ports answer, from clocks and from people. Each carries the rollout
it belongs to, so that the loop can drop strangers (a probe that answers after an abort). Text of
an event goes into the ledger and the receipt, so ``str`` of each is a short sentence.
"""

from __future__ import annotations

from dataclasses import dataclass

from noren.core.model import Artifact, Exit, Instance, ProbeAnswer
from noren.core.traffic import Traffic


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to one rollout."""

    rollout: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun(Event):
    """Its turn has come."""

    def __str__(self) -> str:
        return "begun"


@dataclass(frozen=True, slots=True, kw_only=True)
class Built(Event):
    """The artifact is there."""

    artifact: Artifact

    def __str__(self) -> str:
        seconds = self.artifact.seconds
        return f"built in {seconds:.1f} s" if seconds else "took the artifact of an earlier build"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildFailed(Event):
    """No artifact; ``own_fault`` False for the network, the disk and the like."""

    reason: str
    own_fault: bool

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Event):
    """An instance runs, with its identity."""

    instance: Instance

    def __str__(self) -> str:
        return f"started {self.instance.id} at {self.instance.address}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartFailed(Event):
    """An instance could not be started."""

    reason: str
    own_fault: bool

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed(Event):
    """An instance answered a probe, or did not."""

    instance: str
    answer: ProbeAnswer

    def __str__(self) -> str:
        answer = self.answer
        return f"{self.instance}: {answer.url} " + ("is good" if answer.ok else answer.problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exited(Event):
    """An instance ended by itself."""

    exit: Exit

    def __str__(self) -> str:
        return f"{self.exit.instance} {self.exit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shifted(Event):
    """The share of traffic asked for goes to the candidate: seen through the public listener, after ``ms``."""

    ms: float = 0.0

    def __str__(self) -> str:
        return f"traffic moved in {self.ms:.1f} ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftFailed(Event):
    """The proxy did not take the change, or the public listener did not show it.

    ``own_fault``: because the candidate does not answer, not even when it is asked directly.
    """

    reason: str
    own_fault: bool = False

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed(Event):
    """Answers of the old release (since long) and of the candidate (since the switch).

    Requests that are overdue count as failed; ``overdue`` is how many of the candidate's are.
    """

    old: Traffic
    new: Traffic
    overdue: int = 0

    def __str__(self) -> str:
        return f"{self.new.both.total} requests, {self.new.both.failed} failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlinePassed(Event):
    """The deadline of the present phase is over."""

    def __str__(self) -> str:
        return "deadline passed"


@dataclass(frozen=True, slots=True, kw_only=True)
class WentBack(Event):
    """All traffic goes to the old release again: seen through the public listener."""

    def __str__(self) -> str:
        return "traffic is back on the old release"


@dataclass(frozen=True, slots=True, kw_only=True)
class GoBackFailed(Event):
    """The proxy did not take the way back."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped(Event):
    """The candidate's instances are gone; ``log_tail`` is the end of their output."""

    log_tail: str = ""

    def __str__(self) -> str:
        return "candidate stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Superseded(Event):
    """A newer commit is waiting."""

    by: str

    def __str__(self) -> str:
        return f"superseded by {self.by}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AbortAsked(Event):
    """A person wants it stopped."""

    by: str

    def __str__(self) -> str:
        return f"abort asked by {self.by}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PromoteAsked(Event):
    """A person wants what is left of the bake time skipped."""

    by: str

    def __str__(self) -> str:
        return f"promoted by {self.by}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed(Event):
    """Noren was restarted; ``alive`` are the candidate's instances that still run."""

    alive: frozenset[str]

    def __str__(self) -> str:
        return f"Noren was restarted, {len(self.alive)} instances of the candidate run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Faulted(Event):
    """Noren itself failed at an instruction in a way that no port foresees."""

    reason: str

    def __str__(self) -> str:
        return self.reason
