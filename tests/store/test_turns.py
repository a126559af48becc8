"""How long somebody waits for the database: for each turn, and with a patience for all of them together."""

import asyncio

import pytest

from store import turns
from store.errors import DatabaseAway, Duplicate, StoreUnavailable
from store.turns import Gate, Patience, Queues


@pytest.fixture
def queues() -> Queues:
    return Queues()


async def hold(queues: Queues, key: str, *, seconds: float) -> "asyncio.Task[None]":
    """Have somebody keep a turn for so long; returns when they have it."""
    has_it = asyncio.Event()

    async def keep() -> None:
        async with queues.turn(key):
            has_it.set()
            await asyncio.sleep(seconds)

    task = asyncio.create_task(keep())
    await has_it.wait()
    return task


async def take(queues: Queues, key: str) -> None:
    async with queues.turn(key):
        pass


async def test_turns_come_in_the_order_of_arrival(queues: Queues) -> None:
    came: list[int] = []

    async def come(number: int) -> None:
        async with queues.turn("room"):
            came.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*(come(number) for number in range(10)))
    assert came == list(range(10))


async def test_who_is_patient_waits_for_all_turns_together_no_longer_than_for_one(
    queues: Queues,
) -> None:
    holders = [await hold(queues, "first", seconds=0.1), await hold(queues, "second", seconds=30)]
    patience = Patience()
    await take(queues, "first")
    assert patience.left is not None
    assert patience.left <= turns.TURN_SECONDS - 0.1
    patience.left = 0.01
    with pytest.raises(StoreUnavailable, match="too many wait"):
        await take(queues, "second")
    assert patience.left == 0
    # What nobody holds is had at once all the same.
    await take(queues, "third")
    for each in holders:
        each.cancel()
    await asyncio.gather(*holders, return_exceptions=True)


async def test_what_a_request_leaves_running_waits_for_each_turn_by_itself(
    queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.05)
    holders = [await hold(queues, key, seconds=30) for key in ("first", "second")]
    patience = Patience()
    with pytest.raises(StoreUnavailable):
        await take(queues, "first")
    patience.end()
    monkeypatch.setattr(turns, "TURN_SECONDS", 5)
    left_running = asyncio.create_task(take(queues, "second"))
    await asyncio.sleep(0.05)
    holders[1].cancel()
    await left_running
    holders[0].cancel()
    await asyncio.gather(*holders, return_exceptions=True)


async def pass_through(gate: Gate, *, failing: BaseException | None = None) -> None:
    """Go through the gate, and fail behind it."""
    async with gate:
        if failing is not None:
            raise failing


async def find_nothing(gate: Gate) -> None:
    """Look for the database in vain."""
    with pytest.raises(DatabaseAway):
        await pass_through(gate, failing=DatabaseAway("nobody there"))


async def test_while_the_database_is_away_one_looks_for_it_and_the_others_are_told_at_once() -> None:
    gate = Gate(4)
    await find_nothing(gate)
    async with gate:
        with pytest.raises(StoreUnavailable, match="away"):
            await pass_through(gate)
    # Whoever looked has found it.
    async with gate:
        await pass_through(gate)


async def test_who_waited_while_the_database_went_away_is_told_when_it_is_known() -> None:
    gate = Gate(2)
    looking, gone = asyncio.Event(), asyncio.Event()

    async def look() -> None:
        async with gate:
            looking.set()
            await gone.wait()
            raise DatabaseAway("nobody there")

    looker = asyncio.create_task(look())
    await looking.wait()
    async with gate:
        waiting = [asyncio.create_task(pass_through(gate)) for _ in range(3)]
        await asyncio.sleep(0)
        gone.set()
        said = await asyncio.gather(looker, *waiting, return_exceptions=True)
        assert [type(each) for each in said] == [DatabaseAway, *3 * [StoreUnavailable]]
    await pass_through(gate)


@pytest.mark.parametrize(
    "failing",
    [Duplicate("x"), StoreUnavailable("cut off"), asyncio.CancelledError()],
    ids=["answer", "broken", "gave up"],
)
async def test_only_an_answer_tells_that_the_database_is_there(failing: BaseException) -> None:
    gate = Gate(4)
    await find_nothing(gate)
    with pytest.raises(type(failing)):
        await pass_through(gate, failing=failing)
    is_back = isinstance(failing, Duplicate)
    async with gate:
        if is_back:
            await pass_through(gate)
        else:
            with pytest.raises(StoreUnavailable, match="away"):
                await pass_through(gate)
