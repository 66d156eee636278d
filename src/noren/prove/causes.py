"""What in the user's app most likely lost a request: pure, from when and how it was lost.

A report asks for each loss and tells each cause once, with how many losses it explains.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from noren.prove.outcome import Outcome

_BROKEN = (Outcome.RESET, Outcome.CUT_SHORT)
_GATEWAY = (502, 503, 504)
_LATE = 1000.0  # milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """``phase`` is that of the rollout at its end, "" between rollouts; ``retired``: an old release was ended then.

    ``since_switch``: seconds from the last switch to the request's start; None: there was none.
    ``cut``: Noren had reached the limit for draining. ``exited``: an instance ended by itself just then. ``busy``:
    milliseconds by which the generator itself was late.
    """

    outcome: Outcome
    status: int | None
    load: str
    phase: str = ""
    retired: bool = False
    cut: bool = False
    exited: bool = False
    since_switch: float | None = None
    busy: float = 0.0

    @property
    def gateway(self) -> bool:
        """The proxy answered because the app did not."""
        return self.outcome is Outcome.WRONG_STATUS and self.status in _GATEWAY

    @property
    def broken(self) -> bool:
        """The app ended the connection."""
        return self.outcome in _BROKEN or self.gateway


_Rule = tuple[Callable[[Loss], bool], str]
_RULES: tuple[_Rule, ...] = (
    (
        lambda loss: loss.busy > _LATE,
        "this machine was too busy to send in time: lower --rate, or run the load where more processors are idle",
    ),
    (
        lambda loss: loss.outcome is Outcome.WRONG_SERVICE,
        "another app answered: two apps claim this host or path; see `noren check`",
    ),
    (
        lambda loss: loss.broken and loss.cut,
        "an answer took longer than the drain limit when its release was retired: raise drain.requests (answers) or"
        " drain.connections (streams, WebSockets); or more than three old releases drained at once, of which the oldest"
        " is cut: roll out less often (--duration)",
    ),
    (
        lambda loss: loss.broken and loss.exited,
        "an instance ended by itself with requests under way: see `noren logs`; several instances take over at once",
    ),
    (
        lambda loss: loss.broken and loss.retired,
        "the app closes connections at SIGTERM while it still answers: let it finish what it has before it exits",
    ),
    (
        lambda loss: loss.broken and loss.load == "L3",
        "the app closes idle connections while a request is on its way: make its keep-alive longer than that of the"
        " client or proxy before it",
    ),
    (
        lambda loss: loss.broken and loss.load == "L6",
        "a WebSocket was closed other than with 1001 or 1012, which tell clients to come back",
    ),
    (
        lambda loss: loss.outcome is Outcome.TIMEOUT and loss.since_switch is not None and loss.since_switch < 10,
        "the first answers of a new release are slow: warm it up before its readiness probe answers 2xx",
    ),
    (
        lambda loss: loss.outcome is Outcome.TIMEOUT,
        "the app does not answer this rate in time: lower --rate, or give it more instances",
    ),
    (
        lambda loss: loss.status == 429,
        "the app limits the rate of its clients: lower --rate, or exempt 127.0.0.1",
    ),
    (
        lambda loss: loss.gateway and loss.phase == "",
        "the app did not take a request though nothing was being rolled out: does it restart its workers"
        " (max_requests), or exit?",
    ),
    (
        lambda loss: (
            loss.outcome is Outcome.WRONG_STATUS
            and (loss.status or 0) >= 500
            and loss.since_switch is not None
            and loss.since_switch < 10
        ),
        "a new release passes its readiness probe and answers badly: probe a page that needs what real pages need",
    ),
    (
        lambda loss: loss.outcome is Outcome.WRONG_STATUS and (loss.status or 0) >= 500,
        "the app answers this request with an error of its own, whatever is rolled out",
    ),
    (
        lambda loss: loss.outcome is Outcome.WRONG_STATUS,
        "the app refuses this request now and then: is the path right for every release?",
    ),
    (
        lambda loss: loss.outcome is Outcome.WRONG_BODY,
        "the body is not what was asked for, or not what this release served before",
    ),
    (
        lambda loss: loss.broken,
        "the connection ended before the answer did",
    ),
    (
        lambda loss: loss.outcome is Outcome.REFUSED,
        "the public listener took no connection: is the daemon, or what stands before it, still there?",
    ),
)
_UNKNOWN = "nothing that this report knows of"


def cause(loss: Loss) -> str:
    """The first rule that fits."""
    return next((words for fits, words in _RULES if fits(loss)), _UNKNOWN)


def causes(losses: Sequence[Loss]) -> list[tuple[str, int]]:
    """Each cause with how many losses it explains, the most frequent first."""
    return Counter(cause(loss) for loss in losses).most_common()
