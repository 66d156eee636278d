"""``noren init``: a first noren.toml for a repository."""

from __future__ import annotations

import click

from noren.cli.connection import config, config_option, program
from noren.cli.text import plain


@click.command()
@config_option
@click.argument("folder", default=".", type=click.Path())
@click.option("--print", "only_print", is_flag=True, help="Print the file instead of writing it.")
def command(folder: str, only_print: bool) -> None:
    """Look at the Git checkout in FOLDER (default: here) and write a commented noren.toml for it.

    Recognises Hugo, Zensical, MkDocs, Jekyll, Eleventy, Astro, Vite, plain HTML, Django, FastAPI, Flask, Node and Go,
    also in folders below, and the command of a Dockerfile. Writes ./noren.toml, or the file of -c; never overwrites
    one.

    \b
    Examples: noren init
              noren init ../website
              noren init --print
    """
    text, told = program().init(config(), folder, not only_print)
    if only_print:
        click.echo(text, nl=False)
    for line in told:
        click.echo(("  " if line.startswith("  ") else "") + plain(line))
