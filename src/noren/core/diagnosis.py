"""What ``noren doctor`` makes of what it saw of a host: fine, a risk, or a reason not to start.

``adapters/host.py`` looks, ``cli/doctor.py`` shows. Pure, so that hosts that cannot be had are judged in tests too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from noren.core.errors import NorenError


class Level(StrEnum):
    """How much a finding matters."""

    FINE = "fine"
    RISK = "risk"  # Noren works, but something may be lost or stop one day
    BAD = "bad"  # Noren does not start, or cannot do its work


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what was seen, and what to try unless it is fine."""

    name: str
    level: Level
    seen: str
    hint: str = ""


def program(name: str, version: str | NorenError) -> Finding:
    """A program that Noren runs, or why it cannot be had."""
    if isinstance(version, NorenError):
        seen = f"{version.what} ({version.seen})" if version.seen else version.what
        return Finding(name, Level.BAD, seen, version.hint)
    return Finding(name, Level.FINE, version)


def open_files(hard: int, fewest: int, enough: int) -> Finding:
    """The hard limit of open files: below ``fewest`` HAProxy is not started, with ``enough`` nothing is held back."""
    seen = f"at most {hard:,} at once"
    hint = f"allow {enough:,}: ulimit -Hn, or LimitNOFILE= in the systemd unit"
    if hard < fewest:
        return Finding("open files", Level.BAD, f"{seen}, at least {fewest:,} are needed", hint)
    if hard < enough:
        return Finding("open files", Level.RISK, f"{seen}: many connections will have to wait", hint)
    return Finding("open files", Level.FINE, seen)


def instance_ports(first: int, last: int, ephemeral: tuple[int, int], taken: Sequence[int]) -> Finding:
    """The ports of instances must not be those that the kernel gives to outgoing connections (ip_local_port_range)."""
    name, seen = "ports of instances", f"{first}-{last}"
    if first <= ephemeral[1] and ephemeral[0] <= last:
        seen += f" overlaps what the kernel gives to outgoing connections, {ephemeral[0]}-{ephemeral[1]}"
        return Finding(name, Level.RISK, seen, "set [server] ports, or net.ipv4.ip_local_port_range, apart from it")
    if taken:
        listed = ", ".join(map(str, taken[:5]))
        return Finding(name, Level.FINE, f"{seen}; others listen on {listed}: these are left out")
    return Finding(name, Level.FINE, seen)


def free_space(free: int, minimum: int, folder: str) -> Finding:
    """Bytes that are free where the state is; below ``minimum`` builds are stopped."""
    seen = f"{free // 1_000_000:,} MB are free at {folder}"
    if free < minimum:
        return Finding("disk", Level.BAD, f"{seen}, {minimum // 1_000_000:,} MB must stay free", "free space there")
    if free < 4 * minimum:
        return Finding("disk", Level.RISK, f"{seen}: builds stop at {minimum // 1_000_000:,} MB", "free space there")
    return Finding("disk", Level.FINE, seen)


def clock(synchronised: bool | None) -> Finding:
    """Whether the kernel's clock is kept right; None: it does not tell. Only records use the clock of the day."""
    if synchronised is False:
        hint = "start a time service (systemd-timesyncd, chrony): certificates and times in receipts need it"
        return Finding("clock", Level.RISK, "nobody keeps it right", hint)
    return Finding("clock", Level.FINE, "kept right" if synchronised else "the kernel does not tell")


def backlog(most: int, wanted: int = 1024) -> Finding:
    """How many new connections may wait while HAProxy is started anew (net.core.somaxconn)."""
    seen = f"{most:,} new connections may wait"
    if most < wanted:
        return Finding(
            "backlog", Level.RISK, seen, f"sysctl -w net.core.somaxconn={wanted}: a restart of HAProxy needs it"
        )
    return Finding("backlog", Level.FINE, seen)


def migration(on: bool | None) -> Finding:
    """net.ipv4.tcp_migrate_req: whether waiting connections survive a listener that closes.

    Noren's own listeners never close, but an app that listens for itself loses its queue (Linux, ip-sysctl).
    """
    if on:
        return Finding("waiting connections", Level.FINE, "move to another listener of their port")
    seen = "are reset when a program closes its listener; Noren's public listeners never close"
    return Finding("waiting connections", Level.FINE, seen)


def listener(address: str, problem: str, *, ours: bool) -> Finding:
    """A public address: ``problem`` is what the kernel said to a trial, "" when it can be listened on."""
    name = f"listen {address}"
    if ours:
        return Finding(name, Level.FINE, "Noren listens there")
    if not problem:
        return Finding(name, Level.FINE, "free")
    hint = "stop what listens there (ss -ltnp tells), or change [server] listen"
    if "ermission" in problem:
        hint = "ports below 1024 need a right: `noren install` gives it, or listen on a higher port"
    return Finding(name, Level.BAD, problem, hint)


def groups(writable: bool) -> Finding:
    """Control groups: by them `limits.memory` is kept and every process of an instance is found."""
    if writable:
        return Finding("control groups", Level.FINE, "can be made: `limits.memory` is kept")
    hint = "run Noren as a systemd unit with Delegate=yes (`noren install`), or do without `limits.memory`"
    return Finding("control groups", Level.RISK, "cannot be made: `limits.memory` is not kept", hint)


def state(folder: str, problem: str) -> Finding:
    """The state folder: ``problem`` is why it cannot be written, "" when it can."""
    if problem:
        return Finding("state", Level.BAD, f"{folder}: {problem}", "give this user the folder, or set [server] state")
    return Finding("state", Level.FINE, folder)
