"""Telling only once in five minutes: in Redis where there is one, else in the database, for all instances.

What counts as the same thing is said by the notice. Nothing here waits for long: a request only looks into memory.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from redis.asyncio import Redis
from redis.exceptions import RedisError

from config.clock import Clock

# The contract's.
WINDOW_SECONDS = 300.0
# A healthy Redis answers in 0.2 ms; the database decides where it does not.
ANSWER_SECONDS = 0.25
# After a failure Redis is left alone for so long.
REST_SECONDS = 5.0
PREFIX = "cohort:told:"
# What this process remembers by itself, about 150 bytes each.
REMEMBERED = 10_000

# Of a key, for a notice, for so many seconds: 0 where it is the one, else the seconds until another may be.
TellOnce = Callable[[str, str, float], Awaitable[float]]


class Debounce:
    """Decides which notice of many about one thing is told."""

    def __init__(self, redis_url: str | None, in_database: TellOnce, clock: Clock) -> None:
        """Prepare; nothing connects before the first call."""
        self._in_database = in_database
        self._clock = clock
        self._redis = (
            Redis.from_url(redis_url, decode_responses=True, socket_timeout=None, retry=None)
            if redis_url is not None
            else None
        )
        self._rests_until = 0.0
        self._lately: OrderedDict[str, float] = OrderedDict()

    def lately(self, key: str | None) -> bool:
        """Whether this process knows that the key was told of; it may have been, elsewhere, without."""
        return key is not None and self._lately.get(key, 0.0) > self._clock.monotonic()

    def remember(self, key: str | None, seconds: float = WINDOW_SECONDS) -> None:
        """Know from now on that the key is being told of, for so many seconds."""
        if key is None:
            return
        self._lately[key] = self._clock.monotonic() + seconds
        self._lately.move_to_end(key)
        while len(self._lately) > REMEMBERED:
            self._lately.popitem(last=False)

    def forget(self, key: str | None) -> None:
        """Know it no more: what was to be told of it was not."""
        if key is not None:
            self._lately.pop(key, None)

    async def is_first(self, key: str | None, notice_id: str) -> bool:
        """Whether this notice is the one of its five minutes; it may ask again. Atomic over all instances."""
        if key is None:
            return True
        wait_seconds = await self._shared(key, notice_id)
        if wait_seconds is None:
            wait_seconds = await self._in_database(key, notice_id, WINDOW_SECONDS)
        if wait_seconds:
            self.remember(key, wait_seconds)
        return not wait_seconds

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()

    async def _shared(self, key: str, notice_id: str) -> float | None:
        """Ask Redis; None where there is none, or none that answers in time."""
        if self._redis is None or self._clock.monotonic() < self._rests_until:
            return None
        name = PREFIX + key
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                if await self._redis.set(name, notice_id, nx=True, px=int(WINDOW_SECONDS * 1000)):
                    return 0.0
                if await self._redis.get(name) == notice_id:
                    return 0.0
                return max(0.001, await self._redis.pttl(name) / 1000)
        except (RedisError, OSError):  # a time-out is an OSError
            self._rests_until = self._clock.monotonic() + REST_SECONDS
            return None
