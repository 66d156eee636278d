"""What git said when it could not do something, as one of our errors: what happened and what to try.

Used by the Git adapter. Git has few exit codes, so its English words decide (the locale is fixed).
"""

from __future__ import annotations

import re

from noren.adapters.remote import without_password
from noren.core.errors import OutsideError

# The first pattern found decides; "{repo}" is filled in.
_KNOWN: tuple[tuple[str, str, str], ...] = (
    (
        "Host key verification failed",
        "the host key of {repo} is not known",
        "add it to known_hosts_file (ssh-keyscan HOST, compared with what the host publishes)",
    ),
    ("UNPROTECTED PRIVATE KEY|bad permissions", "ssh_key_file for {repo} can be read by others", "chmod 600 the key"),
    (
        "Permission denied \\(|Load key",
        "{repo} does not accept our key",
        "add the public part of ssh_key_file as a deploy key there",
    ),
    (
        "Authentication failed|could not read (Username|Password)|terminal prompts disabled|error: 40[13]",
        "{repo} asks for a user and password and does not accept ours",
        "set token_env to the name of a variable with a token that may read the repository",
    ),
    (
        "[Rr]epository not found|repository '.*' not found|does not appear to be a git repo|error: 404",
        "there is no repository {repo}, or we may not see it",
        "correct repo, or give ssh_key_file or token_env if it is private",
    ),
    ("dubious ownership", "{repo} belongs to another user of this machine", "chown it, or use its ssh:// URL"),
    ("transport '.*' not allowed", "{repo} leads to a protocol that is not allowed", "use https:// or ssh:// URLs"),
    ("No space left|Disk quota exceeded", "the disk is full", "free space on the file system of the state directory"),
    (
        "gnutls_handshake|SSL routines|[Cc]ertificate",
        "{repo} does not speak HTTPS that this machine trusts",
        "check the URL and its port; for an authority of your own, put it among the machine's certificates",
    ),
    ("Could not resolve host", "the host of {repo} has no address", "check repo and the name servers of this machine"),
    (
        "Connection refused|timed out|unreachable|Failed to connect|Connection reset|Operation too slow",
        "{repo} cannot be reached",
        "nothing: it is tried again; if it lasts, check the network",
    ),
)


def refusal(doing: str, repo: str, said: str, token: str | None = None) -> OutsideError:
    """The error for a git that failed at ``doing`` (a phrase like "fetch of REPO"); ``token`` is masked."""
    seen = evidence(said, token)
    for pattern, what, hint in _KNOWN:
        if re.search(pattern, said):
            return OutsideError(f"{doing} failed: {what.format(repo=repo)}", seen=seen, hint=hint)
    return OutsideError(f"{doing} failed", seen=seen, hint="nothing: it is tried again")


def evidence(said: str, token: str | None = None) -> str:
    """The last lines of what git said, without progress, passwords and control characters."""
    said = said.replace(token, "***") if token else said
    lines = [line for line in re.split(r"[\r\n]+", said) if line.strip() and not line.rstrip().endswith("%")]
    return without_password("\n".join(plain(line) for line in lines[-6:]))


def plain(text: str, most: int = 300) -> str:
    """Text of strangers on one line: control characters replaced, cut after ``most`` characters."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)[:most]
