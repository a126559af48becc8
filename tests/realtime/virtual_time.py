"""A loop in which hours pass in a moment, and a clock that goes by it.

What happens in those hours is its users' business.
"""

import asyncio
import selectors
from datetime import datetime, timedelta

from config.clock import whole_milliseconds
from tests.realtime.fakes import NOON


class Impatient(selectors.DefaultSelector):
    """Does not wait: it moves the loop's clock on by as long as it should have waited."""

    loop: "VirtualTime"

    def select(self, timeout: float | None = None) -> list:
        assert timeout is not None, "nothing will ever happen again"
        self.loop.now += max(0.0, timeout)
        return super().select(0)


class VirtualTime(asyncio.SelectorEventLoop):
    """A loop in which hours pass in a moment. Is a clock for the hub as well."""

    def __init__(self) -> None:
        self.now = 0.0
        selector = Impatient()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now


class LoopClock:
    def __init__(self, loop: VirtualTime) -> None:
        self._loop = loop

    def now(self) -> datetime:
        return whole_milliseconds(NOON + timedelta(seconds=self._loop.now))

    def monotonic(self) -> float:
        return self._loop.now
