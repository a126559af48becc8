"""Achievements are awarded once and are not lost: races on two instances, crashes in between, seeds, erasure."""

import asyncio
import dataclasses
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, cast

import pytest

from community.accounts import new_epoch
from community.achievements import SEEDS, check, finish_checks, list_achievements, seed
from community.actor import Actor
from community.comments import create_comment
from community.errors import NotFound
from community.posts import create_post
from config.deps import Deps
from config.settings import Settings
from server import open_deps
from store.achievements import Achievements
from store.errors import StoreUnavailable
from store.records import User
from store.store import open_store
from tests.support.clock import FakeClock

TRAINED = {"workout_data": "{}"}


@pytest.fixture
async def other(settings: Settings, clock: FakeClock) -> AsyncIterator[Deps]:
    """Another instance on the same database."""
    async with open_deps(settings, clock=clock) as opened:
        yield opened


async def person(deps: Deps, role: str = "TRAINEE", **options: Any) -> User:
    return await deps.store.users.add(
        email=f"{secrets.token_hex(6)}@example.org", password_hash="x", first_name="A", last_name="B", role=role,
        timezone="UTC", epoch=new_epoch(), **options,
    )  # fmt: skip


async def trainee(deps: Deps) -> User:
    """Somebody new in a new group."""
    trainer = await person(deps, "TRAINER")
    code = secrets.token_hex(8)
    await deps.store.invites.add(trainer_id=trainer.id, code=code, expires_at=None, max_uses=None)
    return await person(deps, invite_code=code)


def acting(user: User) -> Actor:
    return Actor(user=user, session_id="", expires_at=0)


async def train(deps: Deps, user: User, *, days_ago: int = 0) -> None:
    """Log a workout without looking at achievements, as if the process had died right after it."""
    on = deps.clock.now().date() - timedelta(days_ago)
    await deps.store.daily_logs.put(user.id, on, TRAINED, lambda _user: None)


async def earned(deps: Deps, user: User) -> list[int]:
    """Give the ids of what somebody was awarded, in order, straight from the database."""
    rows = deps.store.database.raw["awards"].find({"user_id": user.id}).sort("achievement_id", 1)
    return [row["achievement_id"] async for row in rows]


async def entries(deps: Deps, user: User) -> list[str]:
    rows = deps.store.database.raw["posts"].find({"author_id": user.id, "post_type": "achievement"})
    return sorted([row["content"] async for row in rows])


async def due(deps: Deps, user: User) -> str | None:
    standing = await deps.store.achievements.standing(user.id)
    assert standing is not None
    return standing.due


async def race(instances: list[Deps], *, checks: int) -> None:
    """Let one workout be noticed by so many at once: one award, one entry, one fact, nothing left to look at."""
    deps = instances[0]
    user = await trainee(deps)
    await train(deps, user)
    assert user.community_id is not None
    work = [check(instances[number % len(instances)], user.id) for number in range(checks - 2)]
    lists = [list_achievements(each, acting(user)) for each in instances[:2]]
    await asyncio.gather(*work, *lists)
    assert await earned(deps, user) == [1]
    assert await entries(deps, user) == ["Earned an achievement: First workout!"]
    room = await deps.store.events.head(user.community_id)
    assert room is not None
    assert room.seq == 1
    assert await due(deps, user) is None


async def test_achievement_is_awarded_once_when_fifty_notice_it_at_once(deps: Deps, other: Deps) -> None:
    for _ in range(3):
        await race([deps, other], checks=50)


async def test_award_left_undone_by_a_crash_is_made_later_and_once(deps: Deps, other: Deps) -> None:
    trained, posted, commented = [await trainee(deps) for _ in range(3)]
    for days_ago in range(3):
        await train(deps, trained, days_ago=days_ago)
    assert posted.community_id is not None
    await deps.store.posts.add(
        community_id=posted.community_id,
        author_id=posted.id,
        content="Hi",
        content_format="plain",
        is_first=True,
    )
    assert commented.community_id is not None
    post, _ = await deps.store.posts.add(
        community_id=commented.community_id,
        author_id=commented.community_id,
        content="Hi",
        content_format="plain",
    )
    await deps.store.comments.add(
        community_id=commented.community_id,
        post_id=post.id,
        author_id=commented.id,
        content="Hi",
        is_first=True,
    )
    everybody = {trained.id, posted.id, commented.id}
    assert everybody <= set(await deps.store.achievements.due(limit=1000))
    await asyncio.gather(finish_checks(deps), finish_checks(other))
    assert not everybody & set(await deps.store.achievements.due(limit=1000))
    assert (await earned(deps, trained), await earned(deps, posted), await earned(deps, commented)) == (
        [1, 7], [19], [20],
    )  # fmt: skip
    assert await entries(deps, trained) == [
        "Earned an achievement: First workout!", "Earned an achievement: Three in a row!",
    ]  # fmt: skip


