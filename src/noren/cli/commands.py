"""The command ``noren``: finds the file of a verb, and turns Noren's errors into text and exit codes.

Called by main.py as ``noren(obj=program)``. A verb is imported when it is used: ``noren status``
shall not wait for the imports of all others.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from noren import __version__
from noren.cli.connection import config_option
from noren.core.errors import NorenError

VERBS = (
    *("init", "up", "down", "check", "status", "releases", "receipt", "events", "logs"),
    *("deploy", "rollback", "restart", "promote", "abort", "hold", "resume", "quarantine", "approve"),
    *("reload", "run", "prove", "demo", "doctor", "install", "backup", "restore"),
)


class Verbs(click.Group):
    """A group whose commands are the modules of this package, each with its ``command``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the documentation."""
        return [*VERBS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the verb."""
        if cmd_name not in VERBS:
            return super().get_command(ctx, cmd_name)
        return import_module(f"noren.cli.{cmd_name}").command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the verb that was probably meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as exc:
            from difflib import get_close_matches

            meant = "".join(f" Did you mean {verb}?" for verb in get_close_matches(args[0], VERBS, 1))
            raise click.UsageError(exc.message + meant, ctx) from exc

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; an error of Noren is told and becomes the exit code."""
        try:
            return super().invoke(ctx)
        except NorenError as exc:
            click.echo(f"noren: {exc}", err=True)
            ctx.exit(exc.exit_code)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="noren %(version)s")
@config_option
def noren() -> None:
    """Upgrade web sites and API services without losing a request.

    \b
    Settings: -c FILE, else $NOREN_CONFIG, else ./noren.toml, else /etc/noren/noren.toml.
    Exit codes: 0 done, 1 failed, 2 usage or settings, 3 the daemon is not running.
    """
