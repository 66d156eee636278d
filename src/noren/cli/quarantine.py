"""``noren quarantine``: what failed by its own fault and is not tried again."""

from __future__ import annotations

import click

from noren.cli.app_name import app_argument
from noren.cli.connection import client, config_option, json_option
from noren.cli.text import moment, short, show_json, table


@click.group()
def command() -> None:
    """Revisions that no trigger tries again, because they failed by their own fault."""


@command.command("list")
@json_option
@config_option
def listed(as_json: bool) -> None:
    """List what is quarantined, newest first."""
    found = client().quarantine()
    if as_json:
        show_json(found)
        return
    rows = [(entry["app"], short(entry["revision"]), moment(entry["since"]), entry["reason"]) for entry in found]
    table(("APP", "REVISION", "SINCE", "REASON"), rows)


@command.command()
@app_argument()
@click.argument("revision")
@config_option
def lift(app: str, revision: str) -> None:
    """Let triggers try a revision again.

    \b
    Example: noren quarantine lift api 3f2c1ab
    """
    client().lift(app, revision)
    click.echo(f"{app}: {revision} is no longer quarantined")
