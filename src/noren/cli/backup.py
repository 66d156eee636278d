"""``noren backup FILE``: a consistent copy of the state as one file."""

from __future__ import annotations

from pathlib import Path

import click

from noren.cli.connection import config, config_option, program


@click.command()
@click.argument("file", type=click.Path(dir_okay=False))
@config_option
def command(file: str) -> None:
    """Copy the state into FILE: releases, receipts, quarantine, history. The daemon may run.

    FILE is as secret as the state. Builds and the data of apps are not in it.

    \b
    Example: noren backup /backups/noren-$(date +%F).db
    """
    click.echo(program().backup(config(), Path(file).absolute()))
