"""``noren prove``: load an app while it is rolled out again and again, and count what was lost."""

from __future__ import annotations

import ipaddress
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from noren.cli.app_name import app_argument
from noren.cli.connection import client, config, config_option, json_option, program
from noren.cli.program import Proving
from noren.cli.text import plain, show_json
from noren.core.errors import UsageError

if TYPE_CHECKING:
    from noren.api.client import Client


def _loads(_: click.Context, __: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip().upper() for name in value.split(",") if name.strip()))


@click.command()
@app_argument()
@click.option("--rollouts", type=click.IntRange(min=1), default=5, show_default=True, help="How often to roll out.")
@click.option("--duration", metavar="TIME", help="Spread the rollouts over this; default: one after the other.")
@click.option("--rate", type=click.FloatRange(1, 5000), default=100.0, show_default=True, help="Requests a second.")
@click.option("--load", "loads", metavar="L1,L2…", default="L1,L2", show_default=True, callback=_loads, help="Loads.")
@click.option("--path", "paths", multiple=True, default=("/",), show_default=True, help="GET this; repeatable.")
@click.option("--post", metavar="PATH", help='POST {"id": …} there; default: no POST at all.')
@click.option("--bystander", metavar="APP", help="The app of L9, which is not rolled out.")
@click.option("--idle", default="5s", show_default=True, help="The app's idle time-out, for L3.")
@click.option("--bake", default="5s", show_default=True, help="Promote a release after this; 0s: never.")
@click.option("--restart", is_flag=True, help="Restart the active release instead of making new ones of its revision.")
@click.option("--seed", type=int, help="Ask the same as an earlier run.")
@click.option(
    "--html", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Write a page with plots."
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask before a load on an app with public hosts.")
@json_option
@config_option
@click.pass_context
def command(ctx: click.Context, html: Path | None, yes: bool, as_json: bool, **asked: Any) -> None:
    """Load an app while it is rolled out again and again; exit code 1 when a request was lost.

    Each rollout is a new release of the active revision, so what is served stays the same. Only GET is sent,
    unless --post names a path.

    \b
    Loads: L1 new connections, L2 kept alive, L3 around the idle time-out, L7 HTTP/2, L8 clients that behave
           badly, L9 a bystander; L4 streams, L5 transfers and L6 WebSockets as examples/ledger answers them.
    Examples: noren prove website
              noren prove api --path /items --rollouts 20 --rate 300 --html proof.html
    """
    daemon = client()
    if not yes:
        _ask(daemon, asked["app"])
    found = program().prove(config(), daemon, Proving(**asked), lambda text: click.echo(plain(text), err=True))
    if html is not None:
        html.write_text(program().page(found))
    if as_json:
        show_json(found.document())
    else:
        for line in found.lines():
            click.echo(" " * (len(line) - len(line.lstrip())) + plain(line))
    ctx.exit(0 if found.good else 1)


def _ask(daemon: Client, app: str) -> None:
    """Before people's own app is loaded; without a terminal, --yes must say so."""
    entry = next((entry for entry in daemon.status()["apps"] if entry["name"] == app), None)
    public = [
        host for url in (entry["urls"] if entry else ()) if (host := urlsplit(str(url)).hostname) and _public(host)
    ]
    if not public:
        return
    where = f"{app} serves {', '.join(public)}: people may be using it"
    if not sys.stdin.isatty():
        raise UsageError(where, hint="noren prove --yes loads it all the same")
    click.confirm(f"{where}. Load it and roll it out?", abort=True)


def _public(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost" and not host.endswith(".localhost")
