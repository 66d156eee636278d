"""``noren doctor``: does this host have what Noren needs, and what would lose requests on it?"""

from __future__ import annotations

import click

from noren.cli.connection import client, config, config_option, json_option, program
from noren.cli.text import plain, show_json
from noren.core.errors import NotRunningError, SettingsError

_COLOURS = {"fine": "green", "risk": "yellow", "bad": "red"}


@click.command()
@config_option
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Examine this host: programs, ports, disk, limits, clock. Changes nothing.

    "risk" is what may lose requests or stop one day; "bad" is what keeps Noren from working: exit code 1 then.

    \b
    Examples: noren doctor
              noren doctor --json
    """
    findings = program().doctor(config(), _running())
    if as_json:
        rows = [{"name": f.name, "level": f.level.value, "seen": f.seen, "hint": f.hint} for f in findings]
        show_json({"findings": rows})
    else:
        for finding in findings:
            level = click.style(f"{finding.level.value:4}", fg=_COLOURS[finding.level.value])
            click.echo(f"{level}  {finding.name}: {plain(finding.seen)}")
            if finding.hint:
                click.echo(f"      try: {plain(finding.hint)}")
    ctx.exit(1 if any(finding.level.value == "bad" for finding in findings) else 0)


def _running() -> bool:
    try:
        client().status()
    except (NotRunningError, SettingsError):
        return False
    return True
