"""``noren up``: the daemon in the foreground."""

from __future__ import annotations

import click

from noren.cli.connection import config, config_option, program


@click.command()
@config_option
def command() -> None:
    """Run the daemon in the foreground.

    Ctrl-C stops everything it runs. SIGTERM stops only the daemon: apps and proxy go on serving and
    are adopted by the next one.

    \b
    Example: noren -c noren.toml up
    """
    program().serve(config())
