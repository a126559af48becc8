"""What a Redis is like, for operators: its version, how fast it answers, and what it does when its memory is full.

It changes nothing. What Redis is used for is in ``redis_broker``, and where limits are counted.
"""

import statistics
import time
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

# For connecting and for each answer.
ANSWER_SECONDS: Final = 5.0
ROUND_TRIPS: Final = 5


class RedisAway(Exception):
    """It does not answer, or not us; ``str()`` says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisInspection:
    """What was found. Of a cluster it is the node that was asked."""

    # "Redis" or "Valkey", and the version of its own count.
    name: str
    version: str
    # The version of Redis whose commands it knows.
    speaks: str
    round_trip_seconds: float
    used_bytes: int
    # 0: no limit.
    max_bytes: int
    # What it forgets when its memory is full; "noeviction": nothing.
    policy: str


async def inspect(url: str) -> RedisInspection:
    """Look at a Redis. Raises ``RedisAway``."""
    client = Redis.from_url(
        url, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS, protocol=2
    )
    try:
        seconds = [await _ping(client) for _ in range(ROUND_TRIPS)]
        server: dict[str, Any] = await client.info("server")
        memory: dict[str, Any] = await client.info("memory")
    except (RedisError, OSError, TimeoutError) as error:
        raise RedisAway(str(error) or type(error).__name__) from error
    finally:
        await client.aclose()
    speaks = str(server["redis_version"])
    is_valkey = "valkey_version" in server
    return RedisInspection(
        name="Valkey" if is_valkey else "Redis",
        version=str(server["valkey_version"]) if is_valkey else speaks,
        speaks=speaks,
        round_trip_seconds=statistics.median(seconds),
        used_bytes=int(memory["used_memory"]),
        max_bytes=int(memory.get("maxmemory", 0)),
        policy=str(memory.get("maxmemory_policy", "noeviction")),
    )


async def _ping(client: Redis) -> float:
    began = time.perf_counter()
    await client.ping()
    return time.perf_counter() - began
