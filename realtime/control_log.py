"""The control log as one instance follows it: what is new to it, whichever way it came first.
What a control does is the hub's, and how it is kept the store's.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from config.clock import Clock
from realtime.events import Control
from realtime.history import FactSource

# How often the log is asked. With a lost message, this is how long a socket may outlive its right; one small query.
POLL_SECONDS: Final = 1.0

# A control carries its writer's time. Its transaction commits up to 5 s later (the database ends older ones), and
# clocks of servers that keep time differ by less than the rest.
OVERLAP: Final = timedelta(seconds=15)

# How long an id is remembered: longer than the log gives it again.
REMEMBERED_SECONDS: Final = 60.0

# A read of the log takes a millisecond; after this it is taken for lost.
READ_SECONDS: Final = 5.0


class ControlLog:
    """Gives each control once."""

    def __init__(self, source: FactSource, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._heard: dict[
            str, float
        ] = {}  # By id: until when it is remembered, in monotonic seconds, in order.
        self._since = clock.now() - OVERLAP

    def is_news(self, control: Control) -> bool:
        """Whether this control is heard for the first time; one without an id always is."""
        if not control.id:
            return True
        if control.id in self._heard:
            return False
        self._heard[control.id] = self._clock.monotonic() + REMEMBERED_SECONDS
        return True

    async def poll(self, act: Callable[[Control], None]) -> None:
        """Reads what was written since the last poll and has `act` carry out what is new.

        Raises what the log raised; the next poll then reaches back as far.
        """
        asked_at = self._clock.now()
        async with asyncio.timeout(READ_SECONDS):
            controls = await self._source.controls_since(self._since)
        for control in controls:
            if self.is_news(control):
                act(control)
        self._since = asked_at - OVERLAP
        self._forget()

    def _forget(self) -> None:
        now = self._clock.monotonic()
        for known in [known for known, until in self._heard.items() if until < now]:
            del self._heard[known]
