"""Where a process is in its life: serving or draining, how many requests it still owes an answer, whose turn it is.

Who reacts to that (readiness, the server's stop, the handlers) is elsewhere.
"""

import asyncio
from collections import Counter

# Reads that are worked on at once. With 256 at work, one that needs the database had to wait for as many others at
# each of its steps: p99 at 256 connections was 36 times the median, which is what those from memory took.
READS_AT_ONCE = 24
# A turn is a courtesy: should those at work be stuck, for instance without a database, nobody waits behind them.
TURN_SECONDS = 1.0
# Forms with an image that are taken at once, each up to 5 MiB in memory: in all, and of one person.
UPLOADS_AT_ONCE, UPLOADS_OF_USER = 4, 2
# As many may wait, for so long.
UPLOADS_WAITING, UPLOAD_SECONDS = 16, 10.0


class Lifecycle:
    def __init__(self) -> None:
        self.draining = False
        self._uploads = asyncio.Semaphore(UPLOADS_AT_ONCE)
        self._uploaders: Counter[int] = Counter()
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

    async def begin_upload(self, user_id: int) -> bool:
        """Wait for a turn to upload; False where too many wait, it takes too long, or this person has enough."""
        if self._uploaders[user_id] >= UPLOADS_OF_USER:
            return False
        if self._uploaders.total() >= UPLOADS_AT_ONCE + UPLOADS_WAITING:
            return False
        self._uploaders[user_id] += 1
        try:
            async with asyncio.timeout(UPLOAD_SECONDS):
                return await self._uploads.acquire()
        except BaseException as error:
            self._forget_uploader(user_id)
            if isinstance(error, TimeoutError):
                return False
            raise

    def end_upload(self, user_id: int) -> None:
        self._forget_uploader(user_id)
        self._uploads.release()

    def _forget_uploader(self, user_id: int) -> None:
        self._uploaders[user_id] -= 1
        if not self._uploaders[user_id]:
            del self._uploaders[user_id]

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
