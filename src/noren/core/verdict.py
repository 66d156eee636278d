"""How a rollout ends, and the sentence why.

Made by ``rollout.step``, written into the receipt and, when the release itself was at fault,
into the quarantine.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """What became of a release."""

    KEPT = "kept"
    FAILED = "failed"  # no release came to be: source or build
    ABORTED = "aborted"  # given up before traffic moved
    ROLLED_BACK = "rolled_back"  # given up after traffic moved
    SUPERSEDED = "superseded"  # a newer commit took its place before traffic moved
    STUCK = "stuck"  # neither forward nor back; a person has to look


class Fault(StrEnum):
    """Whose fault it was, which decides what happens to the revision."""

    NONE = "none"  # nobody's: kept, superseded, or a person's wish
    OWN = "own"  # the release's: quarantined, no trigger tries it again
    OUTSIDE = "outside"  # network, disk, Noren stopped: tried again with back-off


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The outcome, the sentence why, and whose fault it was."""

    outcome: Outcome
    reason: str
    fault: Fault = Fault.NONE
