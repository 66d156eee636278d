"""``noren rollback``: back to an older release."""

from __future__ import annotations

import click

from noren.cli.app_name import app_argument
from noren.cli.connection import client, config_option, json_option
from noren.cli.progress import finish


@click.command()
@app_argument()
@click.argument("release", type=click.IntRange(min=1), required=False)
@click.option("--wait", is_flag=True, help="Wait for the verdict; exits 0 only when the release was kept.")
@json_option
@config_option
def command(app: str, release: int | None, wait: bool, as_json: bool) -> None:
    """Go back to a release, by default the one that was kept before. It stays until the next commit.

    \b
    Examples: noren rollback website --wait
              noren rollback api 41
    """
    daemon = client()
    finish(daemon, app, daemon.rollback(app, release), wait=wait, as_json=as_json)
