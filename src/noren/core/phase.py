"""Where a rollout stands: the one state field of ``rollout.Rollout``.

``rollout.TRANSITIONS`` says which event leads from which phase to which; the ledger, the receipt
and ``noren status`` show the values as they are.
"""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    """Where a rollout stands."""

    QUEUED = "queued"  # waits for its turn
    BUILDING = "building"  # the revision becomes an artifact
    STARTING = "starting"  # instances are started beside the old ones
    WAITING_READY = "waiting_ready"  # they are probed until they answer well
    SHIFTING = "shifting"  # "switching" is committed, the proxy is told and asked
    BAKING = "baking"  # both run, real traffic judges the candidate
    ABORTING = "aborting"  # given up before traffic moved: the candidate is ended
    ROLLING_BACK = "rolling_back"  # given up after traffic moved: everything goes to the old release
    KEPT = "kept"
    FAILED = "failed"
    ABORTED = "aborted"
    SUPERSEDED = "superseded"
    ROLLED_BACK = "rolled_back"
    STUCK = "stuck"  # the proxy takes neither way: alerts, changes nothing more

    @property
    def over(self) -> bool:
        """Whether the rollout has its outcome."""
        return self in _OVER


_OVER = {Phase.KEPT, Phase.FAILED, Phase.ABORTED, Phase.SUPERSEDED, Phase.ROLLED_BACK, Phase.STUCK}
BEFORE_TRAFFIC = frozenset({Phase.QUEUED, Phase.BUILDING, Phase.STARTING, Phase.WAITING_READY, Phase.ABORTING})
