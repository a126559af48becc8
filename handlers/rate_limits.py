"""How much a caller may ask: which limit counts for whom, on this instance and on all of them, and what clients hear of it.

Routes say in their declaration which class they belong to. It lives in `handlers/`, since only requests are
limited (scripts and operations are not), and is held by ``Deps``, since all handlers of a process share it.

Every request is counted in the process, which costs 4 µs with its headers and decides a refusal by itself. With
`REDIS_URL` the other instances' requests count too: each write is counted in Redis before it is served (0.24 ms beside
some milliseconds of transaction), reads only in blocks of a tenth of their limit, so that one read in thirty pays for
it and an instance keeps at most that tenth from the others. As the process counts in any case, a Redis that goes away
gives nobody a fresh window; what is lost is only what a caller did on other instances.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from limits import RateLimitItem, RateLimitItemPerSecond

from config.clock import Clock
from config.metrics import Metrics
from config.settings import Settings
from config.values import Rate
from handlers.endpoint import AUTH, CREATES, READS, WRITES
from handlers.errors import TooManyRequests
from handlers.rate_counts import RateCounts, Standing
from handlers.shared_counts import ANSWER_SECONDS, SharedCounts

# The part of their limit that reads make before the other instances are told.
BLOCKS_IN_A_LIMIT = 10
NO_HEADERS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class _Limit:
    """One class of routes: its limit, and who has used how much of it here."""

    name: str
    item: RateLimitItem
    counts: RateCounts
    # Requests of a caller that are told to Redis at once.
    block: int
    policy: str

    def headers(self, standing: Standing) -> Mapping[str, str]:
        """What the caller is told (draft-ietf-httpapi-ratelimit-headers-10); `r` is what this instance knows."""
        return {
            "RateLimit": f'"{self.name}";r={standing.remaining};t={standing.seconds}',
            "RateLimit-Policy": self.policy,
        }


class RateLimits:
    """All limits of one process; a class that is switched off has none."""

    def __init__(
        self, settings: Settings, *, clock: Clock, metrics: Metrics, answer_seconds: float = ANSWER_SECONDS
    ) -> None:
        """``answer_seconds`` is how long a request may wait for Redis at most, for each of its callers."""
        rates = {
            READS: settings.rate_limit_reads,
            WRITES: settings.rate_limit_writes,
            CREATES: settings.rate_limit_creates,
            AUTH: settings.rate_limit_auth,
        }
        self._limits = {name: _limit(name, rate, clock) for name, rate in rates.items() if rate is not None}
        self._refused = metrics.rate_limited
        self._shared: SharedCounts | None = None
        if settings.redis_url is not None and self._limits:
            self._shared = SharedCounts(
                settings.redis_url, clock=clock, metrics=metrics, answer_seconds=answer_seconds
            )

    async def count(self, name: str, *callers: str) -> Mapping[str, str]:
        """Count one request of a class for each of its callers, and give the headers that tell how they stand.

        Raises ``TooManyRequests`` for the first who has no more; those before are counted all the same. Waits for
        Redis at most ``answer_seconds`` a caller.
        """
        limit = self._limits.get(name)
        if limit is None:
            return NO_HEADERS
        standings = [await self._stand(limit, who) for who in callers]
        return limit.headers(min(standings, key=lambda standing: standing.remaining))

    async def close(self) -> None:
        if self._shared is not None:
            await self._shared.close()

    async def _stand(self, limit: _Limit, who: str) -> Standing:
        standing = limit.counts.take(who)
        if standing.allowed and self._shared is not None:
            standing = await self._agreed(self._shared, limit, who, standing)
        if not standing.allowed:
            self._refused[limit.name].inc()
            raise TooManyRequests(standing.seconds, limit.headers(standing))
        return standing

    async def _agreed(self, shared: SharedCounts, limit: _Limit, who: str, standing: Standing) -> Standing:
        """Ask for all instances together. Without an answer, what stands here stands."""
        cost = limit.counts.unsent(who, from_=limit.block)
        wait_seconds = await shared.take(limit.item, who, cost) if cost else 0
        if not wait_seconds:
            return standing
        limit.counts.refuse(who, wait_seconds, unsent=cost - 1)
        return Standing(False, 0, wait_seconds)


def _limit(name: str, rate: Rate, clock: Clock) -> _Limit:
    return _Limit(
        name=name,
        item=RateLimitItemPerSecond(rate.count, rate.seconds, namespace=name),
        counts=RateCounts(rate, clock),
        block=max(1, rate.count // BLOCKS_IN_A_LIMIT) if name == READS else 1,
        policy=f'"{name}";q={rate.count};w={rate.seconds}',
    )
