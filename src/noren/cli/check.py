"""``noren check``: are the settings right, and what do they amount to?"""

from __future__ import annotations

import click

from noren.cli.connection import config, config_option, program


@click.command()
@config_option
@click.option("--schema", is_flag=True, help="Print the JSON Schema of the settings file instead.")
def command(schema: bool) -> None:
    """Validate the settings and print them with every default filled in.

    All errors are told at once, with file, line and key; the exit code is then 2.

    \b
    Examples: noren check
              noren check --schema > noren.schema.json
    """
    click.echo(program().schema() if schema else program().check(config()), nl=schema)
