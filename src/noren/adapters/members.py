"""Which processes belong to an instance, however they detached themselves.

Four signs, since each alone can be lost: the control group (not everywhere writable), the session
that the instance was started in (left by setsid), descent (left by a double fork) and the mark in
the environment (overwritten by programs that change their title). Called by `processes` to end all
of them and by `listening` to tell whose socket answers.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from noren.adapters import proctable
from noren.adapters.cgroup import Cgroups
from noren.adapters.identity import Identity, boot_id
from noren.adapters.proctable import Row
from noren.core.model import Instance


def identity_of(instance: Instance) -> Identity | None:
    """The main process of an instance, None before it was started."""
    if instance.pid is None or instance.start_ticks is None or instance.boot_id is None:
        return None
    return Identity(instance.pid, instance.start_ticks, instance.boot_id)


class Members:
    """The processes of the instances of one state directory.

    The mark is ``NOREN_INSTANCE`` together with ``NOREN_DATA``: two state directories on one host
    may use the same instance ids.
    """

    def __init__(self, state_dir: Path) -> None:
        self._data = state_dir / "data"
        self._groups = Cgroups(state_dir)

    def of(self, instance: Instance, *, session: int | None = None) -> list[Identity]:
        """The living processes of an instance.

        ``session``: trusted to be the instance's although its leader is gone, which is right only
        as long as nobody can have got its number again.
        """
        table = list(proctable.rows())
        main = identity_of(instance)
        if main is not None and main.alive():
            session = main.pid
        own = self._groups.of(instance.id).pids() | {row.pid for row in table if row.session == session}
        own |= {row.pid for row in table if self._marked(row.pid, instance)}
        return _living(table, _with_descendants(table, own))

    def running(self) -> list[Instance]:
        """Every instance of this state directory that has a marked process, as far as the marks tell.

        ``pid`` is the eldest process that leads a session, which is how instances are started;
        ``ordinal`` and ``log`` are not known.
        """
        eldest: dict[str, Row] = {}
        found: dict[str, Instance] = {}
        for row in proctable.rows():
            instance = None if row.dead else self._told_by(row)
            if instance and (instance.id not in found or _rank(row) < _rank(eldest[instance.id])):
                found[instance.id], eldest[instance.id] = instance, row
        return list(found.values())

    def _marked(self, pid: int, instance: Instance) -> bool:
        variables = proctable.environment(pid)
        mark = (variables.get("NOREN_INSTANCE"), variables.get("NOREN_DATA"))
        return mark == (instance.id, str(self._data / instance.app))

    def _told_by(self, row: Row) -> Instance | None:
        variables = proctable.environment(row.pid)
        told = [variables.get(name, "") for name in ("NOREN_INSTANCE", "NOREN_APP", "NOREN_RELEASE", "PORT")]
        instance, app, release, port = told
        if not instance or not release.isdigit() or variables.get("NOREN_DATA") != str(self._data / app):
            return None
        return Instance(
            id=instance,
            app=app,
            release=int(release),
            ordinal=0,
            address=f"127.0.0.1:{port}",
            pid=row.pid,
            start_ticks=row.start_ticks,
            boot_id=boot_id(),
        )


def _rank(row: Row) -> tuple[bool, int]:
    return (row.session != row.pid, row.start_ticks)


def _with_descendants(table: list[Row], own: set[int]) -> set[int]:
    found: set[int] = set()
    while own - found:
        found |= own
        own = {row.pid for row in table if row.parent in found}
    return found - {1, os.getpid()}


def _living(table: list[Row], pids: Iterable[int]) -> list[Identity]:
    wanted = set(pids)
    return [Identity.told_by(row) for row in table if row.pid in wanted and not row.dead]
