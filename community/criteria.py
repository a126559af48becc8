"""What has to be done for an achievement: pure functions over somebody's progress, and the table of what is seeded.

An achievement is a metric of this module and a threshold. Who is asked about, and what an award brings, is decided
elsewhere.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from community.streaks import current_streak, today_in
from store.achievements import Achievement, Standing
from store.day_set import DaySet


@dataclass(frozen=True, slots=True)
class Run:
    """Days in a row: the longest there ever were, and those that still go on today or went on until yesterday."""

    longest: int = 0
    current: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What somebody has done so far. ``weight_way`` is the part of the way to their goal, in per cent."""

    workout_days: int = 0
    workouts: Run = Run()
    nutrition: Run = Run()
    weights: Run = Run()
    weight_way: float = 0
    has_posted: bool = False
    has_commented: bool = False


@dataclass(frozen=True, slots=True)
class Metric:
    """How an achievement is measured: ``best`` decides whether it is earned, ``now`` how near it seems until then."""

    best: Callable[[Progress], float]
    now: Callable[[Progress], float]
    # The highest threshold that makes sense.
    most: int
    # Whether an award may make an entry in the feed. What people weigh and eat is theirs to tell.
    is_told: bool = False


def _plain(value: Callable[[Progress], float], *, most: int, is_told: bool = False) -> Metric:
    return Metric(best=value, now=value, most=most, is_told=is_told)


def _run(run: Callable[[Progress], Run], *, is_told: bool = False) -> Metric:
    return Metric(
        best=lambda progress: run(progress).longest,
        now=lambda progress: run(progress).current,
        most=MOST_DAYS,
        is_told=is_told,
    )


# A hundred years of days.
MOST_DAYS = 36_500

METRICS: Mapping[str, Metric] = {
    "workout_count": _plain(lambda progress: progress.workout_days, most=MOST_DAYS, is_told=True),
    "workout_streak": _run(lambda progress: progress.workouts, is_told=True),
    "nutrition_streak": _run(lambda progress: progress.nutrition),
    "weight_streak": _run(lambda progress: progress.weights),
    "weight_milestone": _plain(lambda progress: progress.weight_way, most=100),
    "first_post": _plain(lambda progress: progress.has_posted, most=1),
    "first_comment": _plain(lambda progress: progress.has_commented, most=1),
}


def is_earned(achievement: Achievement, progress: Progress) -> bool:
    """Whether that much has been done, however long ago. A metric that only newer instances know is never reached."""
    metric = METRICS.get(achievement.metric)
    return metric is not None and metric.best(progress) >= achievement.threshold


def share_done(achievement: Achievement, progress: Progress) -> float:
    """Give how much of an achievement is done, from 0 to 1 in steps of a ten-thousandth; 1 means earned."""
    if is_earned(achievement, progress):
        return 1.0
    metric = METRICS.get(achievement.metric)
    return 0.0 if metric is None else round(metric.now(progress) / achievement.threshold, 4)


def is_told(achievement: Achievement) -> bool:
    """Whether an award of it may make an entry in the feed."""
    metric = METRICS.get(achievement.metric)
    return metric is not None and metric.is_told


def progress_of(standing: Standing, now: datetime) -> Progress:
    """Give a person's progress at ``now``, an aware time."""
    user, training = standing.user, standing.training
    today = today_in(user.timezone, now).toordinal()
    return Progress(
        workout_days=training.workout_days,
        workouts=run_of(training.workouts, today),
        nutrition=run_of(training.nutrition, today),
        weights=run_of(training.weights, today),
        weight_way=weight_way(training.first_weight_kg, training.latest_weight_kg, user.goal_weight_kg),
        has_posted=user.has_posted,
        has_commented=user.has_commented,
    )


def run_of(days: DaySet, today: int) -> Run:
    """Give the longest run of days in a row, and the one that goes on. Today need not be over to count yesterday's."""
    rest, longest = days.bits, 0
    while rest:
        rest &= rest >> 1
        longest += 1
    return Run(longest, max(current_streak(days, today), days.run_ending(today - 1)))


def weight_way(first_kg: float | None, latest_kg: float | None, goal_kg: float | None) -> float:
    """Give how much of the way from the first weight to the goal is done, in per cent from 0 to 100, up or down.

    0 where one of them is not known, and where the first weight was the goal: then there is no way to go.
    """
    if first_kg is None or latest_kg is None or goal_kg is None or first_kg == goal_kg:
        return 0
    # Kilograms with a decimal place are no binary fractions: 2.5 of 10 may come out below a quarter.
    way = round(100 * (first_kg - latest_kg) / (first_kg - goal_kg), 6)
    return min(100.0, max(0.0, way))


def _seeds() -> tuple[Achievement, ...]:
    rows = (
        (1, "workout_count", 1, "First workout", "Log your first workout."),
        (2, "workout_count", 10, "Warmed up", "Train on 10 days."),
        (3, "workout_count", 25, "In the rhythm", "Train on 25 days."),
        (4, "workout_count", 50, "Half a hundred", "Train on 50 days."),
        (5, "workout_count", 100, "Centurion", "Train on 100 days."),
        (6, "workout_count", 250, "Made of steel", "Train on 250 days."),
        (7, "workout_streak", 3, "Three in a row", "Train on 3 days in a row."),
        (8, "workout_streak", 7, "Full week", "Train on 7 days in a row."),
        (9, "workout_streak", 14, "Fortnight", "Train on 14 days in a row."),
        (10, "workout_streak", 30, "Whole month", "Train on 30 days in a row."),
        (11, "workout_streak", 100, "Hundred days", "Train on 100 days in a row."),
        (12, "nutrition_streak", 7, "Mindful week", "Log what you eat on 7 days in a row."),
        (13, "nutrition_streak", 30, "Mindful month", "Log what you eat on 30 days in a row."),
        (14, "weight_streak", 7, "Eye on the scale", "Log your weight on 7 days in a row."),
        (15, "weight_streak", 30, "Steady hand", "Log your weight on 30 days in a row."),
        (16, "weight_milestone", 25, "Well on the way", "Go a quarter of the way to your goal weight."),
        (17, "weight_milestone", 50, "Halfway there", "Go half of the way to your goal weight."),
        (18, "weight_milestone", 100, "Goal reached", "Reach your goal weight."),
        (19, "first_post", 1, "First words", "Write your first post."),
        (20, "first_comment", 1, "Good company", "Write your first comment."),
    )
    return tuple(
        Achievement(id=id_, metric=metric, threshold=threshold, name=name, description=description)
        for id_, metric, threshold, name, description in rows
    )


# Ids are the rows' own and never given to others: what is in the database under one is never touched again.
SEEDS = _seeds()
