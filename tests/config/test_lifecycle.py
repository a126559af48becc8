"""Counting what is owed, and waiting for it."""

import asyncio

from config.lifecycle import Lifecycle


async def test_waiting_ends_when_nothing_is_under_way() -> None:
    lifecycle = Lifecycle()
    assert await lifecycle.idle(0) == 0
    lifecycle.request_started()
    waiting = asyncio.create_task(lifecycle.idle(60))
    await asyncio.sleep(0)
    assert not waiting.done()
    lifecycle.request_finished()
    assert await waiting == 0


async def test_waiting_goes_on_when_another_request_began_with_the_last_answer() -> None:
    lifecycle = Lifecycle()
    lifecycle.request_started()
    waiting = asyncio.create_task(lifecycle.idle(60))
    await asyncio.sleep(0)
    lifecycle.request_finished()
    lifecycle.request_started()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    lifecycle.request_finished()
    assert await waiting == 0


async def test_waiting_is_given_up_when_its_time_is_over() -> None:
    lifecycle = Lifecycle()
    lifecycle.request_started()
    lifecycle.request_started()
    assert await lifecycle.idle(0.01) == 2
