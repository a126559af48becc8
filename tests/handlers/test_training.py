"""The training log over HTTP, and the entries that workouts make in the feed."""

import asyncio
from datetime import date, timedelta
from typing import Any

import pytest

from config.deps import Deps
from tests.support.clock import FakeClock
from tests.support.groups import PASSWORD, Groups, Person
from tests.support.sockets import open_feed

LOGS = "/api/workouts/daily-logs/"
EAST, WEST = "Pacific/Kiritimati", "Pacific/Pago_Pago"  # UTC+14, UTC-11


@pytest.fixture
def today(clock: FakeClock) -> date:
    return clock.now().date()


@pytest.fixture
def half_past_ten(clock: FakeClock) -> date:
    """Half past ten of tomorrow, UTC, when the world has three dates; gives the one of UTC."""
    at = (clock.now() + timedelta(days=1)).replace(hour=10, minute=30)
    clock.jump(at)
    return at.date()


async def test_log_is_written_once_a_day(groups: Groups, today: date) -> None:
    trainee = await groups.trainee()
    path = f"{LOGS}{today}/"
    workout = {"b": [1, {"$where": "x"}], "a.b": None, "é": 1.5}
    answer = await trainee.put(path, {"workout_data": workout, "weight_kg": 81.5})
    assert answer.status == 201
    first = answer.json
    assert (first["date"], first["workout_data"], first["nutrition_data"], first["weight_kg"]) == (
        str(today),
        workout,
        None,
        81.5,
    )
    answer = await trainee.put(path, {"nutrition_data": {"kcal": 2500}})
    assert answer.status == 200
    assert answer.json == {
        **first,
        "nutrition_data": {"kcal": 2500},
        "updated_at": answer.json["updated_at"],
    }
    answer = await trainee.put(path.rstrip("/"), {"workout_data": None, "weight_kg": None})
    assert (answer.json["workout_data"], answer.json["weight_kg"]) == (None, None)
    assert (await trainee.get(LOGS)).json["results"] == [answer.json]


async def test_s16_names_of_a_workout_never_become_names_in_the_database(
    groups: Groups, deps: Deps, today: date
) -> None:
    trainee = await groups.trainee()
    hostile = {"$set": {"role": "ADMIN"}, "a.b.c": 1, "": 2, "_id": 3, "\ud7ff": {"$gt": ""}}
    assert (await trainee.log(today, workout_data=hostile))["workout_data"] == hostile
    stored = await deps.store.daily_logs.get(trainee.id, today)
    assert stored is not None
    assert stored.workout_data == '{"":2,"$set":{"role":"ADMIN"},"_id":3,"a.b.c":1,"\ud7ff":{"$gt":""}}'


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"workout_data": []}, "workout_data"),
        ({"workout_data": "{}"}, "workout_data"),
        ({"nutrition_data": 1}, "nutrition_data"),
        ({"weight_kg": 19.9}, "weight_kg"),
        ({"weight_kg": 500.1}, "weight_kg"),
        ({"weight_kg": "nan"}, "weight_kg"),
        ({"weight_kg": {"$gt": 1}}, "weight_kg"),
        ({"weight_kg": True}, "weight_kg"),
        ({"mood": "good"}, "mood"),
    ],
)
async def test_s13_log_with_a_wrong_field_is_refused_by_name(
    groups: Groups, today: date, fields: dict[str, object], wrong: str
) -> None:
    trainee = await groups.trainee()
    answer = await trainee.put(f"{LOGS}{today}/", fields)
    assert answer.status == 400
    assert list(answer.json) == [wrong]
    assert (await trainee.get(LOGS)).json["results"] == []


