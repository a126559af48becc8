"""Achievements over HTTP: what one sees of one's own, what the group is told, and what nobody else ever sees."""

import asyncio
from datetime import date, timedelta
from typing import Any

import pytest

from config.deps import Deps
from tests.support.clock import FakeClock
from tests.support.groups import Groups, Person
from tests.support.sockets import open_feed

ALL = "/api/community/achievements/"
RECENT = f"{ALL}recent/"


@pytest.fixture
def today(clock: FakeClock) -> date:
    return clock.now().date()


async def log(person: Person, on: date, **fields: Any) -> None:
    answer = await person.put(f"/api/workouts/daily-logs/{on}/", fields or {"workout_data": {}})
    assert answer.status in {200, 201}, answer.body


async def achievements(person: Person, path: str = ALL) -> dict[str, dict[str, Any]]:
    """Give one's achievements by name."""
    answer = await person.get(path)
    assert answer.status == 200, answer.body
    return {each["name"]: each for each in answer.json["results"]}


async def earned(person: Person) -> list[str]:
    return [name for name, each in (await achievements(person)).items() if each["earned"]]


async def told(person: Person) -> list[str]:
    """Give what the feed says of achievements, the latest first."""
    return [each["content"] for each in await person.feed() if each["post_type"] == "achievement"]


async def test_newcomer_sees_all_achievements_and_has_none(groups: Groups) -> None:
    person = await groups.trainee()
    shown = await achievements(person)
    assert len(shown) >= 20
    assert {**shown["Full week"], "id": 0} == {
        "id": 0, "name": "Full week", "description": "Train on 7 days in a row.", "criteria_type": "workout_streak",
        "criteria_value": 7, "earned": False, "earned_at": None, "progress": 0.0,
    }  # fmt: skip
    assert (await person.get(RECENT)).json == {"next": None, "previous": None, "results": []}


async def test_first_post_and_comment_are_achievements_that_are_not_told(groups: Groups) -> None:
    trainer, trainee = await groups.group(1)
    post = await trainee.write()
    await trainer.comment(post["id"])
    assert await earned(trainee) == ["First words"]
    assert await earned(trainer) == ["Good company"]
    # Deleting takes nothing back, and a second one brings nothing new.
    await trainee.delete(f"/api/community/feed/{post['id']}/")
    await trainee.write()
    mine = (await achievements(trainee))["First words"]
    assert (mine["earned"], mine["progress"]) == (True, 1.0)
    assert await told(trainer) == []


async def test_workout_achievement_is_told_in_the_feed_and_live_once(
    groups: Groups, today: date, base_url: str
) -> None:
    trainer, trainee = await groups.group(1)
    async with open_feed(base_url, trainer.token) as phone:
        await log(trainee, today)
        await log(trainee, today, workout_data={"sets": 5})
        frames = [await phone.until("new_post") for _ in range(2)]
    assert [each["post"]["post_type"] for each in frames] == ["workout_completed", "achievement"]
    entry = (await trainer.feed())[0]
    assert (entry["content"], entry["author"]["id"]) == ("Earned an achievement: First workout!", trainee.id)
    assert len(await trainer.feed()) == 2


async def test_award_is_kept_when_the_workout_is_withdrawn(groups: Groups, today: date) -> None:
    trainer, trainee = await groups.group(1)
    await log(trainee, today)
    await log(trainee, today, workout_data=None)
    await log(trainee, today)
    assert await earned(trainee) == ["First workout"]
    assert await told(trainer) == ["Earned an achievement: First workout!"]


async def test_late_log_earns_a_streak_of_the_past(groups: Groups, today: date) -> None:
    trainee = await groups.trainee()
    for days_ago in (20, 19, 17):
        await log(trainee, today - timedelta(days_ago))
    shown = (await achievements(trainee))["Three in a row"]
    assert (shown["earned"], shown["progress"]) == (False, 0.0)
    await log(trainee, today - timedelta(18))
    assert await earned(trainee) == ["First workout", "Three in a row"]
    recent = list(await achievements(trainee, RECENT))
    assert recent == ["Three in a row", "First workout"]


