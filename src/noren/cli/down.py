"""``noren down``: stop everything, with or without a running daemon."""

from __future__ import annotations

import click

from noren.cli.connection import client, config, config_option, program
from noren.core.errors import NotRunningError


@click.command()
@config_option
def command() -> None:
    """Stop the daemon, the apps and the proxy; also what a dead daemon left.

    \b
    Example: noren down
    """
    try:
        client().stop(everything=True)
        click.echo("stopped: the daemon, the apps and the proxy")
    except NotRunningError:
        for sentence in program().down(config()) or ["nothing was running"]:
            click.echo(sentence)