async def test_s16_object_of_64_kib_is_the_largest(groups: Groups, today: date) -> None:
    trainee = await groups.trainee()
    fits = {"x": "é" * ((65_536 - 8) // 2)}
    assert (await trainee.log(today, workout_data=fits))["workout_data"] == fits
    for name in ("workout_data", "nutrition_data"):
        answer = await trainee.put(f"{LOGS}{today}/", {name: {"x": fits["x"] + "1"}})
        assert answer.status == 400
        assert answer.json == {name: ["Ensure this field has no more than 65536 bytes."]}


@pytest.mark.parametrize(
    "raw",
    [
        b'{"workout_data": {"a": 1e999}}',
        b'{"workout_data": {"a": NaN}}',
        b'{"workout_data": {"a": 9007199254740993}}',
        b'{"workout_data": {"a": 1, "a": 2}}',
        b'{"workout_data": {"a": "\\ud800"}}',
        b'{"workout_data": {"a\\u0000": 1}}',
        b'{"workout_data": {"a": ' + b"[" * 40 + b"]" * 40 + b"}}",
    ],
)
async def test_s14_workout_that_readers_understand_differently_is_refused(
    groups: Groups, today: date, raw: bytes
) -> None:
    trainee = await groups.trainee()
    answer = await trainee.put(f"{LOGS}{today}/", raw=raw)
    assert answer.status == 400
    assert answer.json["code"] == "parse_error"


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-30", "2026-13-01", "20260101", "2026-W01-1", "2026-1-1", "0000-01-01", "1999-12-31", "9999-12-31",
        "%D9%A2%D9%A0%D9%A2%D9%A6-%D9%A0%D9%A1-%D9%A0%D9%A1", "today", "2026-01-01T00:00", "2026-01-01%0A", "%24gt",
    ],
)  # fmt: skip
async def test_s15_log_of_a_day_that_cannot_be_is_refused(groups: Groups, text: str) -> None:
    trainee = await groups.trainee()
    answer = await trainee.put(f"{LOGS}{text}/", {"workout_data": {}})
    assert answer.status == 400
    assert list(answer.json) == ["date"]
    assert (await trainee.put(f"{LOGS}2000-01-01/", {"workout_data": {}})).status == 201


async def test_day_begins_where_the_trainee_lives(groups: Groups, half_past_ten: date) -> None:
    here, day = half_past_ten, timedelta(days=1)
    for zone, today in ((EAST, here + day), ("UTC", here), (WEST, here - day)):
        trainee = await groups.trainee(timezone=zone)
        assert (await trainee.log(today))["date"] == str(today)
        answer = await trainee.put(f"{LOGS}{today + day}/", {"workout_data": {}})
        assert answer.status == 400
        assert answer.json == {"date": [f"Must not be in the future. In your time zone it is {today}."]}


async def test_logs_are_listed_by_day_and_page_by_page(groups: Groups, today: date) -> None:
    trainee, other = await groups.trainee(), await groups.trainee()
    days = [today - timedelta(days=ago) for ago in range(7)]
    for on in (days[3], *days[:3], *days[4:]):
        await trainee.log(on)
    await other.log(today)

    async def walk(path: str, way: str = "next") -> tuple[list[list[str]], dict[str, Any]]:
        pages: list[list[str]] = []
        following: str | None = path
        while following:
            answer = (await trainee.get(following)).json
            pages.append([each["date"] for each in answer["results"]])
            following = answer[way] or None
        return pages, answer

    pages, last = await walk(f"{LOGS}?page_size=3")
    named = [str(on) for on in days]
    assert pages == [named[:3], named[3:6], named[6:]]
    pages, _ = await walk(last["previous"], "previous")
    assert pages == [named[3:6], named[:3]]
    pages, last = await walk(f"{LOGS}?page_size=2&from={days[5]}&to={days[2]}")
    assert pages == [named[2:4], named[4:6]]
    assert f"from={days[5]}&to={days[2]}" in last["previous"]
    assert (await walk(f"{LOGS}?from={today + timedelta(days=1)}"))[0] == [[]]


@pytest.mark.parametrize(
    ("query", "wrong"),
    [("from=x", "from"), ("to=2026-02-30", "to"), ("from=2026-01-02&to=2026-01-01", "to"), ("from[$gt]=&to=", "to")],
)  # fmt: skip
async def test_s15_range_that_cannot_be_is_refused_by_name(groups: Groups, query: str, wrong: str) -> None:
    trainee = await groups.trainee()
    answer = await trainee.get(f"{LOGS}?{query}")
    assert answer.status == 400
    assert list(answer.json) == [wrong]


@pytest.mark.parametrize("cursor", ["bjE", "bmZmZmZmZmY", "cGZmZmZmZg"])
async def test_s19_cursor_of_no_day_leads_to_an_empty_page_or_the_logs_before_it(
    groups: Groups, today: date, cursor: str
) -> None:
    trainee, other = await groups.trainee(), await groups.trainee()
    await other.log(today)
    answer = await trainee.get(f"{LOGS}?cursor={cursor}")
    assert answer.status == 200
    assert answer.json["results"] == []


