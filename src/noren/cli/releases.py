"""``noren releases``: what was released, and how each ended."""

from __future__ import annotations

import click

from noren.cli.app_name import app_argument
from noren.cli.connection import client, config_option, json_option
from noren.cli.text import moment, short, show_json, table


@click.command()
@app_argument()
@json_option
@config_option
def command(app: str, as_json: bool) -> None:
    """List the releases of an app, newest first.

    \b
    Example: noren releases website
    """
    found = client().releases(app)
    if as_json:
        show_json(found)
        return
    rows = [
        (r["release"], short(r["revision"]), moment(r["built_at"]), r["outcome"] or "-", r["reason"] or "-")
        for r in found
    ]
    table(("RELEASE", "REVISION", "BUILT", "OUTCOME", "REASON"), rows)
