"""``noren approve``: a commit of a fork was looked at, and may have a preview."""

from __future__ import annotations

import click

from noren.cli.app_name import app_argument
from noren.cli.connection import client, config_option


@click.command()
@app_argument()
@click.argument("number", type=click.IntRange(min=1))
@click.argument("revision")
@config_option
def command(app: str, number: int, revision: str) -> None:
    """Let one commit of a fork's pull request have a preview: look at it first, it runs on this host.

    \b
    Example: noren approve website 12 3f2c1ab4c5d6e7f8091a2b3c4d5e6f708192a3b4
    """
    client().approve(app, number, revision)
    click.echo(f"{app}: {revision[:12]} of pull request {number} may have a preview; what is pushed after it may not")
