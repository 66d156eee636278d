"""What the command line needs beyond the daemon's API, as main.py hands it over in click's ``ctx.obj``.

The verbs know neither settings nor engine, so that a command that only asks the daemon starts fast;
main.py imports what each of these needs only when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from noren.api.client import Client
    from noren.core.diagnosis import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Proving:
    """What `noren prove` is asked for, as it was typed; None: not given."""

    app: str
    rollouts: int
    duration: str | None
    rate: float
    loads: tuple[str, ...]
    paths: tuple[str, ...]
    post: str | None
    bystander: str | None
    idle: str
    bake: str
    restart: bool
    seed: int | None


class Proven(Protocol):
    """What came of it."""

    @property
    def good(self) -> bool:
        """Nothing was lost, and every rollout was kept."""
        ...

    def lines(self) -> Iterator[str]:
        """As text."""
        ...

    def document(self) -> dict[str, Any]:
        """As JSON."""
        ...


class Program(Protocol):
    """``config`` is the value of ``-c``, None when it was not given. Each raises SettingsError as it must."""

    def socket(self, config: str | None) -> Path:
        """Where the daemon of these settings listens. Cheap: reads no more than ``[server] state``."""
        ...

    def serve(self, config: str | None) -> None:
        """Be the daemon until a signal ends it; raises HostError, SettingsError or StateError when it cannot start."""
        ...

    def down(self, config: str | None) -> list[str]:
        """Stop what a daemon that no longer runs has left running; what was stopped, in sentences."""
        ...

    def check(self, config: str | None) -> str:
        """The effective settings as text, without secrets."""
        ...

    def schema(self) -> str:
        """The JSON Schema of the settings file as text."""
        ...

    def init(self, config: str | None, folder: str, write: bool) -> tuple[str, list[str]]:
        """The text of a first settings file for a repository, and what there is to say; ``write``: write it, too."""
        ...

    def install(self, really: bool) -> Iterator[str]:
        """Make Noren a service of this host, or only tell how; each step as a line. Raises HostError."""
        ...

    def doctor(self, config: str | None, running: bool) -> list[Finding]:
        """What this host offers, whether or not there are settings; ``running``: the daemon of them answers."""
        ...

    def prove(self, config: str | None, client: Client, asked: Proving, tell: Callable[[str], None]) -> Proven:
        """Load an app while it is rolled out again and again; raises NorenError when that cannot begin."""
        ...

    def page(self, proven: Proven) -> str:
        """The same as one HTML page."""
        ...

    def backup(self, config: str | None, file: Path) -> str:
        """Copy the state into a file; what it holds. Raises StateError and HostError."""
        ...

    def restore(self, config: str | None, file: Path) -> list[str]:
        """Make a copy the state, with nothing running; what was done, in sentences. Raises StateError and HostError."""
        ...

    def demo(self, once: bool, began: float | None) -> int:
        """Tell the story of the sample team, ``once`` or until Ctrl-C; the exit code.

        ``began`` (seconds of the epoch): what the time to the first page is counted from, if not from now.
        """
        ...