async def test_page_of_heavy_logs_ends_early_and_loses_none(groups: Groups, today: date) -> None:
    trainee = await groups.trainee()
    heavy = {"x": "y" * 65_000}
    for ago in range(20):
        await trainee.log(today - timedelta(days=ago), workout_data=heavy, nutrition_data=heavy)
    seen: list[str] = []
    following = f"{LOGS}?page_size=50"
    while following:
        answer = await trainee.get(following)
        assert len(answer.body) < 1_100_000
        seen += [each["date"] for each in answer.json["results"]]
        following = answer.json["next"]
    assert seen == [str(today - timedelta(days=ago)) for ago in range(20)]


async def entries(person: Person) -> list[dict[str, Any]]:
    """Give the feed's entries of workouts; a first one is an achievement besides."""
    return [each for each in await person.feed() if each["post_type"] == "workout_completed"]


async def test_workout_appears_in_the_feed_live_and_goes_with_it(
    groups: Groups, base_url: str, today: date
) -> None:
    trainer, trainee = await groups.group(1)
    async with open_feed(base_url, trainer.token) as phone:
        await phone.until("connected")
        await trainee.log(today, workout_data={"exercise": "squat", "kg": 140}, weight_kg=88)
        event = await phone.until("new_post")
        (post,) = await entries(trainee)
        assert event["post"] == post
        assert (post["post_type"], post["content"]) == ("workout_completed", "Completed today's workout!")
        assert post["author"]["id"] == trainee.id
        await trainee.log(today, workout_data={"exercise": "squat", "kg": 145})
        await trainee.log(today, workout_data=None)
        assert (await phone.until("post_deleted"))["post_id"] == post["id"]
    assert await entries(trainee) == []


async def test_late_workout_counts_for_its_day_and_is_news_for_a_week(groups: Groups, today: date) -> None:
    _, trainee = await groups.group(1)
    week_ago = today - timedelta(days=6)
    await trainee.log(week_ago)
    await trainee.log(today - timedelta(days=7))
    assert [each["content"] for each in await entries(trainee)] == [f"Completed {week_ago:%A}'s workout."]


async def test_entry_stays_away_once_it_was_deleted(groups: Groups, today: date) -> None:
    trainer, trainee = await groups.group(1)
    for by in (trainer, trainee):
        today -= timedelta(days=1)
        await trainee.log(today)
        (post,) = await entries(trainee)
        assert (await by.delete(f"/api/community/feed/{post['id']}/")).status == 204
        for workout in ({"more": 1}, None, {}):
            await trainee.log(today, workout_data=workout)
        assert await entries(trainee) == []


async def test_entry_is_made_only_for_who_wants_it(groups: Groups, today: date) -> None:
    _, trainee = await groups.group(1)
    await trainee.patch("/api/auth/users/me/", {"auto_post_workouts": False})
    await trainee.log(today)
    assert await trainee.feed() == []
    await trainee.patch("/api/auth/users/me/", {"auto_post_workouts": True})
    await trainee.log(today, workout_data={"more": 1})
    assert await trainee.feed() == []  # the workout was there before the wish


async def test_workouts_at_once_make_one_entry(groups: Groups, today: date) -> None:
    _, trainee = await groups.group(1)
    answers = await asyncio.gather(
        *(trainee.put(f"{LOGS}{today}/", {"workout_data": {"n": n}}) for n in range(8))
    )
    assert sorted(each.status for each in answers) == [200] * 7 + [201]
    assert len(await entries(trainee)) == 1


async def test_s44_erased_account_leaves_no_logs(groups: Groups, deps: Deps, today: date) -> None:
    _, trainee, other = await groups.group(2)
    for each in (trainee, other):
        await each.log(today, weight_kg=70)
    await trainee.delete("/api/auth/users/me/", {"current_password": PASSWORD})
    assert await deps.store.daily_logs.get(trainee.id, today) is None
    assert await deps.store.daily_logs.get(other.id, today) is not None
    assert (await deps.store.training.get(trainee.id)).latest_weight_kg is None


async def test_s2_logs_are_seen_by_their_owner_only(groups: Groups, today: date) -> None:
    trainer, trainee, other = await groups.group(2)
    await trainee.log(today)

    async def read(person: Person) -> int:
        answer = await person.get(LOGS)
        return len(answer.json["results"]) if answer.status == 200 else answer.status

    assert [await read(each) for each in (trainee, other, trainer)] == [1, 0, 403]