async def test_crash_between_two_awards_leaves_the_second_to_the_next_check(
    deps: Deps, other: Deps, caplog: pytest.LogCaptureFixture
) -> None:
    class Dying(Achievements):
        """Awards one achievement; then the database is gone."""

        left = 1

        async def award(self, *arguments: Any) -> Any:
            if not self.left:
                raise StoreUnavailable("gone")
            self.left -= 1
            return await super().award(*arguments)

    user = await trainee(deps)
    for days_ago in range(3):
        await train(deps, user, days_ago=days_ago)
    store = deps.store
    whole = store.achievements
    store.achievements = Dying(
        store.database,
        events=store.events,
        posts=store.posts,
        notices=store.notices,
        ids=store.ids,
        clock=deps.clock,
    )
    await check(deps, user.id)
    assert "looked at later: gone" in caplog.text
    store.achievements = whole
    assert await earned(deps, user) == [1]
    assert await due(deps, user) is not None
    await check(other, user.id)
    assert await earned(deps, user) == [1, 7]
    assert await due(deps, user) is None


async def test_check_takes_no_mark_of_a_change_it_did_not_see(deps: Deps) -> None:
    user = await trainee(deps)
    await train(deps, user, days_ago=1)
    seen = await due(deps, user)
    assert seen is not None
    await train(deps, user)
    await deps.store.achievements.looked_at(user.id, seen)
    assert await due(deps, user) not in (None, seen)


async def test_first_post_and_comment_cost_a_look_once(deps: Deps) -> None:
    user = await trainee(deps)
    post = await create_post(deps, acting(user), content="Hi", content_format="plain")
    await create_comment(deps, acting(user), post_id=cast("int", post["id"]), content="Hi")
    assert await earned(deps, user) == [19, 20]
    user = await deps.store.users.get(user.id) or user
    assert (user.has_posted, user.has_commented) == (True, True)

    class Untouched:
        """Whoever has written before is not looked at again."""

        def __getattr__(self, name: str) -> Any:
            raise AssertionError(name)

    quiet = dataclasses.replace(deps, store=deps.store)
    whole, quiet.store.achievements = quiet.store.achievements, cast("Any", Untouched())
    await create_post(quiet, acting(user), content="Again", content_format="plain")
    await create_comment(quiet, acting(user), post_id=cast("int", post["id"]), content="Again")
    quiet.store.achievements = whole
    assert await due(deps, user) is None


async def test_award_makes_its_entry_where_the_person_is_by_then(deps: Deps) -> None:
    user = await trainee(deps)
    assert user.community_id is not None
    await train(deps, user)
    await deps.store.users.leave_group(user.id, user.community_id, [])
    await check(deps, user.id)
    assert await earned(deps, user) == [1]
    assert await entries(deps, user) == []

    silent = await trainee(deps)
    await deps.store.database.raw["users"].update_one(
        {"_id": silent.id}, {"$set": {"auto_post_workouts": False}}
    )
    await train(deps, silent)
    await check(deps, silent.id)
    assert await earned(deps, silent) == [1]
    assert await entries(deps, silent) == []


async def test_award_is_kept_when_group_and_wish_change_in_the_middle(deps: Deps, other: Deps) -> None:
    for _ in range(5):
        user = await trainee(deps)
        assert user.community_id is not None
        await train(deps, user)
        await asyncio.gather(
            check(deps, user.id),
            other.store.users.leave_group(user.id, user.community_id, []),
            check(other, user.id),
        )
        assert await earned(deps, user) == [1]
        assert len(await entries(deps, user)) <= 1


async def test_s44_erasing_a_person_erases_awards_whoever_awards_meanwhile(deps: Deps, other: Deps) -> None:
    for _ in range(5):
        user = await trainee(deps)
        await train(deps, user)
        await asyncio.gather(
            check(other, user.id), deps.store.erasures.begin(user, []), list_achievements_or_gone(deps, user)
        )
        raw = deps.store.database.raw
        assert await raw["awards"].count_documents({"user_id": user.id}) == 0
        left = await raw["users"].find_one({"_id": user.id})
        assert left is not None
        assert not {"achievements_due", "achievements_earned", "has_posted", "has_commented"} & set(left)
        await check(deps, user.id)
        assert await earned(deps, user) == []


async def list_achievements_or_gone(deps: Deps, user: User) -> None:
    try:
        await list_achievements(deps, acting(user))
    except NotFound:
        pass  # erased before


async def test_seeds_are_made_once_by_two_instances_and_never_over_an_edit(
    own_mongo_uri: str, clock: FakeClock
) -> None:
    async with open_store(own_mongo_uri, clock) as store, open_store(own_mongo_uri, clock) as second:
        await asyncio.gather(seed(store), seed(second), seed(store), seed(second))
        assert await store.achievements.all() == list(SEEDS)
        changes = {"name": "Off we go", "threshold": 2}
        edited = await store.achievements.update(1, changes)
        added = await store.achievements.add(metric="workout_count", threshold=500, name="A", description="B")
        await asyncio.gather(seed(store), seed(second))
        assert await second.achievements.all() == [edited, *SEEDS[1:], added]
        assert edited == dataclasses.replace(SEEDS[0], name="Off we go", threshold=2)
        await store.database.raw.client.drop_database(store.database.raw.name)
