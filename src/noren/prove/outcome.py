"""What can become of a request, and why: the classes that every load and every report shares.

Loads make them, ``ledger`` keeps them, ``tally`` and ``causes`` count and explain them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """The end of one request as its client saw it; everything but OK is *lost*."""

    OK = "ok"
    REFUSED = "refused"  # no connection
    RESET = "reset"  # sent, and the connection ended before the first byte of the answer
    TIMEOUT = "timeout"  # no complete answer in time
    CUT_SHORT = "cut short"  # the answer began and did not end
    WRONG_STATUS = "wrong status"
    WRONG_BODY = "wrong body"  # also an answer that is no HTTP, and a 304 that lies
    WRONG_SERVICE = "wrong service"  # another app answered
    DUPLICATE = "duplicate"  # answered more than once


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a request is lost; ``detail`` is the evidence."""

    outcome: Outcome
    detail: str
