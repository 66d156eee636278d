"""One repository as an app names it: what its URL may be, and the environment in which git may talk to it.

Used by the Git adapter. Exists so that nothing an app can write into ``repo`` makes git run a
program, read a local file it was not given, or show a token to a host it was not meant for.
"""

from __future__ import annotations

import ipaddress
import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from noren.core.errors import OutsideError
from noren.core.model import Credentials

# user@host:path, the way ssh remotes are mostly written; "::" would name a transport helper.
_SCP = re.compile(r"(?:[\w.-]+@)?[\w][\w.-]*:(?!:)[^-].*", re.ASCII)
# What a company network needs to reach anything at all; everything else of the daemon stays away from git.
_NETWORK = ("http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "no_proxy", "NO_PROXY", "SSL_CERT_FILE")
_ASKPASS = """\
#!/bin/sh
# Answers git's questions for one host; a redirect or a submodule elsewhere learns nothing.
case $1 in
*"//$NOREN_GIT_HOST': " | *"@$NOREN_GIT_HOST': ") ;;
*) exit 1 ;;
esac
case $1 in
Username*) echo x-access-token ;;
*) printf '%s\\n' "$NOREN_GIT_TOKEN" ;;
esac
"""


@dataclass(frozen=True, slots=True)
class Remote:
    """A checked repository: ``url`` as git gets it, ``protocols`` that it may use, ``host`` with port or ""."""

    url: str
    protocols: str
    host: str = ""

    @staticmethod
    def of(repo: str) -> Remote:
        """Check a repository; raises OutsideError for what git must not be given."""
        if repo.startswith("-") or "\0" in repo or not repo.strip():
            raise _refused(repo, "it starts like an option or is empty")
        if _is_local(repo):
            return Remote(str(Path(repo).absolute()), "file:https:ssh")
        if "://" not in repo:
            if not _SCP.fullmatch(repo):
                raise _refused(repo, "it is neither https://, ssh://, user@host:path nor a local path")
            return Remote(repo, "https:ssh")
        return _from_url(repo)

    def environment(self, home: Path, credentials: Credentials) -> dict[str, str]:
        """The whole environment of a git that talks to this repository; ``home`` is git's own.

        Raises OutsideError when a key, hosts file or token that the settings name is not there.
        """
        env = {key: value for key, value in os.environ.items() if key in _NETWORK}
        env |= plain_environment(home) | {"GIT_ALLOW_PROTOCOL": self.protocols}
        env["GIT_SSH_COMMAND"] = _ssh(self.url, credentials)
        if credentials.token_env:
            env |= _token(self, home, credentials.token_env)
        return env


def plain_environment(home: Path) -> dict[str, str]:
    """The environment of a git that talks to nobody: no settings but ours, no questions, English."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "LANGUAGE": "en",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_ALLOW_PROTOCOL": "file",
        "GIT_SSH_VARIANT": "ssh",
        "GIT_ASKPASS": "/bin/false",
    }


def without_password(text: str) -> str:
    """Mask ``user:password@`` of every URL in a text."""
    return re.sub(r"(\w+://[^\s:/@]*):[^\s/@]*@", r"\1:***@", text)


def _is_local(repo: str) -> bool:
    return repo.startswith(("/", "./", "../")) or (":" not in repo)


def _from_url(repo: str) -> Remote:
    try:
        parts = urlsplit(repo)
        host, port = parts.hostname or "", parts.port
    except ValueError as exc:
        raise _refused(repo, str(exc)) from exc
    allowed = {"https", "ssh"} | ({"http"} if _is_loopback(host) else set[str]())
    if parts.scheme not in allowed:
        raise _refused(repo, f"{parts.scheme}:// is not allowed, only https and ssh (http to this machine)")
    if not host or host.startswith("-") or (parts.username or "").startswith("-") or re.search(r"[\s\x00-\x1f]", repo):
        raise _refused(repo, "its host or user is no name")
    if parts.password is not None:
        raise _refused(repo, "it holds a password, which every process list would show")
    shown = f"[{host}]" if ":" in host else host
    return Remote(repo, ":".join(sorted(allowed)), shown + (f":{port}" if port else ""))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refused(repo: str, why: str) -> OutsideError:
    return OutsideError(
        f"repository {without_password(repo)!r} is refused: {why}",
        hint="repo = an https:// or ssh:// URL or a local path; tokens go into token_env",
    )


def _ssh(url: str, credentials: Credentials) -> str:
    words = ["ssh", "-F", os.devnull, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]
    words += ["-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=15", "-o", "ForwardAgent=no"]
    if key := credentials.ssh_key_file:
        _must_exist(url, "ssh_key_file", key)
        words += ["-o", "IdentitiesOnly=yes", "-i", key.replace("%", "%%")]
    if known := credentials.known_hosts_file:
        _must_exist(url, "known_hosts_file", known)
        words += ["-o", f'UserKnownHostsFile="{known.replace("%", "%%")}"', "-o", "GlobalKnownHostsFile=/dev/null"]
    return shlex.join(words)


def _must_exist(url: str, setting: str, path: str) -> None:
    if not Path(path).is_file():
        raise OutsideError(
            f"{setting} for repository {url} is missing",
            seen=f"no file {path}",
            hint=f"put the file there or correct {setting}",
        )


def _token(remote: Remote, home: Path, name: str) -> dict[str, str]:
    token = os.environ.get(name)
    if not token:
        raise OutsideError(
            f"no token for repository {remote.url}",
            seen=f"token_env = {name!r}, but Noren runs without such a variable",
            hint=f"start Noren with {name} set, or correct token_env",
        )
    return {"GIT_ASKPASS": str(home / "askpass"), "NOREN_GIT_TOKEN": token, "NOREN_GIT_HOST": remote.host}


def prepare(home: Path) -> None:
    """Make git's home with the script that hands a token over; the token itself stays in the environment."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    script = home / "askpass"
    script.write_text(_ASKPASS)
    script.chmod(0o700)