async def test_progress_is_that_of_the_run_that_goes_on(groups: Groups, today: date) -> None:
    trainee = await groups.trainee()
    for days_ago in (1, 2, 10, 11, 12, 13):
        await log(trainee, today - timedelta(days_ago))
    shown = await achievements(trainee)
    assert (shown["Three in a row"]["progress"], shown["Full week"]["progress"]) == (1.0, 0.2857)
    assert shown["Warmed up"]["progress"] == 0.6


async def test_entry_is_not_made_against_the_wish(groups: Groups, today: date) -> None:
    trainer, trainee = await groups.group(1)
    await trainee.patch("/api/auth/users/me/", {"auto_post_workouts": False})
    await log(trainee, today)
    assert await earned(trainee) == ["First workout"]
    assert await trainer.feed() == []


async def test_s1_health_achievements_are_seen_by_nobody_else(
    groups: Groups, deps: Deps, today: date
) -> None:
    """Weight and nutrition: in no feed, no frame, no log of events, no answer to anybody but their owner."""
    trainer, trainee, other = await groups.group(2)
    await trainee.patch("/api/auth/users/me/", {"goal_weight_kg": 70})
    for number, weight in enumerate((80.0, 79.0, 77.5, 76.0, 75.0, 72.0, 70.0)):
        await log(trainee, today - timedelta(6 - number), weight_kg=weight, nutrition_data={"kcal": 2000})
    private = ["Mindful week", "Eye on the scale", "Well on the way", "Halfway there", "Goal reached"]
    assert await earned(trainee) == private
    for person in (trainer, other):
        assert await earned(person) == []
        for path in (
            "/api/community/feed/", ALL, RECENT,
            "/api/community/leaderboard/?metric=workout_count&period=weekly", "/api/trainer/trainees/",
        ):  # fmt: skip
            answer = await person.get(path)
            if path != ALL:
                assert not [name for name in private if name in answer.body.decode()], path
    room = await deps.store.events.head(trainer.id)
    assert room is not None
    assert room.seq == 0


async def test_goal_that_is_set_later_is_noticed_when_one_looks(groups: Groups, today: date) -> None:
    trainee = await groups.trainee()
    await log(trainee, today - timedelta(9), weight_kg=60.0)
    await log(trainee, today, weight_kg=63.0)
    assert await earned(trainee) == []
    await trainee.patch("/api/auth/users/me/", {"goal_weight_kg": 66})
    shown = await achievements(trainee)
    assert (shown["Halfway there"]["earned"], shown["Goal reached"]["progress"]) == (True, 0.5)
    await trainee.patch("/api/auth/users/me/", {"goal_weight_kg": 90})
    assert await earned(trainee) == ["Well on the way", "Halfway there"]


async def test_logs_and_looks_at_once_earn_once(groups: Groups, today: date) -> None:
    trainer, trainee = await groups.group(1)
    await asyncio.gather(
        *(log(trainee, today - timedelta(days_ago)) for days_ago in range(3)),
        *(achievements(trainee) for _ in range(3)),
    )
    assert await earned(trainee) == ["First workout", "Three in a row"]
    assert sorted(await told(trainer)) == [
        "Earned an achievement: First workout!", "Earned an achievement: Three in a row!",
    ]  # fmt: skip


async def test_recent_are_the_last_five_with_the_latest_first(
    groups: Groups, today: date, clock: FakeClock
) -> None:
    _, trainee = await groups.group(1)
    post = await trainee.write()
    await trainee.comment(post["id"])
    for days_ago in range(13, -1, -1):
        clock.advance(1)
        await log(trainee, today - timedelta(days_ago))
    recent = (await trainee.get(RECENT)).json["results"]
    assert [each["name"] for each in recent] == [
        "Fortnight", "Warmed up", "Full week", "Three in a row", "First workout",
    ]  # fmt: skip
    times = [each["earned_at"] for each in recent]
    assert times == sorted(times, reverse=True)
    assert all(each["earned"] and each["progress"] == 1 for each in recent)


async def test_polled_reads_answer_304_until_something_is_earned(groups: Groups, today: date) -> None:
    trainee = await groups.trainee()
    for path in (ALL, RECENT):
        tag = {"If-None-Match": (await trainee.get(path)).headers["ETag"]}
        assert (await trainee.get(path, headers=tag)).status == 304
    await log(trainee, today)
    assert (await trainee.get(RECENT, headers=tag)).status == 200
