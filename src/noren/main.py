"""The command ``noren`` starts here: what the CLI needs of settings, host and daemon, imported when it is used.

``noren status`` needs none of it and starts quickly for that.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from noren.api.client import Client
    from noren.cli.program import Proven, Proving
    from noren.core.diagnosis import Finding


class _Program:
    """What the command line needs beyond the API (cli/program.py)."""

    def socket(self, config: str | None) -> Path:
        """Where the daemon of these settings listens."""
        from noren.settings.location import find, state_folder

        return state_folder(find(config, os.environ)) / "noren.sock"

    def serve(self, config: str | None) -> None:
        """Become the daemon; returns never."""
        from noren.settings.location import find

        os.execv(sys.executable, [sys.executable, "-m", "noren.daemon", str(find(config, os.environ))])

    def down(self, config: str | None) -> list[str]:
        """Stop what a daemon that no longer runs has left running."""
        import asyncio

        from noren.daemon import end_left
        from noren.settings.file import load
        from noren.settings.location import find

        return asyncio.run(end_left(load(find(config, os.environ))))

    def check(self, config: str | None) -> str:
        """The effective settings, without secrets, and what a cluster is asked about them, as comments."""
        import asyncio

        from noren.cluster import advice
        from noren.settings.effective import effective
        from noren.settings.file import load
        from noren.settings.location import find

        settings = load(find(config, os.environ))
        told = asyncio.run(advice(settings.apps.values()))
        return effective(settings) + "".join(f"\n# {line}" for line in told) + ("\n" if told else "")

    def schema(self) -> str:
        """The JSON Schema of the settings file."""
        import json

        from noren.settings.schema import schema

        return json.dumps(schema(), indent=2)

    def init(self, config: str | None, folder: str, write: bool) -> tuple[str, list[str]]:
        """A first settings file for a repository."""
        from noren.init import first_settings

        return first_settings(Path(folder), Path(config or "noren.toml"), write=write)

    def install(self, really: bool) -> Iterator[str]:
        """Make Noren a service of this host, or only tell how."""
        from noren.install import carry_out, check, shown, steps

        program = Path(sys.argv[0]).absolute()
        if not really:
            yield shown(steps(program))
            return
        check(program, root=os.geteuid() == 0)
        yield from carry_out(steps(program))

    def doctor(self, config: str | None, running: bool) -> list[Finding]:
        """What this host offers Noren."""
        from noren.examination import examine
        from noren.settings.location import find

        return examine(lambda: find(config, os.environ), running)

    def prove(self, config: str | None, client: Client, asked: Proving, tell: Callable[[str], None]) -> Proven:
        """Load an app while it is rolled out again and again."""
        import asyncio

        from noren.proving import trial

        return asyncio.run(trial(config, client, asked, tell).run())

    def page(self, proven: Proven) -> str:
        """The same as one HTML page."""
        from noren.prove.page import page
        from noren.prove.report import Report

        assert isinstance(proven, Report)
        return page(proven)

    def backup(self, config: str | None, file: Path) -> str:
        """A consistent copy of the state."""
        from noren.adapters.backup import back_up
        from noren.settings.location import find, state_folder

        return back_up(state_folder(find(config, os.environ)), file)

    def restore(self, config: str | None, file: Path) -> list[str]:
        """A copy becomes the state."""
        from noren.daemon import restored
        from noren.settings.file import load
        from noren.settings.location import find

        return restored(load(find(config, os.environ)), file)

    def demo(self, once: bool, began: float | None) -> int:
        """Tell the story of the sample team; the exit code, 130 when it was ended by a signal."""
        import asyncio

        from rich.console import Console

        from noren.demo.story import tell

        try:
            return asyncio.run(tell(Console(highlight=False), once=once, began=began))
        except asyncio.CancelledError:
            return 130


def main() -> None:
    """The command ``noren``."""
    from noren.cli.commands import noren

    noren(obj=_Program())


if __name__ == "__main__":
    main()
