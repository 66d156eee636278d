"""``noren install``: Noren as a service of this host."""

from __future__ import annotations

import click

from noren.cli.connection import program


@click.command()
@click.option("--print", "only_print", is_flag=True, help="Print the files and commands, and do nothing.")
def command(only_print: bool) -> None:
    """Make Noren a systemd service: user, folders, first settings, unit; then start it.

    Settings that are there stay. Called again it changes nothing, or brings the unit up to date.

    \b
    Examples: noren install --print
              sudo noren install
    """
    for line in program().install(not only_print):
        click.echo(line)
