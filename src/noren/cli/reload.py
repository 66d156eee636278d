"""``noren reload``: take over changed settings."""

from __future__ import annotations

import click

from noren.cli.connection import client, config_option
from noren.cli.text import plain


@click.command()
@click.option("--prune", is_flag=True, help="Also remove apps that are no longer in the file.")
@click.option("--dry-run", is_flag=True, help="Only print the plan.")
@config_option
def command(prune: bool, dry_run: bool) -> None:
    """Read the settings again: print the plan, then do it. Invalid settings change nothing.

    \b
    Examples: noren reload --dry-run
              noren reload --prune
    """
    daemon = client()
    plan = daemon.reload(prune=prune, dry=True)
    for sentence in plan or ["nothing changes"]:
        click.echo(plain(sentence))
    if plan and not dry_run:
        daemon.reload(prune=prune, dry=False)
        click.echo("reloaded")
