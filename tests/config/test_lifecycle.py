"""Whose turn it is: reads are worked on in the order they came, and nobody waits behind one that is stuck."""

import asyncio

import pytest

from config import lifecycle
from config.lifecycle import READS_AT_ONCE, Lifecycle
from tests.support.groups import Groups


async def test_reads_wait_in_the_order_they_came() -> None:
    life = Lifecycle()
    assert all([await life.begin_read() for _ in range(READS_AT_ONCE)])
    served: list[int] = []

    async def read(number: int) -> None:
        assert await life.begin_read()
        served.append(number)
        life.end_read()

    waiting = [asyncio.create_task(read(number)) for number in range(5)]
    await asyncio.sleep(0)
    assert served == []
    life.end_read()
    await asyncio.gather(*waiting)
    assert served == [0, 1, 2, 3, 4]


async def test_read_goes_on_without_a_turn_when_the_others_are_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "TURN_SECONDS", 0.01)
    life = Lifecycle()
    for _ in range(READS_AT_ONCE):
        await life.begin_read()
    assert not await life.begin_read()
    life.end_read()
    assert await life.begin_read()


async def test_turns_come_back_whatever_the_answer_was(groups: Groups) -> None:
    trainee = await groups.trainee()
    paths = [
        "/api/community/feed/",
        "/api/community/feed/1/",
        "/api/trainer/invites/",
        "/api/community/feed/?cursor=x",
    ]
    asked = [trainee.get(path) for path in paths * READS_AT_ONCE]
    asked += [groups.api.get("/api/community/feed/") for _ in range(READS_AT_ONCE)]
    answers = await asyncio.gather(*asked)
    assert {answer.status for answer in answers} == {200, 404, 403, 401}
    life = groups.deps.lifecycle
    assert all([await life.begin_read() for _ in range(READS_AT_ONCE)])
    assert life._reads.locked()
