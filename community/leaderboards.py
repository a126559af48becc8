"""Leaderboards: who of a group trained most, as the trainer switched it on and as far as each wants to be seen.

They are made when they are asked for, from the days that each person's document carries. Counting days is the business
of ``community.streaks``.
"""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import orjson

from community import present
from community.accounts import update_account
from community.actor import Actor
from community.errors import NotFound
from community.streaks import current_streak, days_in_window, today_in
from config.deps import Deps
from store.day_set import DaySet
from store.training import Board, Contender

WORKOUT_COUNT, CURRENT_STREAK = "workout_count", "current_streak"
METRICS = (WORKOUT_COUNT, CURRENT_STREAK)
WEEKLY, MONTHLY, ALL_TIME = "weekly", "monthly", "all_time"
# How many days each looks back on, today among them.
WINDOWS: Mapping[str, int | None] = {WEEKLY: 7, MONTHLY: 30, ALL_TIME: None}
PERIODS = tuple(WINDOWS)
# The boards that are on until the trainer says otherwise; the others are off.
USUAL = (WEEKLY, MONTHLY)

Switches = Mapping[str, Mapping[str, bool]]


@dataclass(frozen=True, slots=True)
class Listed:
    """A board's entries as JSON, and each by whose it is."""

    entries: orjson.Fragment
    by_person: Mapping[object, present.Json]


NOBODY = Listed(orjson.Fragment(b"[]"), {})


async def get_leaderboard(deps: Deps, actor: Actor, *, metric: str, period: str) -> present.Json:
    """Give one board of the actor's group, and the actor's own place on it.

    It is empty without a group, and where the trainer switched it off, which ``enabled`` tells.
    """
    enabled, listed = False, NOBODY
    if actor.community_id is not None:
        board = await deps.store.training.board(actor.community_id)
        enabled = is_enabled(board.switches, metric, period)
        if enabled:
            listed = _listed(board, metric, period, deps.clock.now())
    return {
        "metric": metric,
        "period": period,
        "enabled": enabled,
        "entries": listed.entries,
        "me": listed.by_person.get(actor.id),
    }


def _listed(board: Board, metric: str, period: str, now: datetime) -> Listed:
    """Rank a group, once for all who share its read."""
    made: Listed | None = board.made.get((metric, period))
    if made is None:
        entries = ranked(scores(board.contenders, metric, period, now))
        by_person = {entry["user_id"]: entry for entry in entries}
        made = board.made[metric, period] = Listed(orjson.Fragment(orjson.dumps(entries)), by_person)
    return made


def is_enabled(switches: Switches, metric: str, period: str) -> bool:
    """Whether a board is on: as its trainer switched it, else as it starts."""
    return switches.get(metric, {}).get(period, period in USUAL)


def score(days: DaySet, today: int, *, metric: str, period: str) -> int:
    """Give what somebody with these workout days reaches. A streak counts in full length in any period."""
    if metric == CURRENT_STREAK:
        return current_streak(days, today)
    return days_in_window(days, today, WINDOWS[period])


def scores(
    contenders: Iterable[Contender], metric: str, period: str, now: datetime
) -> list[tuple[int, Contender]]:
    """Give what each reaches, by the day that it is where they live; nobody with nothing."""
    todays: dict[str, int] = {}
    found: list[tuple[int, Contender]] = []
    for contender in contenders:
        zone = contender.timezone
        today = todays.get(zone)
        if today is None:
            today = todays[zone] = today_in(zone, now).toordinal()
        value = score(contender.workouts, today, metric=metric, period=period)
        if value:
            found.append((value, contender))
    return found


def ranked(found: Iterable[tuple[int, Contender]]) -> list[present.Json]:
    """Give the entries in their order. Equal values share a rank and the next one skips (1, 2, 2, 4).

    Ranks are counted among those who are listed, so that they tell nothing of anybody else.
    """
    entries: list[present.Json] = []
    rank, before = 0, 0
    for place, (value, contender) in enumerate(sorted(found, key=_order), start=1):
        if value != before:
            rank, before = place, value
        entries.append(present.leaderboard_entry(contender, rank=rank, value=value))
    return entries


def _order(each: tuple[int, Contender]) -> tuple[int, str, int]:
    """The highest value first; ties by name as people sort names, then by who was there first."""
    value, contender = each
    name = f"{contender.first_name} {contender.last_name}"
    if not name.isascii():
        name = unicodedata.normalize("NFKD", name)
    return -value, name.casefold(), contender.user_id


async def list_settings(deps: Deps, actor: Actor, *, with_all_time: bool) -> list[present.Json]:
    """Give which boards of the actor's group are on; those of all time only where they are asked for."""
    switches = await deps.store.training.switches(actor.id)
    return [
        _setting(metric, period, is_enabled=is_enabled(switches, metric, period))
        for periods in ((USUAL, (ALL_TIME,)) if with_all_time else (USUAL,))
        for metric in METRICS
        for period in periods
    ]


async def update_setting(
    deps: Deps, actor: Actor, *, metric_type: str, time_period: str, is_enabled: bool
) -> present.Json:
    """Switch one board of the actor's group on or off, at once for everybody, and give it. Raises ``NotFound``."""
    if not await deps.store.training.switch(
        actor.id, metric=metric_type, period=time_period, is_enabled=is_enabled
    ):
        raise NotFound
    return _setting(metric_type, time_period, is_enabled=is_enabled)


def _setting(metric: str, period: str, *, is_enabled: bool) -> present.Json:
    return {"metric_type": metric, "time_period": period, "is_enabled": is_enabled}


async def set_opt_in(deps: Deps, actor: Actor, *, leaderboard_opt_in: bool) -> present.Json:
    """Show or hide oneself on all boards, from this moment on, and give which. Raises ``NotFound``."""
    user = await update_account(deps, actor, changes={"leaderboard_opt_in": leaderboard_opt_in})
    return {"leaderboard_opt_in": user.leaderboard_opt_in}
