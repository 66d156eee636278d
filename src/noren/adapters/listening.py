"""Tells whether the socket that answers for an instance is the instance's own, and if not, what is wrong.

Called by `probes`: a port can be taken by a stranger between choice and bind, and an app that
ignores $PORT would otherwise only look like one that is never ready.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from noren.adapters import proctable
from noren.adapters.members import Members, identity_of
from noren.adapters.sockets import Listener, answering, listeners
from noren.core.model import Instance

_SILENT = "does not answer: the app listens on"  # said of a URL


@dataclass(frozen=True, slots=True)
class Objection:
    """Why an answer does not count: what is seen, and what to try."""

    problem: str
    hint: str = ""


class Listening:
    """Looks at the sockets of the instances of one state directory."""

    def __init__(self, state_dir: Path) -> None:
        self._members = Members(state_dir.absolute())

    def objection(self, instance: Instance, port: int) -> Objection | None:
        """None when every socket that may answer 127.0.0.1 on this port belongs to the instance."""
        everyone = listeners()
        here = answering(port, everyone)
        if here and _main_holds(instance, here):
            return None
        held = [proctable.sockets(member.pid) for member in self._members.of(instance)]
        own = frozenset[int]().union(*(inodes for inodes in held if inodes is not None))
        if not here:
            return _elsewhere(port, [listener for listener in everyone if listener.inode in own])
        strangers = [listener for listener in here if listener.inode not in own]
        return _foreign(strangers[0], hidden=None in held) if strangers else None


def _main_holds(instance: Instance, here: list[Listener]) -> bool:
    """The usual case, told without a look at each process of the host."""
    main = identity_of(instance)
    held = proctable.sockets(main.pid) if main is not None and main.alive() else None
    return held is not None and held.issuperset(listener.inode for listener in here)


def _elsewhere(port: int, own: list[Listener]) -> Objection:
    if not own:
        return Objection(f"{_SILENT} nothing yet", "raise `ready.deadline` if it starts that slowly")
    seen = ", ".join(map(str, own[:5]))
    if any(listener.port == port for listener in own):
        return Objection(f"{_SILENT} {seen} only, not on 127.0.0.1", "bind 127.0.0.1 (0.0.0.0 works too)")
    return Objection(f"{_SILENT} {seen}, but $PORT is {port}", "let the app listen on $PORT, e.g. `--port $PORT`")


def _foreign(stranger: Listener, *, hidden: bool) -> Objection | None:
    owner = _owner(stranger.inode)
    if owner is not None:
        who = f"pid {owner} ({proctable.command(owner)})"
    elif hidden:
        # The instance has a process that we may not look into (other user, setuid): then it is that one.
        return None
    else:
        who = f"a process of user {stranger.uid} that Noren may not look into"
    return Objection(
        f"{stranger} belongs to {who}, not to this instance",
        "end that process, or keep its port out of `ports` in [server]",
    )


def _owner(inode: int) -> int | None:
    return next((row.pid for row in proctable.rows() if inode in (proctable.sockets(row.pid) or ())), None)
