"""What an app names outside of the settings file: its repository, key files and the file of secrets.

Called by ``file``. Paths are relative to the settings file and become absolute here; a file that is
missing is told now and not in the middle of an upgrade.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noren.core.forge import Forge
from noren.settings import document, envfile, forge
from noren.settings.positions import Path as Key
from noren.settings.problems import Problems
from noren.settings.repository import repository


@dataclass(frozen=True, slots=True)
class Outside:
    """What was found for one app; all paths absolute."""

    repo: str = ""
    ssh_key_file: str | None = None
    known_hosts_file: str | None = None
    secrets: tuple[tuple[str, str], ...] = ()
    forge: Forge | None = None
    preview_secrets: tuple[tuple[str, str], ...] = ()
    login: str | None = None
    kubeconfig: str | None = None
    registry_auth_file: str | None = None


def look(table: dict[str, Any], place: Key, problems: Problems) -> Outside:
    """Resolve what the app names; what is wrong is added to the problems."""
    folder = problems.path.parent
    repo = _repo(table.get("repo"), (*place, "repo"), problems)
    previews = document.table(table.get("pull_requests"))
    cluster = document.table(table.get("kubernetes"))
    return Outside(
        repo=repo,
        ssh_key_file=_file(table.get("ssh_key_file"), folder, (*place, "ssh_key_file"), problems),
        known_hosts_file=_file(table.get("known_hosts_file"), folder, (*place, "known_hosts_file"), problems),
        secrets=_secrets(table.get("env_file"), folder, (*place, "env_file"), problems),
        forge=_forge(table, repo, place, problems),
        preview_secrets=_secrets(previews.get("env_file"), folder, (*place, "pull_requests", "env_file"), problems),
        login=_login(previews.get("auth_env")),
        **{
            key: _file(cluster.get(key), folder, (*place, "kubernetes", key), problems)
            for key in ("kubeconfig", "registry_auth_file")
        },
    )


def look_host(notify: dict[str, Any], problems: Problems) -> None:
    """The file that ``[notify]`` names."""
    _file(notify.get("apprise_file"), problems.path.parent, ("notify", "apprise_file"), problems)


def _repo(value: object, place: Key, problems: Problems) -> str:
    try:
        return repository(value, problems.path.parent) if isinstance(value, str) else ""
    except (ValueError, OSError, RuntimeError) as exc:
        problems.add(place, str(exc))
        return ""


def _forge(table: dict[str, Any], repo: str, place: Key, problems: Problems) -> Forge | None:
    if "forge" not in table and "pull_requests" not in table:
        return None
    try:
        return forge.forge(document.table(table.get("forge")), repo, table.get("token_env"))
    except ValueError as exc:
        problems.add((*place, "forge" if "forge" in table else "pull_requests"), str(exc))
        return None


def _login(name: object) -> str | None:
    """The digest of ``user:password``; "" where the variable is not there, which lets nobody in."""
    if not isinstance(name, str):
        return None
    said = os.environ.get(name, "")
    return hashlib.sha256(said.encode()).hexdigest().upper() if ":" in said else ""


def _file(value: object, folder: Path, place: Key, problems: Problems) -> str | None:
    if not isinstance(value, str):
        return None
    if not value.strip() or "\0" in value:
        problems.add(place, "must name a file")
        return None
    path = folder / value
    try:
        if not path.is_file():
            problems.add(place, f"{path} is not a file: it is missing, or something else")
        elif not os.access(path, os.R_OK):
            problems.add(place, f"{path} may not be read by this user")
    except OSError as exc:
        problems.add(place, f"{value[:60]} cannot be looked up: {exc.strerror}")
    return str(path)


def _secrets(value: object, folder: Path, place: Key, problems: Problems) -> tuple[tuple[str, str], ...]:
    before = len(problems.found)
    path = _file(value, folder, place, problems)
    if path is None or len(problems.found) > before:
        return ()
    try:
        variables, wrong = envfile.read(Path(path))
    except ValueError as exc:
        problems.add(place, f"{path} {exc}")
        return ()
    for line, text in wrong:
        problems.add_elsewhere(Path(path), line, text)
    return tuple(variables.items())
