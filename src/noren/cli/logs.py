"""``noren logs``: what an app or its build writes."""

from __future__ import annotations

import json
from contextlib import suppress

import click

from noren.cli.app_name import app_argument
from noren.cli.connection import client, config_option, json_option
from noren.cli.text import coloured


@click.command()
@app_argument()
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines, also of the next release, until Ctrl-C.")
@click.option("--release", type=click.IntRange(min=1), help="Of this release; default: the active one.")
@click.option("--build", is_flag=True, help="The log of the build.")
@click.option("-n", "--last", default=1000, show_default=True, type=click.IntRange(0, 100_000), help="So many lines.")
@json_option
@config_option
def command(app: str, follow: bool, release: int | None, build: bool, last: int, as_json: bool) -> None:
    """Show the log of an app or of a build.

    \b
    Examples: noren logs api -f
              noren logs website --build --release 41
    """
    lines = client().logs(app, release=release, build=build, last=last, follow=follow)
    with suppress(KeyboardInterrupt):  # the way to end it
        for line in lines:
            click.echo(json.dumps({"line": line}) if as_json else coloured(line))
