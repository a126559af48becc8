"""Limits over several instances: one count by Redis, and each its own while Redis is away."""

import dataclasses
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from typing import Any

import pytest
from redis import Redis
from tornado.httpclient import AsyncHTTPClient

from config.deps import Deps
from config.settings import Settings
from config.values import Rate
from handlers.endpoint import CREATES
from handlers.errors import TooManyRequests
from handlers.rate_limits import RateLimits
from handlers.routes import make_app
from handlers.shared_counts import REST_JITTER_SECONDS, REST_SECONDS
from server import open_deps
from tests.support.client import Api
from tests.support.clock import FakeClock
from tests.support.groups import Groups, Person
from tests.support.hashing import Watched
from tests.support.limited import FEED, MINUTE, addresses, all_of, assert_refused, log_in, small_limits
from tests.support.redis_server import RedisServer
from tests.support.serving import serving

# What Redis has for an answer: longer than a machine that runs many tests at once may hold a loop up.
PATIENCE_SECONDS = 3.0


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Small limits; who connects from this machine is a proxy, so that a test can come from anywhere."""
    return small_limits(settings)


@dataclass
class Instance:
    """One of several equal servers."""

    api: Api
    deps: Deps
    hashing: Watched

    def as_(self, person: Person) -> Person:
        """The same person, speaking to this server."""
        return dataclasses.replace(person, api=self.api)

    @property
    def counts_with_others(self) -> bool:
        return "cohort_rate_limits_shared 1.0" in self.deps.metrics.render()[0].decode()


@pytest.fixture
async def instances(
    settings: Settings, clock: FakeClock, redis: RedisServer, http_client: AsyncHTTPClient
) -> AsyncIterator[list[Instance]]:
    """Two servers with one database and one Redis."""
    settings = dataclasses.replace(settings, redis_url=redis.uri)
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(2):
            hashing = stack.enter_context(closing(Watched()))
            opened = await stack.enter_async_context(open_deps(settings, clock=clock, hashing=hashing))
            limits = RateLimits(
                settings, clock=clock, metrics=opened.metrics, answer_seconds=PATIENCE_SECONDS
            )
            stack.push_async_callback(limits.close)
            deps = dataclasses.replace(opened, rate_limits=limits)
            _, port = await stack.enter_async_context(serving(make_app(deps)))
            found.append(Instance(Api(f"http://127.0.0.1:{port}", http_client), deps, hashing))
        yield found


async def a_trainer(instance: Instance) -> Person:
    return await Groups(instance.api, instance.deps).trainer()


async def test_limit_is_one_when_two_instances_share_a_redis(instances: list[Instance]) -> None:
    one, other = instances
    trainer = await a_trainer(one)
    for number in range(4):
        await instances[number % 2].as_(trainer).write()
    for instance in instances:
        refused = await instance.as_(trainer).post(FEED, {"content": "One too many"})
        assert assert_refused(refused, "creates", Rate(4, MINUTE)) <= MINUTE
    assert one.counts_with_others
    assert other.counts_with_others


async def test_redis_is_not_asked_again_when_it_has_told_how_long_to_wait(
    instances: list[Instance], redis: RedisServer
) -> None:
    one, other = instances
    trainer = await a_trainer(one)
    for _ in range(4):
        await one.as_(trainer).write()
    assert (await other.as_(trainer).post(FEED, {"content": "One too many"})).status == 429
    before = calls(redis)
    for _ in range(5):
        assert (await other.as_(trainer).post(FEED, {"content": "One too many"})).status == 429
    assert calls(redis) == before


def calls(redis: RedisServer) -> int:
    """How many scripts this Redis has run."""
    with Redis.from_url(redis.uri) as client:
        return int(client.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0))


async def test_reads_are_shared_in_blocks_of_a_tenth(instances: list[Instance], redis: RedisServer) -> None:
    trainer = await a_trainer(instances[0])
    before = calls(redis)
    first = [await instances[0].as_(trainer).get(FEED) for _ in range(12)]
    assert {answer.status for answer in first} == {200}
    assert calls(redis) - before == 6
    rest = [await instances[1].as_(trainer).get(FEED) for _ in range(12)]
    statuses = [answer.status for answer in rest]
    # The ninth is let through before the tenth tells of both.
    assert statuses == [200] * 9 + [429] * 3


async def test_s8_guesses_are_limited_once_over_all_instances(instances: list[Instance]) -> None:
    email = f"{secrets.token_hex(6)}@example.org"
    tries = [log_in(instances[n % 2].api, email, address) for n, address in enumerate(addresses(300))]
    assert Counter(answer.status for answer in await all_of(tries)) == {401: 10, 429: 290}
    assert sum(instance.hashing.verified for instance in instances) == 10


@pytest.mark.parametrize("loss", [RedisServer.kill, RedisServer.freeze], ids=["killed", "frozen"])
async def test_s8_limits_hold_when_redis_is_lost(
    instances: list[Instance], redis: RedisServer, loss: Any
) -> None:
    email = f"{secrets.token_hex(6)}@example.org"
    froms = addresses(200)
    for _ in range(4):
        assert (await log_in(instances[0].api, email, next(froms))).status == 401
    loss(redis)
    answers = await all_of(log_in(instances[n % 2].api, email, address) for n, address in enumerate(froms))
    # No fresh window where it had counted before: six more here, and there the ten it would have had alone.
    assert Counter(answer.status for answer in answers) == {401: 16, 429: 180}
    assert [instance.hashing.verified for instance in instances] == [10, 10]
    assert not any(instance.counts_with_others for instance in instances)


async def test_redis_is_left_alone_for_a_while_when_it_did_not_answer(
    instances: list[Instance], redis: RedisServer, clock: FakeClock
) -> None:
    one = instances[0]
    await a_trainer(one)  # has connected
    before = calls(redis)
    redis.freeze()
    for number, address in enumerate(addresses(20)):
        assert (await log_in(one.api, f"{number}@example.org", address)).status == 401
    clock.advance(REST_SECONDS + REST_JITTER_SECONDS)
    tries = [log_in(one.api, f"{n}.{n}@example.org", address) for n, address in enumerate(addresses(20))]
    assert {answer.status for answer in await all_of(tries)} == {401}
    redis.thaw()
    # The first that found it frozen, and one probe.
    assert calls(redis) - before <= 2
    assert not one.counts_with_others


async def test_redis_counts_again_when_it_is_back(
    instances: list[Instance], redis: RedisServer, clock: FakeClock
) -> None:
    one, other = instances
    trainer = await a_trainer(one)
    redis.kill()
    assert (await one.as_(trainer).write())["id"]
    assert not one.counts_with_others
    redis.start()
    clock.advance(REST_SECONDS + REST_JITTER_SECONDS)
    for _ in range(3):
        await one.as_(trainer).write()
    assert one.counts_with_others
    await other.as_(trainer).write()
    assert (await other.as_(trainer).post(FEED, {"content": "One too many"})).status == 429


async def test_redis_counts_again_when_it_goes_on(
    instances: list[Instance], redis: RedisServer, clock: FakeClock
) -> None:
    one, other = instances
    trainer = await a_trainer(one)
    await one.as_(trainer).write()
    redis.freeze()
    await one.as_(trainer).write()
    assert not one.counts_with_others
    redis.thaw()
    clock.advance(REST_SECONDS + REST_JITTER_SECONDS)
    for _ in range(2):
        await one.as_(trainer).write()
    assert one.counts_with_others
    # What was asked of it while it stood still may have been counted after all.
    answers = [await other.as_(trainer).post(FEED, {"content": "Too many"}) for _ in range(3)]
    assert [answer.status for answer in answers][1:] == [429, 429]


async def test_server_starts_and_limits_when_there_is_no_redis(
    settings: Settings, redis: RedisServer, clock: FakeClock, hashing: Watched
) -> None:
    redis.kill()
    alone = dataclasses.replace(settings, redis_url=redis.uri)
    async with open_deps(alone, clock=clock, hashing=hashing) as deps:
        for _ in range(4):
            assert "RateLimit" in await deps.rate_limits.count(CREATES, "user:1")
        with pytest.raises(TooManyRequests):
            await deps.rate_limits.count(CREATES, "user:1")


async def test_redis_keys_hold_no_address_of_a_mailbox_and_expire(
    instances: list[Instance], redis: RedisServer
) -> None:
    await log_in(instances[0].api, "ann@example.org", "198.18.0.1")
    with Redis.from_url(redis.uri, decode_responses=True) as client:
        keys = list(client.scan_iter())
        assert keys
        assert all(key.startswith("cohort:limits") for key in keys)
        assert not any("ann" in key for key in keys)
        assert all(0 < client.ttl(key) <= 2 * MINUTE for key in keys)
