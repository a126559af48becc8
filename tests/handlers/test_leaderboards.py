"""Leaderboards over HTTP: who is listed, in what order, and what nobody may learn from them."""

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from community.leaderboards import METRICS, PERIODS, ranked
from store.training import Contender
from tests.support.clock import FakeClock
from tests.support.groups import PASSWORD, Groups, Person

BOARD, SETTINGS = "/api/community/leaderboard/", "/api/trainer/leaderboard-settings/"
OPT_IN = "/api/users/profiles/leaderboard-opt-in/"
DAY = timedelta(days=1)


@pytest.fixture
def today(clock: FakeClock) -> date:
    return clock.now().date()


async def board(person: Person, metric: str = "workout_count", period: str = "weekly") -> dict[str, Any]:
    answer = await person.get(f"{BOARD}?metric={metric}&period={period}")
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    assert (found["metric"], found["period"]) == (metric, period)
    return found


async def trained(person: Person, today: date, *ago: int) -> None:
    for each in ago:
        await person.log(today - each * DAY)


def places(found: dict[str, Any]) -> list[tuple[int, str, int]]:
    return [(each["rank"], each["first_name"], each["value"]) for each in found["entries"]]


async def group_of(groups: Groups, *names: str) -> tuple[Person, ...]:
    trainer = await groups.trainer()
    return trainer, *[await groups.trainee(trainer, first_name=name) for name in names]


async def test_board_lists_the_best_first_and_ties_by_name(groups: Groups, today: date) -> None:
    trainer, zoe, ada, ben, cleo, idle = await group_of(groups, "Zoe", "Ada", "ben", "Cleo", "Idle")
    await trained(zoe, today, 0, 1, 3)
    await trained(ada, today, 2, 6, 7)
    await trained(ben, today, 0, 1)
    await trained(cleo, today, 4, 40)
    await idle.log(today, nutrition_data={}, weight_kg=60)
    seen = await board(ben)
    assert places(seen) == [(1, "Zoe", 3), (2, "Ada", 2), (2, "ben", 2), (4, "Cleo", 1)]
    assert seen["enabled"] is True
    assert seen["me"] == seen["entries"][2]
    assert seen["me"]["user_id"] == ben.id
    assert (await board(idle))["me"] is None
    own = await board(trainer)
    assert (own["entries"], own["me"]) == (seen["entries"], None)
    assert places(await board(ben, period="monthly"))[:2] == [(1, "Ada", 3), (1, "Zoe", 3)]


async def test_streak_counts_in_full_length_on_any_board(groups: Groups, today: date) -> None:
    _, long, short, broken = await group_of(groups, "Long", "Short", "Broken")
    await trained(long, today, *range(9))
    await trained(short, today, 0, 1, 3)
    await trained(broken, today, 1, 2, 3)
    for period in ("weekly", "monthly"):
        found = await board(long, "current_streak", period)
        assert places(found) == [(1, "Long", 9), (2, "Short", 2)]
    await long.log(today - DAY, workout_data=None)
    await short.log(today - 2 * DAY)
    assert places(await board(long, "current_streak")) == [(1, "Short", 4), (2, "Long", 1)]


async def test_today_is_each_trainees_own(groups: Groups, clock: FakeClock) -> None:
    at = (clock.now() + DAY).replace(hour=10, minute=30)
    clock.jump(at)
    trainer = await groups.trainer()
    people: dict[str, Person] = {}
    for ahead, zone in ((1, "Pacific/Kiritimati"), (0, "UTC"), (-1, "Pacific/Pago_Pago")):
        people[zone] = await groups.trainee(trainer, first_name=zone, timezone=zone)
        await trained(people[zone], at.date() + ahead * DAY, 0, 1, 6, 7)
    for metric, value in (("workout_count", 3), ("current_streak", 2)):
        assert {each[2] for each in places(await board(trainer, metric))} == {value}
    # Flown over the date line, to where it is the day before yesterday: what was trained is not lost.
    traveller = people["Pacific/Kiritimati"]
    await traveller.patch("/api/auth/users/me/", {"timezone": "Pacific/Pago_Pago"})
    for metric, value in (("workout_count", 3), ("current_streak", 2)):
        found = await board(traveller, metric)
        assert found["me"]["value"] == value


