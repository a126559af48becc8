"""Limits over HTTP: for whom and what they count, what a refusal says, and that they hold over instances and without Redis."""

import asyncio
import dataclasses
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

import pytest
from redis import Redis
from tornado.httpclient import AsyncHTTPClient

from config.deps import Deps
from config.settings import Settings
from config.values import Rate
from handlers.endpoint import AUTH, CREATES, READS, UNLIMITED, WRITES, rate_of
from handlers.errors import TooManyRequests
from handlers.rate_limits import RateLimits
from handlers.routes import ROUTES, make_app
from handlers.shared_counts import REST_JITTER_SECONDS, REST_SECONDS
from server import open_deps
from tests.support.client import Answer, Api
from tests.support.clock import FakeClock
from tests.support.groups import PASSWORD, Groups, Person
from tests.support.hashing import Watched
from tests.support.redis_server import RedisServer
from tests.support.serving import serving

FEED = "/api/community/feed/"
LOG_IN = "/api/auth/jwt/create/"
MINUTE = 60
# What Redis has for an answer: longer than a machine that runs many tests at once may hold a loop up.
PATIENCE_SECONDS = 3.0


@pytest.fixture
def hashing() -> Iterator[Watched]:
    watched = Watched()
    yield watched
    watched.close()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Small limits; who connects from this machine is a proxy, so that a test can come from anywhere."""
    return dataclasses.replace(
        settings,
        rate_limit_reads=Rate(20, MINUTE),
        rate_limit_writes=Rate(6, MINUTE),
        rate_limit_creates=Rate(4, MINUTE),
        rate_limit_auth=Rate(10, MINUTE),
        trusted_proxies=(ip_network("127.0.0.0/8"),),
    )


def assert_refused(answer: Answer, name: str, rate: Rate) -> int:
    """Hold a refusal against the contract, and give the seconds it tells to wait."""
    assert answer.status == 429, answer.body
    seconds = int(answer.headers["Retry-After"])
    unit = "second" if seconds == 1 else "seconds"
    detail = f"Request was throttled. Expected available in {seconds} {unit}."
    assert answer.json == {"detail": detail, "code": "throttled"}
    assert answer.headers["RateLimit"] == f'"{name}";r=0;t={seconds}'
    assert answer.headers["RateLimit-Policy"] == f'"{name}";q={rate.count};w={rate.seconds}'
    assert answer.headers["X-Request-ID"]
    return seconds


async def log_in(api: Api, email: str, address: str, password: str = "a guess of many") -> Answer:
    """Try to log in from an address, through the proxy."""
    body = {"email": email, "password": password}
    return await api.post(LOG_IN, body, headers={"X-Forwarded-For": address})


async def all_of(tries: Iterable[Awaitable[Answer]]) -> list[Answer]:
    """Send them, some at a time: clients and servers share one loop here."""
    gate = asyncio.Semaphore(20)

    async def one(each: Awaitable[Answer]) -> Answer:
        async with gate:
            return await each

    return await asyncio.gather(*(one(each) for each in tries))


def addresses(count: int) -> Iterator[str]:
    return (f"198.18.{number // 250}.{number % 250 + 1}" for number in range(count))


# What counts for what


def test_every_route_counts_for_a_limit_that_fits_it() -> None:
    found = {
        (name.upper(), route.name): rate_of(name, declared)
        for route in ROUTES
        for name, declared in route.handler.endpoints.items()
    }
    # A page of pictures is many requests, and Stripe's events are signed.
    unlimited = {"healthz", "readyz", "metrics", "media", "stripe_webhook"}
    assert {name for (_, name), rate in found.items() if rate == UNLIMITED} == unlimited
    auth = {
        ("POST", "users"),
        ("DELETE", "me"),
        ("POST", "set_password"),
        ("POST", "reset_password"),
        ("POST", "reset_password_confirm"),
        ("POST", "jwt_create"),
        ("POST", "verify_email"),
        ("POST", "verify_email_confirm"),
        ("POST", "set_email"),
        ("POST", "set_email_confirm"),
        ("POST", "set_email_undo"),
        ("GET", "export_download"),
    }
    assert {each for each, rate in found.items() if rate == AUTH} == auth
    creates = {
        ("POST", "feed"),
        ("POST", "comments"),
        ("POST", "invites"),
        ("POST", "own_announcements"),
        ("POST", "profile_image"),
        ("POST", "ambassadors"),
        ("POST", "payout"),
        ("GET", "export"),
    }
    assert {each for each, rate in found.items() if rate == CREATES} == creates
    for (method, name), rate in found.items():
        if rate in {READS, WRITES}:
            assert (rate == READS) == (method == "GET" or name == "jwt_verify")


async def test_s18_requests_are_limited_by_user_and_class(
    groups: Groups, clock: FakeClock, deps: Deps
) -> None:
    trainer, other = await groups.trainer(), await groups.trainer()
    posts = [await trainer.write() for _ in range(4)]
    refused = await trainer.post(FEED, {"content": "One too many"})
    seconds = assert_refused(refused, "creates", Rate(4, MINUTE))
    assert len((await trainer.get(FEED)).json["results"]) == 4
    await trainer.react(posts[0]["id"])
    await other.write()
    clock.advance(seconds)
    await trainer.write()
    text = deps.metrics.render()[0].decode()
    assert 'cohort_rate_limited_total{class="creates"} 1.0' in text
    assert 'cohort_rate_limited_total{class="auth"} 0.0' in text


async def test_answers_tell_how_the_caller_stands(groups: Groups, http_client: AsyncHTTPClient) -> None:
    trainer = await groups.trainer()
    first = await trainer.get(FEED)
    assert first.headers["RateLimit-Policy"] == '"reads";q=20;w=60'
    assert first.headers["RateLimit"].startswith('"reads";r=19;t=')
    unchanged = await trainer.get(FEED, headers={"If-None-Match": first.headers["ETag"]})
    assert (unchanged.status, unchanged.headers["RateLimit"][:13]) == (304, '"reads";r=18;')
    authorization = {"Authorization": f"Bearer {trainer.token}"}
    head = await http_client.fetch(trainer.api.base_url + FEED, method="HEAD", headers=authorization)
    assert head.headers["RateLimit"].startswith('"reads";r=17;')
    missing = await trainer.get(f"{FEED}1/")
    assert (missing.status, missing.headers["RateLimit"][:13]) == (404, '"reads";r=16;')
    wrong = await trainer.post(FEED, {"content": 5})
    assert (wrong.status, wrong.headers["RateLimit"][:13]) == (400, '"creates";r=3')


async def test_operators_are_not_limited(api: Api) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        answers = [await api.get(path) for _ in range(21)]
        assert {answer.status for answer in answers} == {200}
        assert not any("RateLimit" in answer.headers for answer in answers)


async def test_nothing_is_limited_or_told_when_switched_off(settings: Settings, hashing: Watched) -> None:
    off = dataclasses.replace(settings, rate_limit_auth=None)
    async with open_deps(off, hashing=hashing) as opened:
        for _ in range(100):
            assert await opened.rate_limits.count(AUTH, "address:x") == {}


# Guessing


async def test_s8_guesses_of_one_password_are_limited_from_however_many_addresses(
    groups: Groups, hashing: Watched
) -> None:
    person = await groups.trainee(email=f"ann.{secrets.token_hex(4)}@example.org")
    hashing.verified = 0
    spellings = (person.email, person.email.upper(), f" {person.email.title()} ")
    tries = [
        log_in(groups.api, spellings[number % 3], address) for number, address in enumerate(addresses(1000))
    ]
    answers = await all_of(tries)
    # One of the ten was the person's own log-in.
    assert Counter(answer.status for answer in answers) == {401: 8, 429: 992}
    assert hashing.verified == 8
    refused = next(answer for answer in answers if answer.status == 429)
    assert_refused(refused, "auth", Rate(10, MINUTE))
    right = await log_in(groups.api, person.email, "198.19.0.1", PASSWORD)
    assert right.status == 429, "not even the right one is told from the others"
    assert (await log_in(groups.api, "somebody.else@example.org", "198.19.0.2")).status == 401


async def test_s8_addresses_are_limited_over_whatever_emails(api: Api, hashing: Watched) -> None:
    answers = [await log_in(api, f"{number}@example.org", "198.18.0.1") for number in range(15)]
    assert [answer.status for answer in answers] == [401] * 10 + [429] * 5
    assert hashing.verified == 10
    neighbours = [await log_in(api, f"{n}@example.org", f"2001:db8:0:1::{n}") for n in range(1, 12)]
    assert [answer.status for answer in neighbours] == [401] * 10 + [429], "an IPv6 network is one client"
    assert (await log_in(api, "12@example.org", "2001:db8:0:2::1")).status == 401


async def test_s32_forwarded_addresses_are_not_believed_when_a_client_says_them(api: Api) -> None:
    for number, address in enumerate(addresses(10)):
        assert (await log_in(api, f"{number}@example.org", f"{address}, 203.0.113.9")).status == 401
    assert (await log_in(api, "10@example.org", "192.0.2.1, 203.0.113.9")).status == 429


class TestWithoutProxies:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return dataclasses.replace(settings, trusted_proxies=())

    async def test_s32_forwarded_addresses_are_not_believed(self, api: Api) -> None:
        answers = [
            await log_in(api, f"{number}@example.org", address)
            for number, address in enumerate(addresses(11))
        ]
        assert [answer.status for answer in answers] == [401] * 10 + [429]


async def test_s8_guesses_of_ones_own_password_are_limited(groups: Groups, hashing: Watched) -> None:
    person = await groups.trainee()
    hashing.verified = 0
    body = {"current_password": "a guess of many", "new_password": "another guess of many"}
    changes = [await person.post("/api/auth/users/set_password/", body) for _ in range(6)]
    ends = [
        await person.delete("/api/auth/users/me/", {"current_password": "a guess of many"}) for _ in range(6)
    ]
    assert [answer.status for answer in changes + ends] == [400] * 10 + [429] * 2
    assert hashing.verified == 10


@pytest.mark.parametrize("raw", [b"{", b"[]", b'{"email": 5}', b'{"email": "a", "email": "b"}', b""])
async def test_s8_bodies_that_hide_the_email_count_by_address(api: Api, raw: bytes) -> None:
    answers = [await api.send("POST", LOG_IN, raw=raw) for _ in range(11)]
    assert [answer.status for answer in answers] == [400] * 10 + [429]


async def test_resets_and_registrations_count_with_log_ins(api: Api) -> None:
    email = f"{secrets.token_hex(6)}@example.org"
    registration = {
        "email": email,
        "password": "short",
        "first_name": "A",
        "last_name": "B",
        "role": "TRAINEE",
    }
    froms = addresses(11)
    for _ in range(4):
        headers = {"X-Forwarded-For": next(froms)}
        assert (await api.post("/api/auth/users/", registration, headers=headers)).status == 400
        headers = {"X-Forwarded-For": next(froms)}
        assert (
            await api.post("/api/auth/users/reset_password/", {"email": email}, headers=headers)
        ).status == 204
    statuses = [(await log_in(api, email, address)).status for address in froms]
    assert statuses == [401, 401, 429]


# Several instances


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
