"""The system clock's promises, and the fake one's.

No test here waits.
"""

from datetime import UTC, datetime, timedelta

import pytest

from config.clock import SystemClock, whole_milliseconds
from tests.support.clock import FakeClock


def test_now_is_aware_utc_in_whole_milliseconds():
    now = SystemClock().now()

    assert now.utcoffset() == timedelta(0)
    assert now.microsecond % 1_000 == 0
    assert abs(datetime.now(UTC) - now) < timedelta(seconds=5)


def test_monotonic_never_goes_back():
    clock = SystemClock()
    readings = [clock.monotonic() for _ in range(100)]

    assert readings == sorted(readings)


@pytest.mark.parametrize(("microsecond", "kept"), [(0, 0), (999, 0), (1_000, 1_000), (999_999, 999_000)])
def test_whole_milliseconds_cuts_and_never_rounds_up(microsecond, kept):
    at = datetime(2026, 12, 31, 23, 59, 59, microsecond, tzinfo=UTC)

    assert whole_milliseconds(at) == at.replace(microsecond=kept)


async def test_fake_clock_stands_until_it_is_moved():
    clock = FakeClock()
    start, ticks = clock.now(), clock.monotonic()

    assert clock.now() == start
    clock.advance(1.5)
    await clock.sleep(2)

    assert clock.now() - start == timedelta(seconds=3.5)
    assert clock.monotonic() - ticks == 3.5
    assert clock.sleeps == [2]


def test_fake_clock_jump_leaves_monotonic_alone():
    clock = FakeClock()
    ticks = clock.monotonic()
    clock.jump(datetime(2020, 1, 1, tzinfo=UTC))

    assert clock.now() == datetime(2020, 1, 1, tzinfo=UTC)
    assert clock.monotonic() == ticks
    with pytest.raises(ValueError, match="jump"):
        clock.advance(-1)
