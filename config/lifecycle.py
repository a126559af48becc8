"""Where a process is in its life: serving or draining, how many requests it still owes an answer, whose turn it is.

Who reacts to that (readiness, the server's stop, the handlers) is elsewhere.
"""

import asyncio

# Reads that are worked on at once. With 256 at work, one that needs the database had to wait for as many others at
# each of its steps: p99 at 256 connections was 36 times the median, which is what those from memory took.
READS_AT_ONCE = 24
# A turn is a courtesy: should those at work be stuck, for instance without a database, nobody waits behind them.
TURN_SECONDS = 1.0


class Lifecycle:
    def __init__(self) -> None:
        self.draining = False
        self._reads = asyncio.Semaphore(READS_AT_ONCE)
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def request_started(self) -> None:
        self._in_flight += 1
        self._idle.clear()

    def request_finished(self) -> None:
        self._in_flight -= 1
        if self._in_flight == 0:
            self._idle.set()

    async def begin_read(self) -> bool:
        """Wait for a turn, first come first served; False when that took too long, then there is nothing to end."""
        if not self._reads.locked():
            return await self._reads.acquire()
        try:
            async with asyncio.timeout(TURN_SECONDS):
                return await self._reads.acquire()
        except TimeoutError:
            return False

    def end_read(self) -> None:
        self._reads.release()

    async def idle(self, timeout_seconds: float) -> int:
        """Wait until no request is under way, or the time is over; gives how many still are."""
        try:
            async with asyncio.timeout(timeout_seconds):
                # Between the last answer and waking up here, another request may have begun.
                while self._in_flight:
                    await self._idle.wait()
        except TimeoutError:
            pass
        return self._in_flight
