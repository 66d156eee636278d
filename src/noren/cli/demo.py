"""``noren demo``: the sample team."""

from __future__ import annotations

import click

from noren.cli.connection import program


@click.command()
@click.option("--once", is_flag=True, help="End by itself, with an exit code, instead of running until Ctrl-C.")
@click.option(
    "--since",
    type=float,
    metavar="SECONDS",
    help="Count the time to the first page from this second since boot (/proc/uptime).",
)
@click.pass_context
def command(ctx: click.Context, once: bool, since: float | None) -> None:
    """Show Noren at work: four apps, good and bad commits, a load, and the receipts.

    Uses a temporary folder and a free port, and leaves nothing behind. Needs Python and git, no network.

    \b
    Examples: noren demo
              noren demo --once
    """
    ctx.exit(program().demo(once, since))
