"""How long whatever is ready waits for the event loop, measured by a beat and counted in the metrics.

What makes the loop wait is not known here.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from config.metrics import Metrics

# Twenty beats a second cost 0.02 % of a core, and a stall that a person could notice is hit by several.
BEAT_SECONDS: Final = 0.05


class LoopLag:
    """A beat is due every `BEAT_SECONDS`; what is counted of each is how late it came."""

    def __init__(self, observe: Callable[[float], None], now: float) -> None:
        self._observe = observe
        self._due = now + BEAT_SECONDS

    def beat(self, now: float) -> float:
        """Count the beats that were due by `now`, and give the seconds until the next.

        One for each that a stall held up, as requests that came during it waited too: a stall of a second in a
        minute is a sixtieth of the time, and not one beat of 1,200.
        """
        while self._due <= now:
            self._observe(now - self._due)
            self._due += BEAT_SECONDS
        return self._due - now


async def watch_loop(metrics: Metrics) -> None:
    """Count this loop's lag until cancelled."""
    clock = asyncio.get_running_loop().time
    lag = LoopLag(metrics.loop_lag.observe, clock())
    while True:  # noqa: ASYNC110 - a beat, and no wait for something
        await asyncio.sleep(lag.beat(clock()))
