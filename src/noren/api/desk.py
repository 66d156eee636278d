"""What people may ask of a running daemon, as the Protocol that the API serves.

The engine implements it, the modules of the API call it, ``tests/api/fake_desk.py`` is a tame
one. Answers are JSON-ready and exactly what scripts rely on (docs: "JSON"). Every verb raises
UsageError for an app, release or rollout that does not exist. Wherever ``by`` is asked for, it is
the name of who asks, and goes into the history.

A line of history is ``{"seq", "app", "at", "rollout": n | null, "phase": text | null, "kind", "text"}``;
``seq`` only grows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

Json = dict[str, Any]


class Records(Protocol):
    """What is known."""

    async def status(self) -> list[Json]:
        """One entry for each app, in the order of the settings."""
        ...

    async def releases(self, app: str) -> list[Json]:
        """The releases of an app, newest first."""
        ...

    async def receipt(self, app: str, rollout: int | None) -> Json:
        """The receipt of a rollout, by default of the newest that has one."""
        ...

    async def events(self, app: str | None, after: int) -> list[Json]:
        """History after a ``seq``, oldest first; the newest ``-after`` lines when it is negative."""
        ...

    def follow(self, app: str | None, after: int) -> AsyncIterator[Json]:
        """As ``events``, and then each new line as it comes; ends only when the daemon does."""
        ...

    async def log_path(self, app: str, release: int | None, build: bool) -> str | None:
        """The log file of a release (default: active, else newest) or of its build; None when it has none."""
        ...


class Rollouts(Protocol):
    """What people decide of rollouts; each but ``wait`` answers when it is committed, not when it is done."""

    async def deploy(self, app: str, revision: str | None, by: str) -> int:
        """Release a revision, or the tip of the branch; the number of the rollout."""
        ...

    async def rollback(self, app: str, release: int | None, by: str) -> int:
        """Go back to a release, by default the one kept before; the number of the rollout."""
        ...

    async def restart(self, app: str, by: str) -> int:
        """Replace the instances of the active release by new ones; the number of the rollout."""
        ...

    async def promote(self, app: str, by: str) -> None:
        """Skip what is left of the steps and the bake time."""
        ...

    async def abort(self, app: str, by: str) -> None:
        """End the running rollout: before traffic moved abort it, after it roll back."""
        ...

    async def wait(self, app: str, rollout: int) -> Json:
        """Wait for the verdict: ``{"rollout", "release": n | null, "revision", "outcome", "reason"}``.

        A superseded rollout follows its successor, so ``rollout`` of the answer may be a later one.
        """
        ...


class Rules(Protocol):
    """What triggers may not do."""

    async def hold(self, app: str, reason: str, by: str) -> None:
        """Stop triggers, not people. Again: the new reason counts."""
        ...

    async def resume(self, app: str, by: str) -> None:
        """End a hold. Again: no change."""
        ...

    async def approve(self, app: str, number: int, revision: str, by: str) -> None:
        """Let this commit of a fork's pull request have a preview; refused when it is not its head now."""
        ...

    async def quarantine(self) -> list[Json]:
        """``[{"app", "revision", "reason", "since"}]``, newest first."""
        ...

    async def lift(self, app: str, revision: str, by: str) -> None:
        """Take a revision (or an unambiguous start of it) out of quarantine."""
        ...


class Daemon(Protocol):
    """The daemon itself."""

    async def reload(self, prune: bool, dry: bool) -> list[str]:
        """Read the settings again; the plan in sentences. ``dry``: only the plan.

        Raises SettingsError with nothing changed; UsageError when an app is gone and ``prune`` is not set.
        """
        ...

    async def stop(self, everything: bool) -> None:
        """End the daemon, with ``everything`` the apps and the proxy too.

        Returns when that is done; the daemon itself ends once the answer is out.
        """
        ...

    async def run(self, app: str) -> Json:
        """``{"release", "directory", "environment": {…}}`` of the active release; the environment has its secrets."""
        ...


class Desk(Records, Rollouts, Rules, Daemon, Protocol):
    """All of it."""
