"""What Noren has to do with a forge (GitHub, GitLab, Gitea, Forgejo) beyond its Git: words only.

The settings make these, ``adapters/forge.py`` speaks with the forge, ``core/preview.py`` decides.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class ForgeKind(StrEnum):
    """The dialect of its API; Forgejo speaks that of Gitea."""

    GITHUB = "github"
    GITLAB = "gitlab"
    GITEA = "gitea"


@dataclass(frozen=True, slots=True, kw_only=True)
class Forge:
    """``url`` is where people find it, ``project`` is ``owner/name``, ``token_env`` a variable of the daemon."""

    kind: ForgeKind
    url: str
    project: str
    token_env: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequests:
    """Which pull requests get a preview, and where; ``hosts`` holds ``{number}``.

    ``secrets`` are of an ``env_file`` of their own: previews never get those of the app, forks none at all.
    ``login`` is the SHA-256 of ``user:password`` in upper-case hex; None: open, "": nobody gets in.
    """

    hosts: str
    limit: int = 5
    ttl: float = 7 * 86400.0
    forks: bool = False
    auth_env: str | None = None
    login: str | None = field(default=None, repr=False)
    secrets: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequest:
    """An open pull request as its forge tells it; ``age`` is seconds since something happened to it."""

    number: int
    head: str
    ref: str
    base: str
    fork: bool
    age: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What makes an app a preview: the app it is of, and its pull request."""

    of: str
    number: int
    fork: bool
    login: str | None = field(default=None, repr=False)


class State(StrEnum):
    """What a commit status says."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"  # no verdict: another commit came first


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A commit status; ``context`` names who says it, a later one of the same context replaces it."""

    revision: str
    state: State
    context: str
    text: str
