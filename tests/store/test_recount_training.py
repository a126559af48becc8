"""The proof of the training summaries: it finds what is wrong, mends it, and finds nothing else."""

import secrets
from collections.abc import AsyncIterator
from datetime import date, timedelta

import pytest

from store.recount_training import WrongSummary
from store.store import Store, open_store
from tests.support.clock import FakeClock

DAY = date(2026, 11, 20)


@pytest.fixture
async def store(own_mongo_uri: str, clock: FakeClock) -> AsyncIterator[Store]:
    async with open_store(own_mongo_uri, clock) as opened:
        yield opened
        await opened.database.raw.client.drop_database(opened.database.raw.name)


async def filled(store: Store) -> list[int]:
    people = []
    for number in range(3):
        user = await store.users.add(
            email=f"{secrets.token_hex(6)}@example.org", password_hash="x", first_name="A", last_name="B",
            role="TRAINEE", timezone="UTC", epoch="e1",
        )  # fmt: skip
        for ago in range(number):
            changes = {"workout_data": "{}", "weight_kg": 80.0 + ago} if ago else {"nutrition_data": "{}"}
            await store.daily_logs.put(user.id, DAY - timedelta(ago), changes, lambda _: None)
        people.append(user.id)
    return people


async def wrong(store: Store) -> list[WrongSummary]:
    return [each async for each in store.training_recount.wrong_summaries()]


async def test_recount_finds_nothing_when_all_went_through_the_store(store: Store) -> None:
    await filled(store)
    assert await wrong(store) == []


async def test_recount_finds_and_mends_wrong_summaries(store: Store) -> None:
    idle, eats, trains = await filled(store)
    raw = store.database.raw
    await raw["users"].update_one({"_id": idle}, {"$set": {"training.workouts": b"\x01\x02\x03\x00\x01"}})
    await raw["users"].update_one({"_id": eats}, {"$unset": {"training": ""}})
    await raw["daily_logs"].delete_one({"_id.user_id": trains, "weight_kg": 81.0})
    assert await wrong(store) == [
        WrongSummary(idle, ("workouts",)),
        WrongSummary(eats, ("nutrition",)),
        WrongSummary(trains, ("workouts", "weights", "first_weight_kg", "latest_weight_kg")),
    ]
    for user_id in (idle, eats, trains):
        assert (await store.training_recount.fix(user_id)).fields
        assert not (await store.training_recount.fix(user_id)).fields
    assert await wrong(store) == []
    summary = await store.training.get(trains)
    assert (summary.workout_days, len(summary.nutrition), summary.latest_weight_kg) == (0, 1, None)


async def test_recount_of_nobody_finds_and_mends_nothing(store: Store) -> None:
    assert await wrong(store) == []
    assert not (await store.training_recount.fix(12345)).fields
