"""``noren status``: what runs, what is on its way, what is held."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from noren.cli.app_name import app_argument
from noren.cli.connection import client, config_option, json_option
from noren.cli.text import moment, plain, short, show_json, table
from noren.core.errors import UsageError

Json = dict[str, Any]


@click.command()
@app_argument(required=False)
@json_option
@config_option
def command(app: str | None, as_json: bool) -> None:
    """Show all apps, or one with its addresses, hold and quarantine.

    \b
    Examples: noren status
              noren status website --json
    """
    answer = client().status()
    apps = [entry for entry in answer["apps"] if app in (None, entry["name"])]
    if app and not apps:
        known = ", ".join(entry["name"] for entry in answer["apps"])
        raise UsageError(f"there is no app {app}", seen=f"apps: {known or 'none'}", hint="noren status")
    if as_json:
        show_json({"apps": apps})
        return
    table(("APP", "KIND", "PHASE", "ACTIVE", "REVISION", "SINCE", "CANDIDATE", "NOTES"), [_row(a) for a in apps])
    for sentence in _details(apps[0]) if app else ():
        click.echo(sentence)


def _row(app: Json) -> tuple[object, ...]:
    active: Json = app["active"] or {}
    return (
        app["name"],
        app["kind"],
        app["phase"] or "-",
        active.get("release", "-"),
        short(active.get("revision")),
        moment(active.get("since")),
        _candidate(app["candidate"]),
        _notes(app),
    )


def _result(result: str | None) -> str:
    return f"; built again: {plain(result.partition(chr(10))[0])}" if result else ""


def _candidate(candidate: Json | None) -> str:
    if candidate is None:
        return "-"
    return f"{candidate['release'] or short(candidate['revision'])} {candidate['phase']}"


def _notes(app: Json) -> str:
    return ", ".join(_noted(app)) or "-"


def _noted(app: Json) -> Iterator[str]:
    if app["active"] is not None and app["phase"] == "idle":  # in a rollout the phase tells
        running, wanted = app["active"]["instances"]["running"], app["active"]["instances"]["wanted"]
        if running < wanted:
            yield f"{running} of {wanted} instances run"
    if app["hold"]:
        yield "held"
    if app["waiting"] and app["waiting"]["until"]:
        yield "waits for its window"
    if app["source_problem"]:
        yield "source problem"
    if app["quarantined"]:
        yield f"{len(app['quarantined'])} quarantined"


def _details(app: Json) -> Iterator[str]:
    for url in app["urls"]:
        yield f"address: {plain(url)}"
    if hold := app["hold"]:
        yield f"held by {plain(hold['by'])} since {moment(hold['since'])}: {plain(hold['reason'])}"
    if problem := app["source_problem"]:
        yield f"source problem: {plain(problem)}"
    if waiting := app["waiting"]:
        until = f" until its window opens, {moment(waiting['until'])}" if waiting["until"] else ""
        yield f"waiting{until}: {short(waiting['revision'])} by {plain(waiting['trigger'])}"
    if schedule := app["schedule"]:
        last = f", last {moment(schedule['last'])}" if schedule["last"] else ""
        yield f"schedule: next {moment(schedule['next'])}{last}" + _result(schedule["result"])
    for entry in app["quarantined"]:
        yield f"quarantined {short(entry['revision'])} since {moment(entry['since'])}: {plain(entry['reason'])}"
    for pull in app["pull_requests"]:
        yield f"pull request {pull['number']} at {short(pull['revision'])}: {plain(pull['preview'] or pull['reason'])}"
    if app["last_good"]:
        yield f"last good: release {app['last_good']}"
