"""Once in five minutes, over all instances: with Redis, without it, and while it is away."""

import secrets
from collections.abc import AsyncIterator

import pytest

from config.clock import SystemClock
from config.deps import Deps
from push.debounce import REMEMBERED, WINDOW_SECONDS, Debounce
from tests.support.clock import FakeClock
from tests.support.redis_server import RedisServer


async def never(_key: str, _notice: str, _seconds: float) -> float:
    raise AssertionError("Redis decides")


@pytest.fixture
async def pair(request: pytest.FixtureRequest, deps: Deps, redis_url: str) -> AsyncIterator[list[Debounce]]:
    """Two instances, by Redis or by the database."""
    url, other = (redis_url, never) if request.param == "redis" else (None, deps.store.notices.tell_once)
    found = [Debounce(url, other, deps.clock) for _ in range(2)]
    yield found
    for each in found:
        await each.close()


@pytest.mark.parametrize("pair", ["redis", "database"], indirect=True)
async def test_one_notice_is_first_on_all_instances_and_may_ask_again(pair: list[Debounce]) -> None:
    here, there = pair
    key, other = secrets.token_hex(8), secrets.token_hex(8)
    assert await here.is_first(key, "a")
    assert not await there.is_first(key, "b")
    assert await there.is_first(key, "a")
    assert await there.is_first(other, "b")
    assert await here.is_first(None, "c")
    assert await here.is_first(None, "d")


@pytest.mark.parametrize("pair", ["redis", "database"], indirect=True)
async def test_instance_that_was_second_remembers_how_long(pair: list[Debounce], clock: FakeClock) -> None:
    here, there = pair
    key = secrets.token_hex(8)
    await here.is_first(key, "a")
    assert not there.lately(key)
    await there.is_first(key, "b")
    assert there.lately(key)
    clock.advance(WINDOW_SECONDS + 1)
    assert not there.lately(key)


async def test_next_is_first_after_five_minutes(deps: Deps, clock: FakeClock) -> None:
    debounce = Debounce(None, deps.store.notices.tell_once, clock)
    key = secrets.token_hex(8)
    assert await debounce.is_first(key, "a")
    clock.advance(WINDOW_SECONDS - 1)
    assert not await debounce.is_first(key, "b")
    clock.advance(1)
    assert await debounce.is_first(key, "b")


async def test_key_in_redis_vanishes_after_five_minutes(redis_server: RedisServer) -> None:
    debounce = Debounce(redis_server.uri, never, SystemClock())
    key = secrets.token_hex(8)
    await debounce.is_first(key, "a")
    assert debounce._redis is not None
    left = await debounce._redis.pttl(f"cohort:told:{key}")
    await debounce.close()
    assert 0 < left <= WINDOW_SECONDS * 1000


async def test_database_decides_while_redis_is_away(deps: Deps, redis: RedisServer) -> None:
    debounce = Debounce(redis.uri, deps.store.notices.tell_once, deps.clock)
    key = secrets.token_hex(8)
    redis.stop()
    assert await debounce.is_first(key, "a")
    assert not await debounce.is_first(key, "b")
    await debounce.close()


def test_memory_has_a_bound_and_can_forget(clock: FakeClock) -> None:
    debounce = Debounce(None, never, clock)
    for number in range(REMEMBERED + 1):
        debounce.remember(str(number))
    assert not debounce.lately("0")
    assert debounce.lately("1")
    debounce.forget("1")
    assert not debounce.lately("1")
    assert not debounce.lately(None)
