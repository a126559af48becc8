"""The time of day and the passing of time, as one small thing that an operation is given and a test can hold still.

No time zone, calendar or schedule is known here.
"""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol

# BSON dates and the contract's timestamps both end at the millisecond, so a finer time would not survive a write.
MICROSECONDS_IN_A_MILLISECOND = 1_000


def whole_milliseconds(at: datetime) -> datetime:
    """Give the same time without what is finer than a millisecond, as the database would give it back."""
    return at.replace(microsecond=at.microsecond - at.microsecond % MICROSECONDS_IN_A_MILLISECOND)


class Clock(Protocol):
    """Where the rest of the server gets its time from."""

    def now(self) -> datetime:
        """Give the time of day: aware, UTC, whole milliseconds; it may jump when the machine's clock is set."""

    def monotonic(self) -> float:
        """Give seconds that only ever grow; for durations and time-outs, meaningless outside the process."""

    async def sleep(self, seconds: float) -> object:
        """Return when so many seconds have passed."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return whole_milliseconds(datetime.now(UTC))

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
