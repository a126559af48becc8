"""The counts of one process, by table and by property: what is let through, when again, and what is forgotten."""

from hypothesis import given
from hypothesis import strategies as st

from config.values import Rate
from handlers.rate_counts import RateCounts, Standing
from tests.support.clock import FakeClock


def counts_of(count: int, seconds: int = 60, *, clock: FakeClock | None = None, capacity: int = 100):
    """Counts whose clock stands at the beginning of a window."""
    clock = clock or FakeClock()
    clock.advance(seconds - clock.monotonic() % seconds)
    return RateCounts(Rate(count, seconds), clock, capacity=capacity), clock


def test_caller_is_let_through_as_often_as_the_limit_says():
    counts, _ = counts_of(3)
    assert [counts.take("ann") for _ in range(5)] == [
        Standing(True, 2, 60),
        Standing(True, 1, 60),
        Standing(True, 0, 60),
        Standing(False, 0, 61),
        Standing(False, 0, 61),
    ]
    assert counts.take("bob").allowed


def test_window_slides_when_time_passes():
    counts, clock = counts_of(10)
    for _ in range(10):
        assert counts.take("ann").allowed
    clock.advance(60)
    assert counts.take("ann") == Standing(False, 0, 1)
    clock.advance(30)  # half of the old window is out of sight
    assert [counts.take("ann").allowed for _ in range(7)] == [True] * 5 + [False] * 2
    clock.advance(120)
    assert counts.take("ann") == Standing(True, 9, 30)


def test_caller_is_let_through_after_the_seconds_it_was_told():
    for used_first, used_second in [(10, 0), (10, 5), (4, 10), (0, 10)]:
        counts, clock = counts_of(10)
        for _ in range(used_first):
            counts.take("ann")
        clock.advance(75)
        for _ in range(used_second):
            counts.take("ann")
        while (standing := counts.take("ann")).allowed:
            pass
        clock.advance(standing.seconds)
        assert counts.take("ann").allowed


@given(st.lists(st.floats(0, 90), min_size=1, max_size=200), st.integers(1, 12))
def test_caller_gets_no_more_than_the_limit_in_a_window_and_told_waits_are_enough(pauses, limit):
    counts, clock = counts_of(limit)
    let_through: dict[float, int] = {}
    for pause in pauses:
        clock.advance(pause)
        standing = counts.take("ann")
        if standing.allowed:
            window = clock.monotonic() // 60
            let_through[window] = let_through.get(window, 0) + 1
        else:
            assert 1 <= standing.seconds <= 61
    assert all(count <= limit for count in let_through.values())
    # Never more than the limit on average: what a window lets through counts in the next.
    assert sum(let_through.values()) <= limit * (clock.monotonic() // 60 - min(let_through) + 1)
    standing = counts.take("ann")
    if not standing.allowed:
        clock.advance(standing.seconds)
        assert counts.take("ann").allowed


def test_caller_is_refused_for_as_long_as_others_say():
    counts, clock = counts_of(10)
    counts.take("ann")
    counts.refuse("ann", 20, unsent=0)
    assert counts.take("ann") == Standing(False, 0, 21)
    clock.advance(20)
    assert counts.take("ann") == Standing(True, 9, 40), "the refused one is not counted"


def test_requests_are_told_to_the_others_in_blocks():
    counts, clock = counts_of(100)
    told = []
    for _ in range(7):
        counts.take("ann")
        told.append(counts.unsent("ann", from_=3))
    assert told == [0, 0, 3, 0, 0, 3, 0]
    counts.take("ann")
    counts.take("ann")
    assert counts.unsent("ann", from_=3) == 3
    counts.refuse("ann", 1, unsent=2)
    clock.advance(1)
    counts.take("ann")
    assert counts.unsent("ann", from_=3) == 3, "what was refused is told again"
    counts.take("ann")
    clock.advance(60)
    counts.take("ann")
    assert counts.unsent("ann", from_=2) == 0, "what was done in another window is not told late"
    assert counts.unsent("nobody", from_=1) == 0


def test_who_asked_least_lately_is_forgotten_when_there_are_too_many():
    counts, _ = counts_of(1, capacity=3)
    for who in ("ann", "bob", "cy", "ann", "dee", "ann", "eve"):
        counts.take(who)
    assert len(counts) == 3
    assert not counts.take("ann").allowed, "whoever goes on asking stays known"
    assert counts.take("bob").allowed
