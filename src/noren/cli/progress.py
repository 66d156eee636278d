"""What is seen while a rollout runs: phases as they come, the receipt's line at the end.

Used by deploy, rollback and restart. On a terminal the running phase has a spinner, in a pipe each
event is a plain line.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from noren.cli.account import event_line, line
from noren.cli.text import plain, show_json
from noren.core.errors import NorenError, NotRunningError, UsageError

if TYPE_CHECKING:
    from noren.api.client import Client

Json = dict[str, Any]


def finish(client: Client, app: str, rollout: int, *, wait: bool, as_json: bool) -> None:
    """Tell what was begun, or wait for its verdict; raises NorenError when it was not kept."""
    if wait:
        _report(client, app, _outcome(client, app, rollout, quiet=as_json), as_json)
    elif as_json:
        show_json({"rollout": rollout})
    else:
        click.echo(f"{app}: rollout {rollout} has begun; `noren events {app} -f` shows it, --wait waits for it")


def _outcome(client: Client, app: str, rollout: int, *, quiet: bool) -> Json:
    with _shown(quiet) as show:
        for item in client.verdict(app, rollout):
            if "outcome" in item:
                return item["outcome"]
            show(item["event"])
    raise NotRunningError(
        f"the daemon stopped while rollout {rollout} of {app} was running",
        seen="the next daemon goes on with it, or rolls it back",
        hint=f"noren up, then noren receipt {app} {rollout}",
    )


def _report(client: Client, app: str, outcome: Json, as_json: bool) -> None:
    try:
        receipt = client.receipt(app, outcome["rollout"])
    except UsageError:
        receipt = None  # a rollout that was superseded in the queue has none
    if as_json:
        show_json(receipt or outcome)
    elif receipt:
        click.echo(line(receipt))
    if outcome["outcome"] != "kept":
        what = f"{app}: rollout {outcome['rollout']} was not kept but {outcome['outcome']}"
        raise NorenError(
            what, seen=plain(outcome["reason"] or ""), hint=f"noren events {app}, noren logs {app} --build"
        )


@contextmanager
def _shown(quiet: bool) -> Generator[Callable[[Json], None]]:
    if quiet:
        yield lambda _: None
    elif not sys.stdout.isatty():
        yield lambda event: click.echo(event_line(event))
    else:
        from rich.console import Console
        from rich.text import Text

        console = Console(highlight=False)
        with console.status("waiting") as status:

            def show(event: Json) -> None:
                console.print(Text(event_line(event)))
                status.update(Text(event.get("phase") or "waiting"))

            yield show