async def test_who_opts_out_is_gone_at_once_and_leaves_no_gap(groups: Groups, today: date) -> None:
    trainer, first, second, third = await group_of(groups, "First", "Second", "Third")
    await trained(first, today, 0, 1, 2)
    await trained(second, today, 0, 1)
    await trained(third, today, 0)
    answer = await second.put(OPT_IN, {"leaderboard_opt_in": False})
    assert (answer.status, answer.json) == (200, {"leaderboard_opt_in": False})
    assert (await second.get("/api/auth/users/me/")).json["leaderboard_opt_in"] is False
    for person in (trainer, first, second):
        assert places(await board(person)) == [(1, "First", 3), (2, "Third", 1)]
    assert (await board(second))["me"] is None
    await second.put(OPT_IN, {"leaderboard_opt_in": True})
    assert places(await board(first)) == [(1, "First", 3), (2, "Second", 2), (3, "Third", 1)]


@pytest.mark.parametrize("body", [{}, {"leaderboard_opt_in": "no"}, {"leaderboard_opt_in": None}, {"leaderboard_opt_in": 0}])  # fmt: skip
async def test_opt_in_is_true_or_false(groups: Groups, body: dict[str, object]) -> None:
    answer = await (await groups.trainee()).put(OPT_IN, body)
    assert answer.status == 400
    assert list(answer.json) == ["leaderboard_opt_in"]


async def test_only_members_of_today_are_listed(groups: Groups, today: date) -> None:
    trainer, stays, leaves, erased = await group_of(groups, "Stays", "Leaves", "Erased")
    other_trainer, stranger = await group_of(groups, "Stranger")
    for person in (stays, leaves, erased, stranger):
        await trained(person, today, 0)
    await trainer.delete(f"/api/trainer/trainees/{leaves.id}/")
    await erased.delete("/api/auth/users/me/", {"current_password": PASSWORD})
    assert places(await board(stays)) == [(1, "Stays", 1)]
    assert places(await board(other_trainer)) == [(1, "Stranger", 1)]
    # Whoever left keeps the log and comes back with it.
    assert len((await leaves.get("/api/workouts/daily-logs/")).json["results"]) == 1


async def test_without_a_group_the_board_is_empty(groups: Groups, today: date) -> None:
    alone = await groups.trainee()
    await alone.log(today)
    found = await board(alone)
    assert (found["enabled"], found["entries"], found["me"]) == (False, [], None)


async def test_disabled_board_is_told_from_an_empty_one(groups: Groups, today: date) -> None:
    trainer, trainee = await group_of(groups, "Ada")
    assert (await board(trainee)) == {
        "metric": "workout_count", "period": "weekly", "enabled": True, "entries": [], "me": None,
    }  # fmt: skip
    await trainee.log(today)
    change = {"metric_type": "workout_count", "time_period": "weekly", "is_enabled": False}
    answer = await trainer.put(SETTINGS, change)
    assert (answer.status, answer.json) == (200, change)
    found = await board(trainee)
    assert (found["enabled"], found["entries"], found["me"]) == (False, [], None)
    assert (await board(trainee, "current_streak"))["enabled"] is True
    await trainer.put(SETTINGS, {**change, "is_enabled": True})
    assert places(await board(trainee)) == [(1, "Ada", 1)]


async def test_all_time_is_off_until_the_trainer_wants_it(groups: Groups, today: date) -> None:
    trainer, trainee = await group_of(groups, "Ada")
    await trained(trainee, today, 0, 200)
    assert (await board(trainee, period="all_time"))["enabled"] is False
    await trainer.put(
        SETTINGS, {"metric_type": "workout_count", "time_period": "all_time", "is_enabled": True}
    )
    assert places(await board(trainee, period="all_time")) == [(1, "Ada", 2)]
    assert (await board(trainee, "current_streak", "all_time"))["enabled"] is False


