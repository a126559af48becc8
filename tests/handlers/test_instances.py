"""Two equal instances on one database and one Redis: what is done at one is seen at the other, whatever breaks."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tornado.httpclient import AsyncHTTPClient

from community.passwords import Hashing
from config.clock import SystemClock
from config.deps import Deps
from config.settings import Settings
from handlers.routes import make_app
from server import open_deps
from tests.support.client import Api
from tests.support.clock import FakeClock
from tests.support.groups import PASSWORD, Groups, Person
from tests.support.redis_server import RedisServer
from tests.support.serving import serving
from tests.support.sockets import open_feed

FEED = "/api/community/feed/"


@pytest.fixture
def settings(settings: Settings, redis: RedisServer) -> Settings:
    return dataclasses.replace(settings, redis_url=redis.uri)


@pytest.fixture
def clock() -> SystemClock:
    """Instances have a clock each, and these go."""
    return SystemClock()


@pytest.fixture
async def there(settings: Settings, clock: FakeClock, deps: Deps, hashing: Hashing) -> AsyncIterator[str]:
    """The second instance's address; `base_url` is the first's."""
    async with (
        open_deps(settings, clock=clock, hashing=hashing) as opened,
        serving(make_app(opened)) as (_, port),
    ):
        await until(lambda: not deps.realtime.is_degraded and not opened.realtime.is_degraded)
        yield f"http://127.0.0.1:{port}"


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - what others do has no event here
            await asyncio.sleep(0.01)


def at(person: Person, address: str, client: AsyncHTTPClient) -> Person:
    """The same person, speaking to another instance."""
    return dataclasses.replace(person, api=Api(address, client))


async def test_member_sees_what_was_written_at_another_instance(
    groups: Groups, there: str, http_client: AsyncHTTPClient
) -> None:
    trainer, trainee = await groups.group(1)
    async with open_feed(there, trainee.token) as feed:
        assert (await feed.next())["type"] == "connected"
        post = await trainer.write("Over there")
        frame = await feed.next()
        assert (frame["type"], frame["post"], frame["seq"]) == ("new_post", post, 1)
        await trainer.react(post["id"], "fire")
        assert (await feed.next())["reactions"]["fire"] == 1
        comment = await at(trainee, there, http_client).comment(post["id"])
        assert (await feed.next())["comment"] == comment
        # The next number here begins where the other instance left off.
        await trainer.comment(post["id"])
        assert (await feed.next())["seq"] == 3


async def test_page_shows_what_was_written_at_another_instance(
    groups: Groups, there: str, http_client: AsyncHTTPClient
) -> None:
    trainer, trainee = await groups.group(1)
    reader = at(trainee, there, http_client)
    async with open_feed(there, trainee.token) as feed:
        await feed.next()
        for number in range(10):
            post = await trainer.write(f"Post {number}")
            await feed.until("new_post")
            assert (await reader.feed())[0]["id"] == post["id"]


async def test_page_of_a_room_that_nobody_hears_is_read_each_time(
    groups: Groups, there: str, http_client: AsyncHTTPClient
) -> None:
    trainer, trainee = await groups.group(1)
    reader = at(trainee, there, http_client)
    for number in range(10):
        post = await trainer.write(f"Post {number}")
        assert (await reader.feed())[0]["id"] == post["id"]


async def remove(trainer: Person, trainee: Person) -> None:
    assert (await trainer.delete(f"/api/trainer/trainees/{trainee.id}/")).status == 204


async def change_password(_trainer: Person, trainee: Person) -> None:
    body = {"current_password": PASSWORD, "new_password": "new hills at dusk"}
    elsewhere = await trainee.api.post(
        "/api/auth/jwt/create/", {"email": trainee.email, "password": PASSWORD}
    )
    answer = await trainee.api.post("/api/auth/users/set_password/", body, token=elsewhere.json["access"])
    assert answer.status == 204


async def log_out(_trainer: Person, trainee: Person) -> None:
    assert (await trainee.post("/api/auth/logout/", {"refresh": trainee.refresh})).status == 204


async def delete_account(_trainer: Person, trainee: Person) -> None:
    assert (await trainee.delete("/api/auth/users/me/", {"current_password": PASSWORD})).status == 204


async def dissolve(trainer: Person, _trainee: Person) -> None:
    assert (await trainer.delete("/api/auth/users/me/", {"current_password": PASSWORD})).status == 204


REVOCATIONS = [
    (remove, 4003),
    (change_password, 4001),
    (log_out, 4001),
    (delete_account, 4001),
    (dissolve, 4003),
]


@pytest.mark.parametrize("frozen", [False, True], ids=["redis works", "redis hangs"])
@pytest.mark.parametrize(("revoke", "code"), REVOCATIONS, ids=lambda each: getattr(each, "__name__", each))
async def test_socket_is_closed_when_the_right_to_it_ends_at_another_instance(
    revoke: Callable[[Person, Person], Awaitable[None]],
    code: int,
    *,
    frozen: bool,
    groups: Groups,
    there: str,
    redis: RedisServer,
) -> None:
    trainer, trainee, other = await groups.group(2)
    async with open_feed(there, trainee.token) as feed, open_feed(there, other.token) as others:
        await feed.next()
        await others.next()
        if frozen:
            redis.freeze()
        await revoke(trainer, trainee)
        assert (await feed.closed())[0] == code
        if revoke is not dissolve:
            await trainer.write("Not for everybody")
            assert (await others.next())["type"] == "new_post"
        assert not feed.facts()


async def test_nothing_is_missed_while_redis_is_away(
    groups: Groups, there: str, redis: RedisServer, deps: Deps
) -> None:
    trainer, trainee = await groups.group(1)
    async with open_feed(there, trainee.token) as feed:
        await feed.next()
        redis.kill()
        posts = [await trainer.write(f"Post {number}") for number in range(5)]
        await trainer.react(posts[0]["id"], "heart")
        # Facts keep their order; a level has none.
        while len(feed.facts()) < len(posts) or "reaction_update" not in {
            each["type"] for each in feed.frames
        }:
            await feed.next()
        assert [frame["post"]["id"] for frame in feed.facts()] == [post["id"] for post in posts]
        await until(lambda: deps.realtime.is_degraded)
        ready = await groups.api.get("/readyz")
        assert (ready.status, ready.json) == (200, {"status": "degraded", "missing": ["redis"]})
        redis.start()
        await until(lambda: not deps.realtime.is_degraded)
        last = await trainer.write("Back")
        assert (await feed.next())["post"] == last
        assert [frame["seq"] for frame in feed.facts()] == [1, 2, 3, 4, 5, 6]
