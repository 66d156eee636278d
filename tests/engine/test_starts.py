"""Whose turn it is to start an instance."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from noren.engine.starts import PATIENCE, Starts
from tests.virtual_time import run


async def begun_after(starting: Callable[[Callable[[], None]], Awaitable[None]]) -> float:
    """Seconds after which the next start begins, where one at a time may."""
    starts, clock = Starts(1), asyncio.get_running_loop().time

    async def first() -> None:
        async with starts.turn() as answers:
            await starting(answers)

    began = clock()
    task = asyncio.create_task(first())
    await asyncio.sleep(0)
    async with starts.turn():
        took = clock() - began
    await task
    return took


def test_the_next_start_begins_when_the_one_before_answers_or_is_given_up_or_takes_long() -> None:
    async def answers_at_once(answers: Callable[[], None]) -> None:
        await asyncio.sleep(1)
        answers()
        answers()  # as many times as it likes
        await asyncio.sleep(60)

    async def is_given_up(_: Callable[[], None]) -> None:
        await asyncio.sleep(2)

    async def takes_long(_: Callable[[], None]) -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        assert await begun_after(answers_at_once) == 1
        assert await begun_after(is_given_up) == 2
        assert await begun_after(takes_long) == PATIENCE

    run(main())
