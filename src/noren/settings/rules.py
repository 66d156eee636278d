"""What holds between keys: of one app, and between apps.

Called by ``file`` with the merged tables, before their types are known to be right, so that these
errors are told together with all others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from noren.settings import document, hosts, quantity
from noren.settings.defaults import FITS, UNFIT, kind_of, unfit
from noren.settings.document import items
from noren.settings.document import table as document_table
from noren.settings.positions import Path as Key

Finding = tuple[Key, str]
_UNFIT_WHY = {
    "adopt": "fits only mode own: an adopted Deployment has its own",
    "own": "fits only mode adopt: there is nothing to repair in an own Deployment",
}


def app(table: dict[str, Any]) -> Iterator[Finding]:
    """What is wrong within one app; keys are relative to it."""
    kind = kind_of(table)
    for key in sorted(unfit(kind) & table.keys()):
        yield (key,), f"fits only a {' or '.join(FITS[key])} app, and this one is {kind}{_why(table)}"
    if kind == "process" and "run" not in table:
        yield ("run",), "is missing: a process needs the command that serves on $PORT"
    if "tags" in table and "branch" in table:
        yield ("tags",), "is followed instead of a branch: keep one of branch and tags"
    previews = document.table(table.get("pull_requests"))
    if "pull_requests" in table and "hosts" not in previews:
        yield ("pull_requests",), 'needs hosts, such as "pr-{number}.example.org"'
    yield from _places(table, kind)
    if "ssh_key_file" in table and "known_hosts_file" not in table:
        yield ("known_hosts_file",), "is missing: without it nobody can tell the Git server from an impostor"


def _places(table: dict[str, Any], kind: object) -> Iterator[Finding]:
    """Where revisions come from, and where requests do."""
    image = str(table.get("image", ""))
    tagged = ":" in image.rpartition("/")[2]
    if kind != "kubernetes":
        yield from (((key,), "is missing") for key in ("repo", "hosts") if key not in table)
        return
    if "image" not in table:
        yield ("image",), "is missing: where images are pushed, or with a tag and without repo what is watched"
    elif "repo" in table and tagged:
        yield ("image",), "must be without a tag where repo is set: Noren gives each build a tag of its own"
    elif "repo" not in table and not tagged:
        yield ("image",), 'must have a tag such as ":latest" to watch, unless repo is set'
    yield from _kubernetes(document_table(table.get("kubernetes")))


def _kubernetes(cluster: dict[str, Any]) -> Iterator[Finding]:
    mode = cluster.get("mode", "adopt" if "deployment" in cluster else "own")
    if mode == "adopt" and "deployment" not in cluster:
        yield ("kubernetes", "deployment"), "is missing: which Deployment is adopted?"
    for key in sorted(UNFIT.get(str(mode), frozenset()) & cluster.keys()):
        yield ("kubernetes", key), _UNFIT_WHY[str(mode)]
    if mode == "adopt" and "checks" in cluster and "service" not in cluster:
        yield ("kubernetes", "service"), "is missing: the Service that checks go through"


def _why(table: dict[str, Any]) -> str:
    if "kind" in table:
        return ""
    return " (run is set)" if "run" in table else " (run is not set)"


def claims(apps: dict[str, dict[str, Any]]) -> Iterator[Finding]:
    """Hosts that are claimed twice, by two apps or by one."""
    claimed: dict[str, str] = {}
    for name, table in apps.items():
        entries = hosts.spelled(items(table.get("hosts")))
        for index, entry in enumerate(entries):
            if entry is None:
                continue
            other = claimed.setdefault(entry, name)
            if other != name or entry in entries[:index]:
                yield ("apps", name, "hosts", index), _claimed(entry, name, other)


def previews(apps: dict[str, dict[str, Any]]) -> Iterator[Finding]:
    """Previews that would take the name or a host of an app, or of the previews of another."""
    claimed = {entry: name for name, table in apps.items() for entry in hosts.spelled(items(table.get("hosts")))}
    templates: dict[str, str] = {}
    for name, table in apps.items():
        template = document.table(table.get("pull_requests")).get("hosts")
        if not isinstance(template, str) or template.count(hosts.NUMBER) != 1:
            continue
        place = ("apps", name, "pull_requests", "hosts")
        for taken in (entry for entry in claimed if entry and hosts.previews(template.lower()).fullmatch(entry)):
            yield place, f"may become {taken}, which is a host of {claimed[taken]}"
        for other in (other for other in apps if re.fullmatch(rf"{re.escape(name)}-pr-[0-9]+", other)):
            yield ("apps", other), f"has the name of a preview of {name}: give it another"
        if (first := templates.setdefault(template.lower(), name)) != name:
            yield place, f"is also that of the previews of {first}"


def _claimed(entry: str, name: str, other: str) -> str:
    if name == other:
        return f"{entry} is listed twice"
    return f"{entry} is claimed by two apps, {other} and {name}: give one of them a path such as {entry}/{name}"


def server(table: dict[str, Any]) -> Iterator[Finding]:
    """Listeners that are named twice or that lie where instances get their ports."""
    addresses = [str(entry) for entry in items(table.get("listen"))]
    try:
        first, last = quantity.ports(table.get("ports", "20000-28999"))
    except ValueError:
        first, last = 0, -1
    for index, address in enumerate(addresses):
        port = address.rpartition(":")[2]
        if address in addresses[:index]:
            yield ("server", "listen", index), f"{address} is listed twice"
        if port.isdecimal() and first <= int(port[:6]) <= last:
            yield ("server", "listen", index), f"port {port[:6]} lies within server.ports, which are for instances"


def notify(table: dict[str, Any]) -> Iterator[Finding]:
    """A secret that signs nothing."""
    if "secret_env" in table and "webhook" not in table:
        yield ("notify", "secret_env"), "signs the messages of webhook, and there is none"
