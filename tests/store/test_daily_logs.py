"""A day's log, the summary of its person and the entry in the feed: they change together, whatever comes between."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any

import pytest

from store.daily_logs import LogWritten
from store.errors import Gone
from store.records import User
from store.store import Store, open_store
from tests.support.clock import FakeClock

DAY = date(2026, 11, 20)
TRAINED = {"workout_data": "{}"}
WITHDRAWN: dict[str, object] = {"workout_data": None}


@pytest.fixture
async def store(mongo_uri: str, clock: FakeClock) -> AsyncIterator[Store]:
    async with open_store(mongo_uri, clock) as opened:
        yield opened


async def trainee_of_a_group(store: Store) -> User:
    trainer = await person(store, "TRAINER")
    code = secrets.token_hex(8)
    await store.invites.add(trainer_id=trainer.id, code=code, expires_at=None, max_uses=None)
    return await person(store, "TRAINEE", invite_code=code)


async def person(store: Store, role: str, **options: Any) -> User:
    return await store.users.add(
        email=f"{secrets.token_hex(6)}@example.org", password_hash="x", first_name="A", last_name="B", role=role,
        timezone="UTC", epoch="e1", **options,
    )  # fmt: skip


def sentence(user: User) -> str | None:
    return "Trained." if user.auto_post_workouts else None


async def put(store: Store, user: User, changes: dict[str, object], on: date = DAY) -> LogWritten:
    return await store.daily_logs.put(user.id, on, changes, sentence)


async def entries(store: Store, user: User) -> list[int]:
    assert user.community_id is not None
    return [each["_id"] async for each in store.database.raw["posts"].find({"author_id": user.id})]


async def test_log_keeps_what_is_left_out_and_forgets_what_is_null(store: Store) -> None:
    user = await person(store, "TRAINEE")
    first = await put(store, user, {"workout_data": '{"sets":1}', "weight_kg": 80.5})
    assert first.is_new
    second = await put(store, user, {"nutrition_data": "{}", "workout_data": None})
    assert not second.is_new
    log = await store.daily_logs.get(user.id, DAY)
    assert log == second.log
    assert log is not None
    assert (log.workout_data, log.nutrition_data, log.weight_kg) == (None, "{}", 80.5)
    assert await store.daily_logs.get(user.id, DAY + timedelta(1)) is None


async def test_summary_follows_logs_in_any_order(store: Store) -> None:
    user = await person(store, "TRAINEE")
    for ago, weight in ((3, 82.0), (9, 90.0), (5, 84.0), (1, None)):
        await put(store, user, {**TRAINED, "weight_kg": weight}, DAY - timedelta(ago))
    await put(store, user, {"nutrition_data": "{}"}, DAY - timedelta(2))
    summary = await store.training.get(user.id)
    day = DAY.toordinal()
    assert list(summary.workouts) == [day - 9, day - 5, day - 3, day - 1]
    assert list(summary.nutrition) == [day - 2]
    assert list(summary.weights) == [day - 9, day - 5, day - 3]
    assert (summary.workout_days, summary.first_weight_kg, summary.latest_weight_kg) == (4, 90.0, 82.0)

    await put(store, user, {"weight_kg": None}, DAY - timedelta(9))
    await put(store, user, {"weight_kg": 81.0}, DAY - timedelta(3))
    summary = await store.training.get(user.id)
    assert (summary.first_weight_kg, summary.latest_weight_kg) == (84.0, 81.0)
    for ago in (3, 5):
        await put(store, user, {"weight_kg": None, "workout_data": None}, DAY - timedelta(ago))
    summary = await store.training.get(user.id)
    assert (summary.first_weight_kg, summary.latest_weight_kg, len(summary.weights)) == (None, None, 0)
    assert list(summary.workouts) == [day - 9, day - 1]


async def test_summary_of_somebody_unknown_is_empty(store: Store) -> None:
    assert (await store.training.get(1)).workout_days == 0


async def test_workout_makes_one_entry_that_goes_with_it(store: Store) -> None:
    user = await trainee_of_a_group(store)
    written = await put(store, user, TRAINED)
    assert written.post is not None
    assert written.fact is not None
    assert (written.post.post_type, written.post.content) == ("workout_completed", "Trained.")
    again = await put(store, user, {"workout_data": '{"more":1}'})
    assert (again.post, again.fact) == (None, None)
    assert await entries(store, user) == [written.post.id]

    withdrawn = await put(store, user, WITHDRAWN)
    assert withdrawn.post is None
    assert withdrawn.fact is not None
    assert (withdrawn.fact.kind, withdrawn.fact.post_id) == ("post_deleted", written.post.id)
    assert await entries(store, user) == []
    anew = await put(store, user, TRAINED)
    assert anew.post is not None
    assert await entries(store, user) == [anew.post.id]


async def test_entry_that_was_deleted_does_not_come_back(store: Store) -> None:
    user = await trainee_of_a_group(store)
    post = (await put(store, user, TRAINED)).post
    assert post is not None
    await store.posts.delete(post)
    for changes in ({"workout_data": '{"more":1}'}, WITHDRAWN, TRAINED):
        written = await put(store, user, changes)
        assert (written.post, written.fact) == (None, None)
    assert await entries(store, user) == []


async def test_entry_is_not_made_without_a_group_or_against_the_wish(store: Store) -> None:
    alone = await person(store, "TRAINEE")
    assert (await put(store, alone, TRAINED)).post is None
    user = await trainee_of_a_group(store)
    await store.database.raw["users"].update_one({"_id": user.id}, {"$set": {"auto_post_workouts": False}})
    assert (await put(store, user, TRAINED)).fact is None


async def test_entry_goes_from_the_group_that_was_left(store: Store) -> None:
    user = await trainee_of_a_group(store)
    await put(store, user, TRAINED)
    assert user.community_id is not None
    await store.users.leave_group(user.id, user.community_id, [])
    withdrawn = await put(store, user, WITHDRAWN)
    assert withdrawn.fact is not None
    assert withdrawn.fact.community_id == user.community_id
    assert await entries(store, user) == []


async def test_writers_at_once_on_two_instances_leave_one_entry_and_a_true_summary(
    store: Store, mongo_uri: str, clock: FakeClock
) -> None:
    user = await trainee_of_a_group(store)
    async with open_store(mongo_uri, clock) as other:
        for _ in range(5):
            changes: list[dict[str, object]] = [TRAINED, WITHDRAWN, TRAINED, {"weight_kg": 70.0}] * 2
            await asyncio.gather(
                *(put((store, other)[n % 2], user, each) for n, each in enumerate(changes)),
                *(put((store, other)[n % 2], user, TRAINED, DAY - timedelta(n + 1)) for n in range(4)),
            )
            log = await store.daily_logs.get(user.id, DAY)
            assert log is not None
            days = {each - DAY.toordinal() for each in (await store.training.get(user.id)).workouts}
            assert days == {-1, -2, -3, -4} | ({0} if log.workout_data is not None else set())
            shown = await entries(store, user)
            assert len(shown) == 4 + (log.workout_data is not None)
            assert (log.post_id in shown) == (log.workout_data is not None)
    assert [each for each in await store.recount.gaps() if each[0] == user.community_id] == []


async def test_board_shows_everybody_what_they_wrote_before_they_asked(store: Store) -> None:
    first = await trainee_of_a_group(store)
    assert first.community_id is not None
    trainer_id = first.community_id
    code = secrets.token_hex(8)
    await store.invites.add(trainer_id=trainer_id, code=code, expires_at=None, max_uses=None)
    people = [first, *[await person(store, "TRAINEE", invite_code=code) for _ in range(4)]]

    async def train_and_look(user: User) -> None:
        for ago in range(4):
            on = DAY - timedelta(ago)
            await put(store, user, TRAINED, on)
            board = await store.training.board(trainer_id)
            (own,) = [each for each in board.contenders if each.user_id == user.id]
            assert on.toordinal() in own.workouts

    await asyncio.gather(*map(train_and_look, people))


async def test_s44_erasing_a_person_erases_logs_and_summary_whoever_logs_meanwhile(
    store: Store, mongo_uri: str, clock: FakeClock
) -> None:
    async with open_store(mongo_uri, clock) as other:
        for _ in range(5):
            user = await trainee_of_a_group(store)

            async def log(ago: int, user: User = user) -> None:
                try:
                    await put(other, user, TRAINED, DAY - timedelta(ago))
                except Gone:
                    pass  # erased before

            await asyncio.gather(log(0), log(1), store.erasures.begin(user, []), log(2))
            raw = store.database.raw
            assert await raw["daily_logs"].count_documents({"_id.user_id": user.id}) == 0
            person = await raw["users"].find_one({"_id": user.id})
            assert person is not None
            assert "training" not in person
            with pytest.raises(Gone):
                await put(store, user, TRAINED)
