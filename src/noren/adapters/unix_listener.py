"""A listening unix socket that belongs to the daemon and outlives the server that accepts from it.

Used by caddy.py: connections that wait in the queue survive the death of the server, because the
next one inherits the same queue; after a restart of the daemon it takes a duplicate back from the
server that still runs.
"""

from __future__ import annotations

import ctypes
import os
import socket
from pathlib import Path

from noren.address import reachable
from noren.core.errors import HostError

_PIDFD_GETFD = 438  # the same number on every architecture (asm-generic); Python 3.11 has no wrapper
_BACKLOG = 4096


def bound(path: Path) -> socket.socket:
    """Listen at ``path`` (mode 0600), replacing what lies there in one step; HostError when the host refuses.

    Bound under another name and renamed: a server that closes an inherited listener unlinks the
    name it was bound to, and must not take ``path`` away.
    """
    listener = aside(path)
    try:
        put(path)
    except HostError:
        listener.close()
        raise
    return listener


def aside(path: Path) -> socket.socket:
    """Listen where nobody looks yet, until ``put``; HostError when the host refuses."""
    fresh = _fresh(path)
    fresh.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with reachable(fresh) as address:
            listener.bind(address)
        fresh.chmod(0o600)
        listener.listen(_BACKLOG)
    except OSError as exc:
        listener.close()
        raise _refused(path, exc) from exc
    return listener


def put(path: Path) -> None:
    """What was bound aside is found at ``path`` from now on; HostError when the host refuses."""
    try:
        _fresh(path).rename(path)
    except OSError as exc:
        raise _refused(path, exc) from exc


def settle(path: Path) -> None:
    """What was bound aside by a daemon that was killed before ``put``: in place when it is served, else gone."""
    fresh = _fresh(path)
    try:
        with reachable(fresh) as address, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
            asked.connect(address)
    except OSError:
        fresh.unlink(missing_ok=True)
    else:
        put(path)


def _fresh(path: Path) -> Path:
    return path.with_name(path.name + ".new")


def _refused(path: Path, exc: OSError) -> HostError:
    return HostError(f"Cannot listen on {path}", seen=str(exc), hint="check the owner and mode of the state folder")


def taken_back(pid: int, descriptor: int) -> socket.socket | None:
    """A duplicate of the listener another process holds as ``descriptor``; None where the kernel refuses.

    Needs the right to trace the process (ptrace(2)): Yama's ptrace_scope may forbid it.
    """
    try:
        process = os.pidfd_open(pid)
    except OSError:
        return None
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        duplicate = int(libc.syscall(_PIDFD_GETFD, process, descriptor, 0))
    finally:
        os.close(process)
    return _as_socket(duplicate) if duplicate >= 0 else None


def _as_socket(descriptor: int) -> socket.socket | None:
    try:
        return socket.socket(fileno=descriptor)
    except OSError:
        os.close(descriptor)
        return None
