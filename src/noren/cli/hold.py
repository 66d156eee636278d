"""``noren hold``: no automatic upgrades for now."""

from __future__ import annotations

import click

from noren.cli.app_name import app_argument
from noren.cli.connection import client, config_option


@click.command()
@app_argument()
@click.option("--reason", required=True, help="Why; shown to everybody who asks.")
@config_option
def command(app: str, reason: str) -> None:
    """Stop triggers from upgrading an app. People still can; a running rollout goes on.

    \b
    Example: noren hold api --reason "demo for a customer"
    """
    client().hold(app, reason)
    click.echo(f"{app}: held; `noren resume {app}` ends it")
