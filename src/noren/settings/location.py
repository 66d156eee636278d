"""Which settings file is meant, and where the daemon of that file keeps its state.

Called by main.py for every command. Imports no pydantic, and checks no more than it must: a command
that only asks the daemon shall work although the file has an error somewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from noren.core.errors import SettingsError
from noren.settings import document

STATE = ".noren"
SYSTEM = Path("/etc/noren/noren.toml")


def find(option: str | None, environ: Mapping[str, str]) -> Path:
    """``-c FILE``, else ``$NOREN_CONFIG``, else ``./noren.toml``, else ``/etc/noren/noren.toml``; absolute.

    What was named is returned although it may not exist; raises SettingsError when nothing is there.
    """
    if named := option or environ.get("NOREN_CONFIG"):
        return Path(named).absolute()
    here = Path("noren.toml").absolute()
    for path in (here, SYSTEM):
        if path.exists():
            return path
    raise SettingsError(
        "no settings file was found",
        seen=f"neither {here} nor {SYSTEM} exists, and neither -c FILE nor NOREN_CONFIG is set",
        hint="noren init in the folder of your repository writes a first one, or name yours with -c FILE",
    )


def state_folder(path: Path) -> Path:
    """The absolute state folder of a settings file; raises SettingsError when it cannot be read."""
    server = document.table(document.parse(path, document.read(path)).get("server"))
    state = server.get("state", STATE)
    if not isinstance(state, str) or not state.strip() or "\0" in state:
        raise SettingsError(f"{path.name}: server.state must be a folder", seen=repr(state))
    return path.absolute().parent / state
