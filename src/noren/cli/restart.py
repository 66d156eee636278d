"""``noren restart``: new instances of the same release."""

from __future__ import annotations

import click

from noren.cli.app_name import app_argument
from noren.cli.connection import client, config_option, json_option
from noren.cli.progress import finish


@click.command()
@app_argument()
@click.option("--wait", is_flag=True, help="Wait for the verdict; exits 0 only when it was kept.")
@json_option
@config_option
def command(app: str, wait: bool, as_json: bool) -> None:
    """Replace the instances of the active release, without losing a request.

    \b
    Example: noren restart api --wait
    """
    daemon = client()
    finish(daemon, app, daemon.restart(app), wait=wait, as_json=as_json)
