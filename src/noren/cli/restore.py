"""``noren restore FILE``: a copy becomes the state."""

from __future__ import annotations

from pathlib import Path

import click

from noren.cli.connection import config, config_option, program


@click.command()
@click.argument("file", type=click.Path(dir_okay=False))
@config_option
def command(file: str) -> None:
    """Make a copy that `noren backup` wrote the state; what was there is kept aside.

    Nothing may run: `noren down` first, `noren up` afterwards.

    \b
    Example: noren restore /backups/noren-2026-11-25.db
    """
    for sentence in program().restore(config(), Path(file).absolute()):
        click.echo(sentence)
