"""Reads the settings in a process of its own, for ``daemon.py`` at each start and each reload.

pydantic and its models take 16 MB that are needed for a quarter of a second; a daemon that idles
for weeks shall not keep them (the whole of Noren idles in 120 MB, proxies included).
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import msgspec

from noren.core.errors import HostError, SettingsError
from noren.settings.model import Settings

_DEADLINE = 30.0  # seconds; a quarter of one is usual


async def read(path: Path) -> Settings:
    """As ``file.load``; raises SettingsError that lists all errors, HostError when the reader itself fails."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "noren.settings", str(path)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_DEADLINE):
            answer, said = await child.communicate()
    except TimeoutError as exc:
        child.kill()
        await child.wait()
        raise HostError(f"{path} could not be read within {_DEADLINE:g} s", hint="is its disk reachable?") from exc
    if child.returncode == SettingsError.exit_code and answer:
        raise SettingsError(**msgspec.json.decode(answer, type=dict[str, str]))
    if child.returncode != 0:
        raise HostError(f"{path} could not be read", seen=said.decode(errors="replace")[-2000:])
    return msgspec.json.decode(answer, type=Settings, dec_hook=_decoded)


def _decoded(kind: type[Any], value: Any) -> Any:
    return kind(value)
