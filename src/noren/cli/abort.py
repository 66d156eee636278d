"""``noren abort``: end the running rollout."""

from __future__ import annotations

import click

from noren.cli.app_name import app_argument
from noren.cli.connection import client, config_option


@click.command()
@app_argument()
@config_option
def command(app: str) -> None:
    """End the running rollout: before traffic moved it is aborted, after it rolled back.

    \b
    Example: noren abort api
    """
    client().abort(app)
    click.echo(f"{app}: the rollout is being ended")
