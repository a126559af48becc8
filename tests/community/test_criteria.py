"""What has to be done for an achievement, as a table and as properties; no database."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from community.criteria import (
    METRICS,
    SEEDS,
    Progress,
    Run,
    is_earned,
    is_told,
    progress_of,
    run_of,
    share_done,
    weight_way,
)
from store.achievements import Achievement, Standing
from store.day_set import DaySet
from store.records import User
from store.training import TrainingSummary

DAY = 740_000


def wanting(metric: str, threshold: int) -> Achievement:
    return Achievement(id=1, metric=metric, threshold=threshold, name="A", description="B")


@pytest.mark.parametrize(
    ("metric", "threshold", "progress", "share"),
    [
        ("workout_count", 1, Progress(), 0.0),
        ("workout_count", 1, Progress(workout_days=1), 1.0),
        ("workout_count", 250, Progress(workout_days=249), 0.996),
        ("workout_count", 10, Progress(workout_days=11), 1.0),
        ("workout_streak", 7, Progress(workouts=Run(6, 6)), 0.8571),
        ("workout_streak", 7, Progress(workouts=Run(7, 7)), 1.0),
        # Done is done: a run of long ago counts, whatever goes on now.
        ("workout_streak", 7, Progress(workouts=Run(7, 0)), 1.0),
        # What is on its way is shown by the run that goes on.
        ("workout_streak", 14, Progress(workouts=Run(12, 2)), 0.1429),
        ("nutrition_streak", 7, Progress(workouts=Run(9, 9), nutrition=Run(2, 1)), 0.1429),
        ("weight_streak", 30, Progress(weights=Run(30, 3)), 1.0),
        ("weight_milestone", 25, Progress(weight_way=24.9), 0.996),
        ("weight_milestone", 25, Progress(weight_way=25), 1.0),
        ("weight_milestone", 100, Progress(weight_way=25), 0.25),
        ("first_post", 1, Progress(has_commented=True), 0.0),
        ("first_post", 1, Progress(has_posted=True), 1.0),
        ("first_comment", 1, Progress(has_posted=True), 0.0),
        ("first_comment", 1, Progress(has_commented=True), 1.0),
        ("of_a_newer_instance", 1, Progress(workout_days=9, has_posted=True), 0.0),
    ],
)
def test_share_of_an_achievement(metric: str, threshold: int, progress: Progress, share: float) -> None:
    achievement = wanting(metric, threshold)
    assert share_done(achievement, progress) == share
    assert is_earned(achievement, progress) == (share == 1)


@pytest.mark.parametrize(
    ("first", "latest", "goal", "way"),
    [
        (80.0, 80.0, 70.0, 0),
        (80.0, 77.5, 70.0, 25),
        (80.0, 75.0, 70.0, 50),
        (80.0, 70.0, 70.0, 100),
        (80.0, 65.0, 70.0, 100),
        (80.0, 85.0, 70.0, 0),
        # To gain weight is a way, too.
        (60.0, 62.5, 70.0, 25),
        (60.0, 71.0, 70.0, 100),
        (60.0, 59.0, 70.0, 0),
        # Decimals that are no binary fractions.
        (80.1, 77.6, 70.1, 25),
        (90.3, 85.2, 80.1, 50),
        (70.0, 70.0, 70.0, 0),
        (70.0, 60.0, 70.0, 0),
        (None, None, 70.0, 0),
        (80.0, 70.0, None, 0),
    ],
)
def test_way_to_the_goal_weight(
    first: float | None, latest: float | None, goal: float | None, way: float
) -> None:
    assert weight_way(first, latest, goal) == way


@given(st.floats(20, 500), st.floats(20, 500), st.floats(20, 500))
def test_way_is_a_part_of_the_whole(first: float, latest: float, goal: float) -> None:
    assert 0 <= weight_way(first, latest, goal) <= 100


@given(st.sets(st.integers(DAY - 40, DAY), max_size=40), st.integers(DAY - 40, DAY))
def test_adding_a_day_never_shortens_a_run(days: set[int], late: int) -> None:
    before, after = (run_of(DaySet.of(each), DAY) for each in (days, days | {late}))
    assert after.longest >= before.longest >= before.current
    assert after.current >= before.current
    assert after.longest == max((len_ending(days | {late}, day) for day in days | {late}), default=0)


def len_ending(days: set[int], day: int) -> int:
    return 0 if day not in days else 1 + len_ending(days, day - 1)


def test_late_log_closes_the_gap_of_a_run() -> None:
    days = DaySet.of(set(range(DAY - 20, DAY - 13)) - {DAY - 17})
    assert run_of(days, DAY) == Run(3, 0)
    assert run_of(days.changed(DAY - 17, present=True), DAY) == Run(7, 0)


def test_run_goes_on_while_today_is_not_over() -> None:
    days = DaySet.of(range(DAY - 4, DAY))
    assert run_of(days, DAY) == Run(4, 4)
    assert run_of(days, DAY + 1) == Run(4, 0)


def test_progress_is_read_where_the_person_lives() -> None:
    days = DaySet.of(range(date(2026, 11, 15).toordinal(), date(2026, 11, 21).toordinal()))
    person = {"_id": 1, "role": "TRAINEE", "goal_weight_kg": 70.0, "has_posted": True}
    training = TrainingSummary(workouts=days, weights=days, first_weight_kg=80.0, latest_weight_kg=75.0)
    noon = datetime(2026, 11, 21, 11, 0, tzinfo=UTC)
    for zone, current in (("UTC", 6), ("Pacific/Kiritimati", 0), ("Pacific/Pago_Pago", 6)):
        standing = Standing(user=User.of({**person, "timezone": zone}), training=training, due=None)
        assert progress_of(standing, noon) == Progress(
            workout_days=6, workouts=Run(6, current), weights=Run(6, current), weight_way=50, has_posted=True
        )


def test_seeds_are_those_of_the_contract_and_within_their_bounds() -> None:
    wanted: dict[str, list[int]] = {}
    for seed in SEEDS:
        wanted.setdefault(seed.metric, []).append(seed.threshold)
        assert 1 <= seed.threshold <= METRICS[seed.metric].most
    assert wanted == {
        "workout_count": [1, 10, 25, 50, 100, 250],
        "workout_streak": [3, 7, 14, 30, 100],
        "nutrition_streak": [7, 30],
        "weight_streak": [7, 30],
        "weight_milestone": [25, 50, 100],
        "first_post": [1],
        "first_comment": [1],
    }
    assert len({seed.id for seed in SEEDS}) == len({seed.name for seed in SEEDS}) == len(SEEDS)


def test_only_workouts_are_told_of() -> None:
    assert {seed.metric for seed in SEEDS if is_told(seed)} == {"workout_count", "workout_streak"}
    assert not is_told(wanting("of_a_newer_instance", 1))
