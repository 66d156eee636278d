"""``noren promote``: do not wait any longer."""

from __future__ import annotations

import click

from noren.cli.app_name import app_argument
from noren.cli.connection import client, config_option


@click.command()
@app_argument()
@config_option
def command(app: str) -> None:
    """Skip what is left of the steps and the bake time of the running rollout.

    \b
    Example: noren promote api
    """
    client().promote(app)
    click.echo(f"{app}: promoted")
