"""Where a process is in its life: serving or draining, and how many requests it still owes an answer.

Who reacts to that (readiness, the server's stop) is elsewhere.
"""

import asyncio


class Lifecycle:
    def __init__(self) -> None:
        self.draining = False
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
