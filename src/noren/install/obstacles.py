"""Why this host cannot have Noren as a service, found before anything is changed.

Used by main.py for ``noren install``.
"""

from __future__ import annotations

import stat
from pathlib import Path

from noren.adapters.host import public
from noren.core.diagnosis import Level
from noren.core.errors import HostError
from noren.install.steps import SETTINGS

_RUNS = Path("/run/systemd/system")  # sd_booted(3)


def check(program: Path, *, root: bool, systemd: Path = _RUNS, settings: Path = SETTINGS) -> None:
    """Raises HostError with the first obstacle; ``root``: whether we are root."""
    if not root:
        raise HostError(
            "only root can install a service", hint="sudo noren install, or noren install --print to see what it does"
        )
    if not systemd.is_dir():
        raise HostError(
            "this machine is not run by systemd",
            seen=f"{systemd} is missing",
            hint="let what runs it start `noren up`; noren install --print shows what would be set",
        )
    closed = next((folder for folder in program.resolve().parents if not _open(folder)), None)
    if closed is not None:
        raise HostError(
            f"the user noren could not run {program}",
            seen=f"{closed} is closed to others",
            hint="install Noren where everybody may read, for example a checkout or virtual environment in /opt/noren",
        )
    if not settings.exists() and (port := public("[::]:80", running=False)).level is Level.BAD:
        raise HostError(
            "port 80 cannot be listened on", seen=port.seen, hint=f"stop what listens there, or write {settings}"
        )


def _open(folder: Path) -> bool:
    return bool(folder.stat().st_mode & stat.S_IXOTH)
