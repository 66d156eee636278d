"""What has to be there for Noren to run as a service, as data: files and commands in order.

``carry_out`` does them, ``noren install --print`` shows them. Pure.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

USER = "noren"
SETTINGS = Path("/etc/noren/noren.toml")
STATE = Path("/var/lib/noren")
UNIT = Path("/etc/systemd/system/noren.service")

_SETTINGS_TEXT = f"""\
# Noren's settings. `noren init` writes the apps of a repository; `noren check` tells what is wrong here.
# After a change: systemctl reload noren
[server]
listen = ["[::]:80"]  # every address of this host, IPv4 too
state = "{STATE}"
"""

_UNIT_TEXT = """\
[Unit]
Description=Noren upgrades sites and services
Documentation=man:systemd.service(5)
After=network-online.target
Wants=network-online.target
# A full disk ends the daemon while apps serve on; it shall be tried again for as long as that lasts.
StartLimitIntervalSec=0

[Service]
User={user}
ExecStart={program} -c {settings} up
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=5s
# Only the daemon is stopped; apps and proxy serve on and are adopted by the next one. `noren down` stops all.
KillMode=process
AmbientCapabilities=CAP_NET_BIND_SERVICE
# Two for each of 20,000 connections at once.
LimitNOFILE=65536
# Groups of our own: limits.memory is kept, and every process of an instance is found.
Delegate=yes
DelegateSubgroup=daemon

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file with this text; ``keep``: one that is there stays as it is, whatever it says."""

    path: Path
    text: str
    keep: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command that root runs; ``unless`` is a command that says by its exit code 0 that there is nothing to do."""

    argv: tuple[str, ...]
    unless: tuple[str, ...] = ()


Step = File | Command


def steps(program: Path) -> list[Step]:
    """All of it; ``program`` is the command ``noren`` of this installation."""
    home = ("--home-dir", str(STATE), "--no-create-home", "--shell", "/usr/sbin/nologin")
    return [
        Command(argv=("useradd", "--system", *home, USER), unless=("id", "--user", USER)),
        Command(argv=("install", "--directory", "--mode=0755", str(SETTINGS.parent)), unless=_there(SETTINGS.parent)),
        Command(
            argv=("install", "--directory", "--mode=0750", "-o", USER, "-g", USER, str(STATE)), unless=_there(STATE)
        ),
        File(path=SETTINGS, text=_SETTINGS_TEXT, keep=True),
        File(path=UNIT, text=unit(program)),
        Command(argv=("systemctl", "daemon-reload")),
        Command(argv=("systemctl", "enable", "--now", "noren.service")),
    ]


def unit(program: Path) -> str:
    """The systemd unit; spaces and percent signs in a path are written as systemd.service(5) wants them."""
    quoted = str(program).replace("%", "%%")
    return _UNIT_TEXT.format(
        user=USER, program=f'"{quoted}"' if " " in quoted else quoted, settings=shlex.quote(str(SETTINGS))
    )


def _there(folder: Path) -> tuple[str, ...]:
    return ("test", "-d", str(folder))
