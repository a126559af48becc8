"""What is counted of a loop's lag, at given times; that the server counts it is shown by its metrics page."""

import pytest

from config.loop_lag import BEAT_SECONDS, LoopLag


@pytest.fixture
def lags() -> list[float]:
    return []


@pytest.fixture
def lag(lags: list[float]) -> LoopLag:
    return LoopLag(lags.append, 100.0)


def test_nothing_is_counted_before_a_beat_is_due(lag: LoopLag, lags: list[float]) -> None:
    assert lag.beat(100.0) == pytest.approx(BEAT_SECONDS)
    assert not lags


def test_lateness_is_counted_and_made_up_for_when_a_beat_comes_late(lag: LoopLag, lags: list[float]) -> None:
    assert lag.beat(100.0 + BEAT_SECONDS + 0.01) == pytest.approx(BEAT_SECONDS - 0.01)
    assert lags == [pytest.approx(0.01)]


def test_every_beat_that_was_due_is_counted_when_the_loop_stalled(lag: LoopLag, lags: list[float]) -> None:
    assert lag.beat(100.0 + 4.5 * BEAT_SECONDS) == pytest.approx(BEAT_SECONDS / 2)
    assert lags == pytest.approx([beats * BEAT_SECONDS for beats in (3.5, 2.5, 1.5, 0.5)])
