"""A clock that stands still until a test moves it, and a sleep that moves it at once.

No test's own dates live here.
"""

import asyncio
from datetime import UTC, datetime, timedelta

from config.clock import whole_milliseconds


class FakeClock:
    """Stands at one time of day; ``sleeps`` lists every wait that was asked for, in seconds."""

    def __init__(self, at: datetime = datetime(2026, 11, 21, 9, 17, 3, 123_000, tzinfo=UTC)) -> None:
        self.sleeps: list[float] = []
        self._now = at
        self._monotonic = 1_000.0

    def now(self) -> datetime:
        return whole_milliseconds(self._now)

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Move both the time of day and the monotonic seconds forward."""
        if seconds < 0:
            raise ValueError("a clock that runs backwards is set with `jump`")
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def jump(self, at: datetime) -> None:
        """Set the time of day, as an operator or NTP does; the monotonic seconds do not notice."""
        self._now = at

    async def sleep(self, seconds: float) -> None:
        """Stand in for ``asyncio.sleep``: the wait is over at once, and the clock shows that it was."""
        self.sleeps.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)