async def test_settings_are_the_usual_four_and_all_six_when_asked_for(groups: Groups) -> None:
    trainer, other = await groups.trainer(), await groups.trainer()
    usual = [
        {"metric_type": metric, "time_period": period, "is_enabled": True}
        for metric in METRICS
        for period in ("weekly", "monthly")
    ]
    assert (await trainer.get(SETTINGS)).json == usual
    off = [{"metric_type": metric, "time_period": "all_time", "is_enabled": False} for metric in METRICS]
    assert (await trainer.get(f"{SETTINGS}?include=all")).json == usual + off
    await trainer.put(SETTINGS, {**usual[3], "is_enabled": False})
    assert (await trainer.get(SETTINGS)).json == [*usual[:3], {**usual[3], "is_enabled": False}]
    assert (await other.get(SETTINGS)).json == usual
    assert (await trainer.get(f"{SETTINGS}?include=some")).json == {
        "include": ['"some" is not a valid choice.']
    }


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"metric_type": "weight"}, "metric_type"),
        ({"time_period": {"$gt": ""}}, "time_period"),
        ({"time_period": "weekly.x"}, "time_period"),
        ({"is_enabled": "true"}, "is_enabled"),
        ({"trainer": 1}, "trainer"),
    ],
)
async def test_s13_setting_with_a_wrong_field_is_refused_by_name(
    groups: Groups, change: dict[str, object], wrong: str
) -> None:
    trainer = await groups.trainer()
    right = {"metric_type": "workout_count", "time_period": "weekly", "is_enabled": False}
    answer = await trainer.put(SETTINGS, {**right, **change})
    assert answer.status == 400
    assert list(answer.json) == [wrong]


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("", ["metric", "period"]),
        ("metric=workout_count", ["period"]),
        ("period=weekly&metric=weight", ["metric"]),
        ("period=daily&metric=workout_count", ["period"]),
        ("period[$ne]=x&metric=workout_count", ["period"]),
    ],
)
async def test_s13_board_is_asked_for_by_known_words_only(
    groups: Groups, query: str, wrong: list[str]
) -> None:
    trainee = await groups.trainee()
    answer = await trainee.get(f"{BOARD}?{query}")
    assert answer.status == 400
    assert sorted(answer.json) == wrong


async def test_board_that_has_not_changed_is_answered_304(groups: Groups, today: date) -> None:
    _, trainee = await group_of(groups, "Ada")
    path = f"{BOARD}?metric={METRICS[0]}&period={PERIODS[0]}"
    first = await trainee.get(path)
    known = {"If-None-Match": first.headers["ETag"]}
    assert (await trainee.get(path, headers=known)).status == 304
    await trainee.log(today)
    assert (await trainee.get(path, headers=known)).status == 200


def someone(number: int, first_name: str = "A") -> Contender:
    return Contender.of({"_id": number, "first_name": first_name, "last_name": "B"})


def test_names_are_sorted_as_people_sort_them() -> None:
    names = ["Zoë", "ángel", "Bob", "anna", "Ödön", "Otto"]
    entries = ranked((1, someone(number, name)) for number, name in enumerate(names, 1))
    assert [each["first_name"] for each in entries] == ["anna", "ángel", "Bob", "Otto", "Ödön", "Zoë"]


@given(st.lists(st.integers(min_value=1, max_value=6), max_size=30))
def test_rank_is_one_more_than_how_many_are_better(values: list[int]) -> None:
    entries = ranked((value, someone(number)) for number, value in enumerate(values, 1))
    assert [each["value"] for each in entries] == sorted(values, reverse=True)
    for entry in entries:
        assert entry["rank"] == 1 + sum(value > int(str(entry["value"])) for value in values)
