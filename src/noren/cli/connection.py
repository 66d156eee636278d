"""``-c FILE`` before or after the verb, and the client of the daemon that it leads to.

Used by every verb.
"""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING, Any, Final

import click

from noren.cli.program import Program

if TYPE_CHECKING:
    from noren.api.client import Client

_KEY: Final = "noren.config"


def _remember(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.meta[_KEY] = value


config_option: Any = click.option(
    "-c", "--config", metavar="FILE", expose_value=False, callback=_remember, help="Settings file."
)
json_option: Any = click.option("--json", "as_json", is_flag=True, help="JSON for scripts.")


def config() -> str | None:
    """The value of ``-c``."""
    return click.get_current_context().meta.get(_KEY)


def program() -> Program:
    """What main.py handed over."""
    return click.get_current_context().find_root().obj


def client() -> Client:
    """A client of the daemon of these settings; nothing is asked yet."""
    return client_of(click.get_current_context())


def client_of(ctx: click.Context) -> Client:
    """The same where a shell completes and no context is current. Imported here: --help needs no HTTP."""
    from noren.api.client import Client

    return Client(ctx.find_root().obj.socket(ctx.meta.get(_KEY)), by=_caller())


def _caller() -> str:
    try:
        return os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
