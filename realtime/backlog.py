"""The connections for which bytes wait: how long, how much in all of them, and who is cut when it is too much.
What one of them does with its bytes is connection's; when they are looked at is the sweeper's.
"""

import asyncio
import logging
from collections import deque
from typing import Final

from realtime.close_codes import TOO_SLOW
from realtime.connection import Connection

logger = logging.getLogger(__name__)

# How long the oldest byte may wait for a client to take it: a phone that is slower sees the past, not the feed.
MAX_QUEUED_SECONDS: Final = 10.0

# What may wait for all connections of an instance together: a thousand readers that stall, each with frames of its
# own up to `MAX_QUEUED_BYTES`, would be 1 GiB. Measured with them: 96 to 145 MiB more, for frames of 120 B to 4 KiB.
# Ten thousand may still be 13 KiB behind what their kernels hold.
MAX_TOTAL_BYTES: Final = 128 << 20

# Cutting goes on down to here, so that the next count, half a millisecond for a thousand, is 8 MiB away; a wider gap
# would cut more connections than must go.
ENOUGH_TOTAL_BYTES: Final = MAX_TOTAL_BYTES - (8 << 20)

# Cutting a connection, and what its handler does then, takes 0.3 ms. Readers that stalled together are too old together:
# 500 at once kept the loop from everybody else for 150 ms. So they go by a few, 800 a second.
CUT_AT_ONCE: Final = 20
CUT_EVERY_SECONDS: Final = 0.025


class Backlog:
    """What waits on this instance. Connections without a backlog are unknown here and cost nothing.

    Between two looks only what is added is known; what left the buffers is noticed when they are counted anew.
    """

    def __init__(self) -> None:
        self._connections: set[Connection] = set()
        self._too_old: deque[Connection] = deque()
        self._cutting: asyncio.TimerHandle | None = None
        self._bytes = 0  # What waited at the last count, and what was added since.
        self._cut = 0

    def __len__(self) -> int:
        return len(self._connections)

    def watch(self, connection: Connection) -> None:
        """Bytes wait for `connection`: it is looked at until they are gone."""
        self._connections.add(connection)

    def forget(self, connection: Connection) -> None:
        self._connections.discard(connection)

    def grow(self, size: int) -> None:
        """`size` more wait somewhere. Over the limit they are counted, and those with the most are cut."""
        self._bytes += size
        if self._bytes > MAX_TOTAL_BYTES:
            self._relieve()

    def look(self, now: float) -> None:
        """Cuts those whose oldest byte is too old, forgets those that caught up, and counts what is left.

        Where many are too old, the rest of them is cut soon after. To be called several times a second; `now` is in
        monotonic seconds.
        """
        self._too_old.clear()
        for connection in list(self._connections):
            if connection.oldest_seconds(now) > MAX_QUEUED_SECONDS:
                self._too_old.append(connection)
            elif not connection.backlogged:
                self._connections.discard(connection)
        self._bytes = sum(connection.waiting_bytes for connection in self._connections)
        if self._cutting is None:
            self._cut_some()
        if self._cut:
            logger.warning("%d connections were cut: too much waited for all together", self._cut)
            self._cut = 0

    def _cut_some(self) -> None:
        """Cuts a few of those that are too old, then gives others the loop."""
        for _ in range(min(CUT_AT_ONCE, len(self._too_old))):
            self._abort(self._too_old.popleft())
        loop = asyncio.get_running_loop()
        self._cutting = loop.call_later(CUT_EVERY_SECONDS, self._cut_some) if self._too_old else None

    def _relieve(self) -> None:
        waiting = [(connection.waiting_bytes, connection) for connection in self._connections]
        waiting.sort(key=lambda pair: pair[0])
        self._bytes = sum(size for size, _ in waiting)
        while self._bytes > ENOUGH_TOTAL_BYTES and waiting:
            size, connection = waiting.pop()
            self._abort(connection)
            self._bytes -= size
            self._cut += 1

    def _abort(self, connection: Connection) -> None:
        self._connections.discard(connection)
        connection.abort(TOO_SLOW)
