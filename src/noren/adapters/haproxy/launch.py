"""Starts one HAProxy so that it outlives the daemon, and says in plain words why it did not start.

Called by the lifetime. subprocess.Popen and not asyncio's, whose transports kill the child when the loop closes.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from noren.adapters import proctable
from noren.adapters.haproxy.folder import CONFIG, LISTENERS, OUTPUT, Folder
from noren.adapters.identity import Identity
from noren.core.errors import HostError

_LONGEST_OUTPUT = 1_000_000


def launch(binary: Path, folder: Folder, *, inherit: bool, replaces: Identity | None = None) -> Identity:
    """Start HAProxy on the files of the folder; ``inherit``: with the listeners that the daemon holds.

    ``replaces`` is told to take no new connection once this one has bound everything, and to end with its last.
    """
    _limit_output(folder.path / OUTPUT)
    argv = [str(binary), "-db", "-f", CONFIG, *(["-x", LISTENERS] if inherit else [])]
    argv += ["-sf", str(replaces.pid)] if replaces else []
    try:
        with (folder.path / OUTPUT).open("ab") as output:
            child = subprocess.Popen(
                argv,
                cwd=folder.path,
                env={"PATH": os.environ.get("PATH", "")},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
    except OSError as exc:
        raise HostError(f"{binary} cannot be started", seen=str(exc)) from exc
    # Identity waits for and reaps the child; Popen must do neither, nor warn that it still runs.
    child.returncode = 0
    row = proctable.row(child.pid)
    assert row is not None, "an unreaped child has a row, dead or alive"
    return Identity.told_by(row)


def refusal(output: str) -> HostError:
    """Why HAProxy ended at once, from what it wrote."""
    alerts = [line for line in output.splitlines() if "[ALERT]" in line] or output.splitlines()[-3:]
    seen = "\n".join(alerts[:5])
    if match := re.search(r"cannot bind socket \((.*?)\) (?:for )?\[(.*)\]", seen):
        host, _, port = match[2].rpartition(":")
        address = f"[{host}]:{port}" if ":" in host else match[2]  # as the settings have it
        return HostError(f"cannot listen on {address}", seen=match[1], hint=_bind_hint(match[1]))
    return HostError("HAProxy did not start", seen=seen or "it said nothing", hint=f"read {OUTPUT} in the state folder")


def _bind_hint(reason: str) -> str:
    if "ermission" in reason:
        return "ports below 1024 need a right: `noren install` gives it, or listen on a higher port"
    if "in use" in reason:
        return "another program listens there (ss -ltnp tells which): stop it, or change [server] listen"
    if "Cannot assign" in reason:
        return "this host has no such address (ip address tells which it has): change [server] listen"
    return "check [server] listen in the settings"


def _limit_output(path: Path) -> None:
    # Written at starts and faults only; one old file is enough.
    if path.exists() and path.stat().st_size > _LONGEST_OUTPUT:
        path.replace(path.with_suffix(".old"))
