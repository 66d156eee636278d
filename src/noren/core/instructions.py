"""What a rollout wants done: the output of ``rollout.step``.

Carried out by ``engine/execute.py``, each as a task of the phase that asked for it: leaving the
phase cancels what still runs. Each is safe to carry out again after a crash.
"""

from __future__ import annotations

from dataclasses import dataclass

from noren.core.model import Instance


@dataclass(frozen=True, slots=True)
class MakeBuild:
    """Build the revision; answers Built or BuildFailed."""


@dataclass(frozen=True, slots=True)
class StartInstance:
    """Start one instance; answers Started or StartFailed, and later Exited."""

    instance: Instance


@dataclass(frozen=True, slots=True)
class Probe:
    """Probe an instance every ``every`` seconds until the phase ends; answers Probed."""

    instance: Instance
    every: float


@dataclass(frozen=True, slots=True)
class Shift:
    """Give the candidate the share ``weight`` of new requests; answers Shifted or ShiftFailed."""

    weight: float


@dataclass(frozen=True, slots=True)
class Observe:
    """Compare the answers of old and candidate again and again until the phase ends; answers Observed."""


@dataclass(frozen=True, slots=True)
class GoBack:
    """Route everything to the old release; answers WentBack or GoBackFailed."""


@dataclass(frozen=True, slots=True)
class StopCandidate:
    """End the candidate's instances; answers Stopped."""


Instruction = MakeBuild | StartInstance | Probe | Shift | Observe | GoBack | StopCandidate
