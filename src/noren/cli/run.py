"""``noren run``: a command beside the active release."""

from __future__ import annotations

import os

import click

from noren.cli.app_name import app_argument
from noren.cli.connection import client, config_option
from noren.core.errors import NorenError


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@config_option
@app_argument()
@click.argument("words", metavar="-- CMD", nargs=-1, required=True, type=click.UNPROCESSED)
def command(app: str, words: tuple[str, ...]) -> None:
    """Run a command in the directory and environment of the active release.

    \b
    Example: noren run api -- .venv/bin/python manage.py migrate
    """
    place = client().run(app)
    words = words[1:] if words[0] == "--" else words
    if not words:
        raise click.UsageError("there is no command after --")
    try:
        os.chdir(place["directory"])
        os.execvpe(words[0], words, {**os.environ, **place["environment"]})
    except OSError as exc:
        hint = f"noren run {app} -- sh -c ..."
        raise NorenError(f"{words[0]} cannot be run in {place['directory']}", seen=str(exc), hint=hint) from exc
