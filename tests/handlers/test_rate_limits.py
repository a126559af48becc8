"""Limits over HTTP: for whom and what they count, what a refusal says, and that they hold over instances and without Redis."""

import dataclasses
import secrets
from collections import Counter
from collections.abc import Iterator

import pytest
from tornado.httpclient import AsyncHTTPClient

from config.deps import Deps
from config.settings import Settings
from config.values import Rate
from handlers.endpoint import AUTH, CREATES, READS, UNLIMITED, WRITES, rate_of
from handlers.routes import ROUTES
from server import open_deps
from tests.support.client import Api
from tests.support.clock import FakeClock
from tests.support.groups import PASSWORD, Groups
from tests.support.hashing import Watched
from tests.support.limited import (
    FEED,
    LOG_IN,
    MINUTE,
    addresses,
    all_of,
    assert_refused,
    log_in,
    small_limits,
)


@pytest.fixture
def hashing() -> Iterator[Watched]:
    watched = Watched()
    yield watched
    watched.close()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Small limits; who connects from this machine is a proxy, so that a test can come from anywhere."""
    return small_limits(settings)


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
