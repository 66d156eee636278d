"""The Forge port: pull requests and commit statuses of GitHub, GitLab, Gitea and Forgejo.

Wired in ``daemon.py``. What the three APIs call differently is data here. A forge is believed about which
pull requests are open; of what it says of one, only numbers, names of commits and branches are used.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import quote

from noren.adapters.rest import Unanswered, ask
from noren.core.errors import OutsideError
from noren.core.forge import Forge, ForgeKind, PullRequest, State, Status
from noren.core.model import App

_AT_ONCE = 4
_MOST_PAGES = 20
_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class _Dialect:
    """Paths below the API; fields of a pull request as dotted names; what a status is made of."""

    token: str
    pulls: str
    page: int
    number: str
    head: str
    base: str
    ours: str
    theirs: str
    ref: str
    status: str
    context: str
    states: Mapping[State, str]


_PLAIN = {state: state.value for state in State}
_GITEA = _Dialect(
    token="token {}",
    pulls="/repos/{project}/pulls?state=open&limit=50",
    page=50,
    number="number",
    head="head.sha",
    base="base.ref",
    ours="base.repo.id",
    theirs="head.repo.id",
    ref="refs/pull/{}/head",
    status="/repos/{project}/statuses/{sha}",
    context="context",
    states=_PLAIN,
)
# Gitea took over the words of GitHub's API, but not the size of its pages.
_GITHUB = replace(_GITEA, token="Bearer {}", pulls="/repos/{project}/pulls?state=open&per_page=100", page=100)
_GITLAB = _Dialect(
    token="Bearer {}",
    pulls="/projects/{project}/merge_requests?state=opened&per_page=100",
    page=100,
    number="iid",
    head="sha",
    base="target_branch",
    ours="target_project_id",
    theirs="source_project_id",
    ref="refs/merge-requests/{}/head",
    status="/projects/{project}/statuses/{sha}",
    context="name",
    states={State.PENDING: "pending", State.SUCCESS: "success", State.FAILURE: "failed", State.ERROR: "canceled"},
)
_DIALECTS = {ForgeKind.GITHUB: _GITHUB, ForgeKind.GITLAB: _GITLAB, ForgeKind.GITEA: _GITEA}


class Forges:
    """All forges; ``address`` tells where an app can be looked at."""

    def __init__(self, address: Callable[[App], str]) -> None:
        self._address = address
        self._threads = ThreadPoolExecutor(_AT_ONCE, "forge")  # a forge that hangs must not take those of files

    async def pulls(self, app: App) -> Sequence[PullRequest]:
        """Every open pull request of the app's repository; raises OutsideError."""
        forge = _forge(app)
        dialect = _DIALECTS[forge.kind]
        found: list[PullRequest] = []
        for page in range(1, _MOST_PAGES + 1):
            path = f"{dialect.pulls.format(project=_project(forge))}&page={page}"
            rows = await self._ask(forge, path, f"the pull requests of {forge.project}")
            if not isinstance(rows, list):
                raise OutsideError(f"{forge.url} answered no list of pull requests", hint="is forge.kind right?")
            found += [_pull(dialect, row, forge) for row in cast("list[Any]", rows)]
            if len(cast("list[Any]", rows)) < dialect.page:
                break
        return found

    async def tell(self, app: App, status: Status) -> None:
        """Set a commit status; raises OutsideError."""
        forge = _forge(app)
        dialect = _DIALECTS[forge.kind]
        path = dialect.status.format(project=_project(forge), sha=status.revision)
        body = {"state": dialect.states[status.state], "description": status.text, dialect.context: status.context}
        await self._ask(forge, path, f"the status of {status.revision[:12]}", body | {"target_url": self._address(app)})

    async def _ask(self, forge: Forge, path: str, doing: str, body: object = None) -> Any:
        headers = {"Authorization": _DIALECTS[forge.kind].token.format(token)} if (token := _token(forge)) else {}
        loop = asyncio.get_running_loop()
        try:
            status, answer = await loop.run_in_executor(self._threads, ask, _api(forge) + path, headers, body)
        except Unanswered as exc:
            raise OutsideError(f"{forge.url} could not be asked for {doing}", seen=str(exc), hint=_LATER) from exc
        if status >= 300 and not _already(forge, status, answer):
            raise _refused(forge, doing, status, answer)
        return answer


_LATER = "nothing: it is tried again; if it lasts, check forge.url and the network"


def _forge(app: App) -> Forge:
    if app.forge is None:
        raise OutsideError(f"{app.name} has no forge", hint=f"set forge of {app.name}")
    return app.forge


def _api(forge: Forge) -> str:
    if forge.kind is ForgeKind.GITHUB:
        return "https://api.github.com" if forge.url == "https://github.com" else f"{forge.url}/api/v3"
    return f"{forge.url}/api/{'v4' if forge.kind is ForgeKind.GITLAB else 'v1'}"


def _project(forge: Forge) -> str:
    return quote(forge.project, safe="" if forge.kind is ForgeKind.GITLAB else "/")


def _token(forge: Forge) -> str:
    if forge.token_env is None:
        return ""
    if not (token := os.environ.get(forge.token_env)):
        raise OutsideError(
            f"no token for {forge.url}",
            seen=f"token_env = {forge.token_env!r}, but Noren runs without such a variable",
            hint=f"start Noren with {forge.token_env} set, or correct forge.token_env",
        )
    return token


def _already(forge: Forge, status: int, answer: Any) -> bool:
    """GitLab refuses to set a status to what it is."""
    return forge.kind is ForgeKind.GITLAB and status == 400 and "Cannot transition status" in str(answer)


def _refused(forge: Forge, doing: str, status: int, answer: Any) -> OutsideError:
    said = str(_at(answer, "message") or "")
    hint = {
        401: "is the token right, and not expired?",
        403: "may the token do this? Statuses need write access to them; or too much was asked, then it is tried again",
        404: "is forge.project right, and may the token see it?",
    }.get(status, _LATER)
    shown = re.sub(r"[\x00-\x1f\x7f]", " ", said)[:200]
    return OutsideError(f"{forge.url} refused {doing}", seen=f"status {status} {shown}".strip(), hint=hint)


def _pull(dialect: _Dialect, row: Any, forge: Forge) -> PullRequest:
    """A head whose repository is gone or unknown counts as a fork's."""
    number, head, base = _at(row, dialect.number), _at(row, dialect.head), _at(row, dialect.base)
    if not isinstance(number, int) or number < 1 or not isinstance(head, str) or not _SHA.fullmatch(head):
        raise OutsideError(f"{forge.url} answered a pull request that cannot be read", hint="is forge.kind right?")
    ours, theirs = _at(row, dialect.ours), _at(row, dialect.theirs)
    return PullRequest(
        number=number,
        head=head,
        ref=dialect.ref.format(number),
        base=str(base),
        fork=ours is None or ours != theirs,
        age=_age(_at(row, "updated_at")),
    )


def _at(row: Any, name: str) -> Any:
    found: Any = row
    for key in name.split("."):
        found = cast("dict[str, Any]", found).get(key) if isinstance(found, dict) else None
    return found


def _age(at: Any) -> float:
    """Seconds since then; 0 for what is no time, so that nothing is removed by a slip of the forge."""
    try:
        return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(str(at))).total_seconds())
    except (ValueError, TypeError):
        return 0.0
