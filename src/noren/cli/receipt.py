"""``noren receipt``: what an upgrade cost."""

from __future__ import annotations

import click

from noren.cli.account import whole
from noren.cli.app_name import app_argument
from noren.cli.connection import client, config_option, json_option
from noren.cli.text import show_json


@click.command()
@app_argument()
@click.argument("rollout", type=click.IntRange(min=1), required=False)
@json_option
@config_option
def command(app: str, rollout: int | None, as_json: bool) -> None:
    """Show the receipt of a rollout, by default of the newest.

    \b
    Examples: noren receipt website
              noren receipt website 7 --json
    """
    found = client().receipt(app, rollout)
    if as_json:
        show_json(found)
        return
    for sentence in whole(found):
        click.echo(sentence)
