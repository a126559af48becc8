"""The counts that all instances share in Redis, behind a circuit breaker: an answer within a quarter of a second, or none.

What is counted, and what decides while there is no answer, is in ``handlers.rate_limits``.
"""

import asyncio
import logging
import math
import random
import time

from limits import RateLimitItem
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from config.clock import Clock
from config.metrics import Metrics

log = logging.getLogger("cohort.rate_limits")

# The longest a request may wait for Redis; a healthy one answers in 0.2 ms.
ANSWER_SECONDS = 0.25
# Connections. Each is busy for 0.2 ms a call, so that these serve some ten thousand calls a second.
CONNECTIONS = 16
# What its keys begin with; nothing else of the server's does.
PREFIX = "cohort:limits"
# After a failure nobody asks for so long, uneven so that instances do not come back together. Then one request is
# the probe: while it waits, the others go on without.
REST_SECONDS, REST_JITTER_SECONDS = 2.0, 2.0


class SharedCounts:
    """Counts requests in Redis by the sliding-window counter of ``limits``, two small keys a caller that expire."""

    def __init__(self, url: str, *, clock: Clock, metrics: Metrics, answer_seconds: float) -> None:
        """Prepare; nothing connects before the first call."""
        self._answer_seconds = answer_seconds
        self._clock = clock
        self._in_use = metrics.rate_limits_shared
        self._in_use.set(1)
        self._rests_until = 0.0
        self._is_down = False
        self._pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            # One time-out around all of it, in `take`; one more for each step would cost a quarter of a call.
            timeout=None,
            socket_timeout=None,
            socket_connect_timeout=None,
            # A second try is the next request's business.
            retry=Retry(NoBackoff(), 0),
        )
        storage = RedisStorage(
            "redis://",  # said by the pool
            implementation="redispy",
            connection_pool=self._pool,  # type: ignore[arg-type]  # as its documentation says
            key_prefix=PREFIX,
        )
        self._limiter = SlidingWindowCounterRateLimiter(storage)

    async def take(self, item: RateLimitItem, who: str, cost: int) -> int | None:
        """Count ``cost`` requests of a caller if they are within the limit.

        Gives 0 when they are, the seconds to wait when they are not (then nothing is counted), and None where Redis
        does not say so in time, or did not lately. Never raises, never takes longer than ``answer_seconds``.
        """
        now = self._clock.monotonic()
        if now < self._rests_until:
            return None
        if self._is_down:
            self._rest(now)  # for everybody else: this request is the probe
        try:
            async with asyncio.timeout(self._answer_seconds):
                wait_seconds = await self._ask(item, who, cost)
        except (RedisError, OSError) as error:
            self._failed(error)
            return None
        if self._is_down:
            self._recovered()
        return wait_seconds

    async def close(self) -> None:
        await self._pool.aclose()

    async def _ask(self, item: RateLimitItem, who: str, cost: int) -> int:
        if await self._limiter.hit(item, who, cost=cost):
            return 0
        stats = await self._limiter.get_window_stats(item, who)
        return min(max(1, math.ceil(stats.reset_time - time.time())), item.get_expiry())

    def _rest(self, now: float) -> None:
        self._rests_until = now + REST_SECONDS + random.uniform(0, REST_JITTER_SECONDS)  # noqa: S311 - no secret

    def _failed(self, error: Exception) -> None:
        self._rest(self._clock.monotonic())
        if not self._is_down:
            self._is_down = True
            self._in_use.set(0)
            log.warning("Redis does not count requests; each instance limits by its own counts: %r", error)

    def _recovered(self) -> None:
        self._is_down = False
        self._rests_until = 0.0
        self._in_use.set(1)
        log.info("Redis counts requests again")
