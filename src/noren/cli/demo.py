"""``noren demo``: the sample team."""

from __future__ import annotations

import click

from noren.cli.connection import program


@click.command()
@click.option("--once", is_flag=True, help="End by itself, with an exit code, instead of running until Ctrl-C.")
@click.pass_context
def command(ctx: click.Context, once: bool) -> None:
    """Show Noren at work: three apps, good and bad commits, a load, and the receipts.

    Uses a temporary folder and a free port, and leaves nothing behind.

    \b
    Examples: noren demo
              noren demo --once
    """
    ctx.exit(program().demo(once))
