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


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """``own_fault``: the release itself was at fault, so no trigger may try it again."""

    outcome: Outcome
    reason: str
    own_fault: bool = False
