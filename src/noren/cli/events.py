"""``noren events``: the history, and what happens now."""

from __future__ import annotations

import json
from contextlib import suppress

import click

from noren.cli.account import event_line
from noren.cli.app_name import app_argument
from noren.cli.connection import client, config_option, json_option
from noren.cli.text import show_json


@click.command()
@app_argument(required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on with new events, until Ctrl-C.")
@click.option("-n", "--last", default=50, show_default=True, type=click.IntRange(1, 10_000), help="So many lines.")
@json_option
@config_option
def command(app: str | None, follow: bool, last: int, as_json: bool) -> None:
    """Show the history of one or all apps, oldest first.

    With --json a list; with -f and --json one document a line.

    \b
    Examples: noren events
              noren events website -f
    """
    if not follow:
        found = client().events(app, -last)
        if as_json:
            show_json(found)
        for event in () if as_json else found:
            click.echo(event_line(event))
        return
    with suppress(KeyboardInterrupt):  # the way to end it
        for event in client().follow(app, -last):
            click.echo(json.dumps(event) if as_json else event_line(event))
