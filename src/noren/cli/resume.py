"""``noren resume``: automatic upgrades again."""

from __future__ import annotations

import click

from noren.cli.app_name import app_argument
from noren.cli.connection import client, config_option


@click.command()
@app_argument()
@config_option
def command(app: str) -> None:
    """End a hold.

    \b
    Example: noren resume api
    """
    client().resume(app)
    click.echo(f"{app}: triggers act again")
