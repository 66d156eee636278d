"""``noren deploy``: release the newest revision, or a given one."""

from __future__ import annotations

import click

from noren.cli.app_name import app_argument
from noren.cli.connection import client, config_option, json_option
from noren.cli.progress import finish


@click.command()
@app_argument()
@click.option("--revision", metavar="SHA", help="This commit; default: the tip of the branch.")
@click.option("--wait", is_flag=True, help="Wait for the verdict; exits 0 only when the release was kept.")
@json_option
@config_option
def command(app: str, revision: str | None, wait: bool, as_json: bool) -> None:
    """Release a revision now. One that is quarantined is lifted.

    \b
    Examples: noren deploy website --wait
              noren deploy api --revision 3f2c1ab
    """
    daemon = client()
    finish(daemon, app, daemon.deploy(app, revision), wait=wait, as_json=as_json)
