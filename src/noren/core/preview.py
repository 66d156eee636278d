"""Which pull requests get a preview, and what app a preview is.

``engine/previews.py`` asks this with what the forge lists. A preview is an app like any other, made from
the app it is of, so that builds, rollouts, receipts and draining are the same; but it is not trusted like it:
no secrets of the app, a build of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from noren.core.forge import Preview, PullRequest
from noren.core.model import App, Triggers, Webhook

_KEEP = 2  # releases of a preview: what is shown, and what a bad commit goes back to


def preview_name(app: str, number: int) -> str:
    """``website-pr-12``."""
    return f"{app}-pr-{number}"


def preview(parent: App, pull: PullRequest) -> App:
    """The app that shows a pull request. Its revision is the head, whatever ``watch`` says.

    What a fork wrote gets no variable of any file, and no submodule: fetching one would use our credentials.
    """
    wanted = parent.pull_requests
    if wanted is None:
        raise ValueError(f"{parent.name} has no previews")
    return replace(
        parent,
        name=preview_name(parent.name, pull.number),
        branch=pull.ref,
        tags=None,
        watch=("**",),
        hosts=(wanted.hosts.replace("{number}", str(pull.number)),),
        keep=_KEEP,
        secrets=() if pull.fork else wanted.secrets,
        submodules=parent.submodules and not pull.fork,
        triggers=Triggers(poll=None),
        webhook=Webhook(),
        pull_requests=None,
        preview=Preview(of=parent.name, number=pull.number, fork=pull.fork, login=wanted.login),
    )


def candidates(
    parent: App, pulls: Iterable[PullRequest], approved: Collection[tuple[int, str]]
) -> tuple[list[PullRequest], dict[int, str]]:
    """Those that may have a preview, newest first, and why the others may not.

    An approval is for one commit: what is pushed after it was not looked at by anybody.
    """
    may: list[PullRequest] = []
    left: dict[int, str] = {}
    for pull in sorted(pulls, key=lambda each: each.number, reverse=True):
        if reason := _barred(parent, pull, approved):
            left[pull.number] = reason
        else:
            may.append(pull)
    return may, left


def _barred(parent: App, pull: PullRequest, approved: Collection[tuple[int, str]]) -> str:
    wanted = parent.pull_requests
    if wanted is None:
        return "previews are off"
    if parent.branch is not None and pull.base != parent.branch:
        return f"goes to {pull.base}, not to {parent.branch}"
    if pull.age > wanted.ttl:
        return f"nothing happened to it for {wanted.ttl / 86400:g} days (ttl)"
    if pull.fork and not wanted.forks:
        return "comes from a fork (forks = false)"
    if pull.fork and (pull.number, pull.head) not in approved:
        return f"comes from a fork: noren approve {parent.name} {pull.number} {pull.head}"
    return ""
