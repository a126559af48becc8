"""Sets of days: each operation says what a plain set of numbers would."""

from hypothesis import given
from hypothesis import strategies as st

from store.day_set import DaySet

DAYS = st.integers(min_value=730_000, max_value=730_060)
SOME = st.sets(DAYS, max_size=40)


@given(SOME)
def test_set_is_stored_in_one_form_and_read_back(days: set[int]) -> None:
    made = DaySet.of(days)
    assert list(made) == sorted(days)
    assert len(made) == len(days)
    assert (made.earliest, made.latest) == ((min(days), max(days)) if days else (None, None))
    assert DaySet.decode(made.encode()) == made
    assert (made.encode() == b"") == (not days)


@given(SOME, st.lists(st.tuples(DAYS, st.booleans()), max_size=20))
def test_changed_set_equals_one_made_of_the_days_that_are_left(
    days: set[int], changes: list[tuple[int, bool]]
) -> None:
    made = DaySet.of(days)
    for day, present in changes:
        made = made.changed(day, present=present)
        days = days | {day} if present else days - {day}
        assert (day in made) == present
    assert made == DaySet.of(days)


@given(SOME, DAYS, DAYS)
def test_days_are_counted_between_two_days(days: set[int], since: int, until: int) -> None:
    assert DaySet.of(days).count(since, until) == sum(since <= day <= until for day in days)


@given(SOME, DAYS)
def test_run_ends_at_the_day_that_was_asked_for(days: set[int], day: int) -> None:
    expected = 0
    while day - expected in days:
        expected += 1
    assert DaySet.of(days).run_ending(day) == expected


def test_year_of_training_takes_fifty_bytes() -> None:
    assert len(DaySet.of(range(730_000, 730_365)).encode()) == 50


def test_nothing_but_a_day_is_in_a_set() -> None:
    assert "730000" not in DaySet.of([730_000])
    assert 729_999 not in DaySet.of([730_000])
    assert list(DaySet.decode(None)) == []
