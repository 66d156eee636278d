"""The argument APP of many verbs: a shell completes it to the apps that the running daemon knows."""

from __future__ import annotations

from typing import Any

import click

from noren.cli.connection import client_of
from noren.core.errors import NorenError


def app_argument(*, required: bool = True) -> Any:
    """``APP`` as an argument of a verb."""
    return click.argument("app", required=required, shell_complete=_names)


def _names(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Names that begin so; none without a daemon, for nobody wants an error while typing."""
    try:
        answer: Any = client_of(ctx).status()
    except NorenError:
        return []
    return [app["name"] for app in answer["apps"] if app["name"].startswith(incomplete)]
