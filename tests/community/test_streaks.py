"""Streaks and windows: what counts as today, and that no training is ever lost."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from community.streaks import current_streak, days_in_window, today_in
from store.day_set import DaySet

TODAY = 740_000
NEAR = st.integers(min_value=TODAY - 50, max_value=TODAY)
# Days ahead of today come from a flight over the date line: two at most.
LIVED = st.sets(st.integers(min_value=TODAY - 50, max_value=TODAY + 2), max_size=40)
WINDOWS = st.sampled_from([7, 30, None])


def ago(*days: int) -> DaySet:
    return DaySet.of(TODAY - each for each in days)


@pytest.mark.parametrize(
    ("days", "streak"),
    [
        pytest.param((), 0, id="nothing logged"),
        pytest.param((0,), 1, id="today"),
        pytest.param((1, 2, 3), 0, id="up to yesterday, not yet today"),
        pytest.param((0, 1, 2, 3), 4, id="four days"),
        pytest.param((3, 0, 2, 1), 4, id="logged in any order"),
        pytest.param((0, 1, 3, 4), 2, id="a day off"),
        pytest.param((0, 2, 3, 4), 1, id="yesterday off"),
        pytest.param((0, 1, 3, 4, 2), 5, id="the day off logged late"),
        pytest.param(range(1000), 1000, id="a thousand days"),
        pytest.param((-1, 0, 1), 3, id="already lived tomorrow further west"),
        pytest.param((-2,), 1, id="lived the day after tomorrow in the far west"),
        pytest.param((-2, 0, 1, 2), 3, id="the longest of those that end today or later"),
    ],
)
def test_streak_is_the_run_that_ends_today(days: Iterable[int], streak: int) -> None:
    assert current_streak(ago(*days), TODAY) == streak


@pytest.mark.parametrize(
    ("days", "window", "count"),
    [
        pytest.param((), 7, 0, id="nothing logged"),
        pytest.param((0, 6, 7), 7, 2, id="seven days with today"),
        pytest.param((29, 30), 30, 1, id="thirty days with today"),
        pytest.param((0, 400), None, 2, id="all time"),
        pytest.param(range(-2, 20), 7, 7, id="a week is never longer than a week"),
        pytest.param((-1, 5, 6), 7, 2, id="the better of two weeks"),
    ],
)
def test_days_are_counted_in_a_window_that_ends_today(
    days: Iterable[int], window: int | None, count: int
) -> None:
    assert days_in_window(ago(*days), TODAY, window) == count


@given(LIVED, NEAR, WINDOWS)
def test_another_workout_never_shortens_anything(days: set[int], more: int, window: int | None) -> None:
    before, after = DaySet.of(days), DaySet.of(days | {more})
    assert current_streak(after, TODAY) >= current_streak(before, TODAY)
    assert days_in_window(after, TODAY, window) >= days_in_window(before, TODAY, window)


@given(st.sets(NEAR, max_size=40), st.integers(min_value=0, max_value=2), WINDOWS)
def test_flight_to_the_west_takes_nothing_away(days: set[int], back: int, window: int | None) -> None:
    lived = DaySet.of(days)
    assert current_streak(lived, TODAY - back) >= current_streak(lived, TODAY)
    assert days_in_window(lived, TODAY - back, window) >= days_in_window(lived, TODAY, window)


@given(LIVED, WINDOWS)
def test_streak_and_count_are_no_more_than_what_was_trained(days: set[int], window: int | None) -> None:
    lived = DaySet.of(days)
    assert current_streak(lived, TODAY) <= len(days)
    assert days_in_window(lived, TODAY, window) <= min(len(days), window or len(days))


@pytest.mark.parametrize(
    ("zone", "at", "today"),
    [
        pytest.param("Pacific/Pago_Pago", "2026-11-21T10:59", "2026-11-20", id="UTC-11, a minute to midnight"),
        pytest.param("Pacific/Pago_Pago", "2026-11-21T11:00", "2026-11-21", id="UTC-11, midnight"),
        pytest.param("Pacific/Kiritimati", "2026-11-21T09:59", "2026-11-21", id="UTC+14, a minute to midnight"),
        pytest.param("Pacific/Kiritimati", "2026-11-21T10:00", "2026-11-22", id="UTC+14, midnight"),
        pytest.param("UTC", "2026-11-21T23:59", "2026-11-21", id="UTC"),
        pytest.param("Asia/Kathmandu", "2026-11-21T18:14", "2026-11-21", id="UTC+5:45, a minute to midnight"),
        pytest.param("Asia/Kathmandu", "2026-11-21T18:15", "2026-11-22", id="UTC+5:45, midnight"),
        pytest.param("Europe/Vienna", "2026-03-28T22:59", "2026-03-28", id="before the clock goes forward"),
        pytest.param("Europe/Vienna", "2026-03-29T21:59", "2026-03-29", id="a day of 23 hours"),
        pytest.param("Europe/Vienna", "2026-03-29T22:00", "2026-03-30", id="after it"),
        pytest.param("Europe/Vienna", "2026-10-25T22:59", "2026-10-25", id="a day of 25 hours"),
        pytest.param("America/Havana", "2026-03-08T04:59", "2026-03-07", id="midnight that there is not: before"),
        pytest.param("America/Havana", "2026-03-08T05:00", "2026-03-08", id="midnight that there is not: after"),
        pytest.param("Pacific/Apia", "2011-12-30T09:59", "2011-12-29", id="before Samoa left a day out"),
        pytest.param("Pacific/Apia", "2011-12-30T10:00", "2011-12-31", id="after it"),
    ],
)  # fmt: skip
def test_today_is_the_date_where_somebody_lives(zone: str, at: str, today: str) -> None:
    assert today_in(zone, datetime.fromisoformat(at).replace(tzinfo=UTC)) == date.fromisoformat(today)


@pytest.mark.parametrize("start", ["2026-03-20", "2026-10-20", "2026-12-25"])
@pytest.mark.parametrize(
    "zone", ["Europe/Vienna", "America/New_York", "Australia/Lord_Howe", "Pacific/Chatham"]
)
def test_training_every_24_hours_is_a_streak_whatever_clocks_do(zone: str, start: str) -> None:
    """At noon by the sun: an hour more or less never leaves a day out."""
    noon = datetime.combine(date.fromisoformat(start), datetime.min.time(), UTC)
    while today_in(zone, noon) == today_in(zone, noon + timedelta(hours=12)):
        noon += timedelta(hours=1)
    trained = [today_in(zone, noon + timedelta(days=n)).toordinal() for n in range(14)]
    assert current_streak(DaySet.of(trained), trained[-1]) == 14


def test_whole_world_has_at_most_three_dates_at_once() -> None:
    """From UTC-11 to UTC+14: the widest jump is two dates, so two days at most can lie ahead of somebody's today."""
    at = datetime(2026, 11, 21, 10, 30, tzinfo=UTC)
    assert today_in("Pacific/Kiritimati", at) - today_in("Pacific/Pago_Pago", at) == timedelta(days=2)
