"""What makes a complete answer a wrong one. A scenario gives a load its ``Check``; status and app are always judged.

``load`` asks ``judge`` of each answer; ``catalogue`` and the demo choose the checks.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from noren.prove.outcome import Outcome, Problem
from noren.prove.request import Answer, Request, Target

Check = Callable[[Request, Answer], Problem | None]
"""What is wrong with the body, None when nothing is; ``answer.release`` names who claims to have answered."""


def judge(target: Target, check: Check | None, request: Request, answer: Answer) -> Problem | None:
    """Status, then the app that answered, then the scenario's own check."""
    if not _expected(request, answer.status):
        return Problem(Outcome.WRONG_STATUS, f"{answer.status} {answer.body[:80]!r}")
    if target.app is not None and (answer.release or "").partition("@")[0] != target.app:
        return Problem(Outcome.WRONG_SERVICE, f"{target.app} was asked, {answer.release or 'no app'} answered")
    return check(request, answer) if check else None


def names_its_release(request: Request, answer: Answer) -> Problem | None:
    """For apps that answer JSON with ``release`` (and ``id`` to an order): both must be who and what was asked."""
    try:
        body: Any = json.loads(answer.body)
        release, id = str(body["release"]), body.get("id")
    except (ValueError, TypeError, KeyError, AttributeError):
        return Problem(Outcome.WRONG_BODY, f"no JSON with a release: {answer.body[:60]!r}")
    if answer.release is not None and answer.release.partition("@")[2] != release:
        return Problem(Outcome.WRONG_BODY, f"{answer.release} is routed, release {release} answered")
    if request.once and id != request.id:
        return Problem(Outcome.WRONG_BODY, f"the answer is for {id!r}")
    return None


def _expected(request: Request, status: int) -> bool:
    return 200 <= status < 300 or (status == 304 and "If-None-Match" in request.headers)
