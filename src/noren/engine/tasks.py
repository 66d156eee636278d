"""Tasks that belong to something: to the phase of a rollout, to an instance, to an app.

``AppLoop`` spawns here and cancels by owner; a task that ends with an unforeseen error is
reported, never lost, and takes no other app down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, ParamSpec

P = ParamSpec("P")
Work = Coroutine[Any, Any, None]


class Tasks:
    """Named tasks by owner, inside the task group of the engine."""

    def __init__(
        self, group: asyncio.TaskGroup, on_fault: Callable[[str, Exception], Coroutine[Any, Any, None]]
    ) -> None:
        self._group = group
        self._on_fault = on_fault
        self._owned: dict[str, set[asyncio.Task[None]]] = {}

    def spawn(self, owner: str, name: str, work: Callable[P, Work], *args: P.args, **kwargs: P.kwargs) -> None:
        """Run ``work(*args)`` until it ends or its owner's tasks are cancelled."""
        task = self._group.create_task(self._guard(name, partial(work, *args, **kwargs)), name=name)
        owned = self._owned.setdefault(owner, set())
        owned.add(task)
        task.add_done_callback(lambda done: self._forget(owner, done))

    def busy(self, owner: str) -> bool:
        """Whether the owner has anything running."""
        return any(not task.done() for task in self._owned.get(owner, ()))

    def cancel(self, owner: str) -> None:
        """Cancel what the owner has running, except the task that asks."""
        asking = asyncio.current_task()
        for task in self._owned.pop(owner, set()):
            if task is not asking:
                task.cancel()

    def cancel_all(self) -> None:
        """Cancel everything of every owner."""
        for owner in list(self._owned):
            self.cancel(owner)

    def _forget(self, owner: str, task: asyncio.Task[None]) -> None:
        owned = self._owned.get(owner)
        if owned is not None:
            owned.discard(task)
            if not owned:
                del self._owned[owner]

    async def _guard(self, name: str, work: Callable[[], Work]) -> None:
        try:
            await work()
        except Exception as exc:  # noqa: BLE001 - recorded by on_fault: one app's fault must not end the others
            await self._on_fault(name, exc)
