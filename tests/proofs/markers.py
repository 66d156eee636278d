"""Pages that name the commit they were built from, and the check that each answer is of the release it claims.

Every page carries ``[marker TEXT]``; the generator of a proof changes the text with each commit.
"""

from __future__ import annotations

import re
from collections import defaultdict

from noren.prove.outcome import Outcome, Problem
from noren.prove.request import Answer, Request

_MARKER = re.compile(rb"\[marker ([^\]]*)\]")


class Markers:
    """A ``Check`` for loads: which markers each release was seen to serve. One for all loads of a run."""

    def __init__(self) -> None:
        self.seen: dict[str, set[str]] = defaultdict(set)

    def __call__(self, request: Request, answer: Answer) -> Problem | None:
        """A release that answers with two markers, or a page without one, is wrong."""
        if answer.status == 304:
            return None
        found = _MARKER.search(answer.body)
        if found is None or answer.release is None:
            return Problem(Outcome.WRONG_BODY, f"no marker or release at {request.path}: {answer.body[:60]!r}")
        markers = self.seen[answer.release]
        markers.add(found[1].decode())
        if len(markers) > 1:
            return Problem(Outcome.WRONG_BODY, f"{answer.release} serves {sorted(markers)}")
        return None

    def contradictions(self, committed: dict[str, str]) -> list[str]:
        """Releases that served another marker than was committed for them; ``committed`` is label → marker."""
        return [
            f"{label} served {sorted(markers)}, committed was {committed.get(label)}"
            for label, markers in self.seen.items()
            if markers != {committed.get(label)}
        ]
