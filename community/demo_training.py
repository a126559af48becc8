"""What the people of the demo log: a pure function of their group's plan, and how it is put into the database.

What they write in the feed is planned in ``community.demo_plan``.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import orjson

from community.achievements import check
from community.actor import Actor
from community.demo_plan import DAYS, QUIET, SEED, GroupPlan, Person
from community.training import put_log
from config.deps import Deps
from store.records import User

# How many days in a row the first of each group have trained up to today: a tie at the second place, and at the fifth.
# The fourteenth day is an achievement, which the feed tells.
STREAKS = (14, 9, 9, 6, 4, 4, 2, 0)
# How often they trained before.
HABIT = 0.5
# Whose workout of today shows in the feed. More would leave little room for what people say.
NEWS = 2
EXERCISES = ("Back squat", "Deadlift", "Bench press", "Row", "Split squat", "Overhead press", "Pull-up")
MEALS = ("Porridge and berries", "Lentil curry", "Chicken and rice", "Greek salad", "Salmon with potatoes")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedLog:
    """A day's log, as the store keeps it, and when it was written. ``is_news``: it shows in the feed."""

    at: datetime
    by: Person
    on: date
    fields: Mapping[str, object]
    is_news: bool


def plan_training(group: GroupPlan, names: tuple[str, ...], ends_at: datetime) -> list[PlannedLog]:
    """Give the logs of a group in the order in which they are written; ``names`` tells who is the most active."""
    ends_at -= QUIET
    people = {person.name: person for person in group.trainees}
    found = [
        log
        for rank, (name, streak) in enumerate(zip(names, STREAKS, strict=False))
        for log in _logs(people[name], streak, ends_at, is_news=rank < NEWS)
    ]
    return sorted(found, key=lambda log: (log.at, log.by.id))


def _logs(person: Person, streak: int, ends_at: datetime, *, is_news: bool) -> Iterator[PlannedLog]:
    # No secret comes from here.
    rng = random.Random(f"{SEED} {person.name}")  # noqa: S311
    today = ends_at.astimezone(person.zone).date()
    weight = rng.uniform(58, 92)
    for ago in range(DAYS):
        on = today - timedelta(days=ago)
        hour = rng.uniform(7, 20)
        if ago >= streak and (ago == streak or rng.random() > HABIT):
            continue
        fields: dict[str, object] = {"workout_data": _workout(rng)}
        if ago % 3 == 0:
            fields["nutrition_data"] = _text(
                {"meals": rng.sample(MEALS, 2), "kcal": rng.randrange(1800, 2900, 50)}
            )
        if ago % 7 == 0:
            fields["weight_kg"] = round(weight + ago * 0.04, 1)
        start = datetime.combine(on, time(), person.zone)
        at = min((start + timedelta(hours=hour)).astimezone(ends_at.tzinfo), ends_at)
        if at > person.joined_at:
            yield PlannedLog(at=at, by=person, on=on, fields=fields, is_news=is_news and ago == 0)


def _workout(rng: random.Random) -> str:
    exercises = [
        {"name": name, "sets": rng.randint(3, 5), "reps": rng.randint(5, 12), "kg": rng.randrange(20, 100, 5)}
        for name in sorted(rng.sample(EXERCISES, 3))
    ]
    return _text({"minutes": rng.randrange(30, 75, 5), "exercises": exercises})


def _text(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


async def write_log(deps: Deps, actor: Actor, log: PlannedLog) -> None:
    """Write a planned log, under a clock that stands at its time; a second time changes nothing."""
    if log.is_news:
        await put_log(deps, actor, on=log.on, changes=log.fields)
    else:
        await deps.store.daily_logs.put(actor.id, log.on, log.fields, _nothing)
        await check(deps, actor.id, tells=False)


def _nothing(_user: User) -> None:
    """What the feed says of most workouts."""
