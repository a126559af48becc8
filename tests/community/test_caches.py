"""What the process keeps: dropped when it must be, and never kept when a change overtook the read."""

import asyncio
from datetime import timedelta

import pytest

from community import posts, upkeep
from community.actor import Actor
from community.controls import session_closed
from community.people import People
from community.sessions import Actors
from config.deps import Deps
from realtime.events import AuthorChanged, SessionClosed
from store.errors import DatabaseAway, StoreUnavailable
from store.ids import IdSource
from store.pages import PageRequest
from tests.support.clock import FakeClock
from tests.support.groups import Groups


class Slow:
    """A method that reads, then waits until it is let go: what it gives is old by then."""

    def __init__(self, read) -> None:
        self._read = read
        self.has_read = asyncio.Event()
        self.let_go = asyncio.Event()
        self.reads = 0

    async def __call__(self, *args, **options):
        self.reads += 1
        found = await self._read(*args, **options)
        self.has_read.set()
        await self.let_go.wait()
        return found


async def test_name_is_not_kept_when_it_changed_while_it_was_read(groups: Groups, deps: Deps) -> None:
    person = await groups.trainee(first_name="Old")
    users = deps.store.users
    slow = Slow(users.some)

    class Users:
        some = slow

    people = People(Users(), deps.clock)
    deps.realtime.listen(people.hear)
    reading = asyncio.create_task(people.author(person.id))
    await slow.has_read.wait()
    await person.patch("/api/auth/users/me/", {"first_name": "New"})
    slow.let_go.set()
    assert (await reading)["first_name"] == "Old"
    assert (await people.author(person.id))["first_name"] == "New"
    assert (await people.author(person.id))["first_name"] == "New"
    assert slow.reads == 2


async def test_session_is_not_kept_when_it_ended_while_it_was_read(groups: Groups, deps: Deps) -> None:
    person = await groups.trainee()
    session_id = deps.tokens.read(person.token).session_id
    slow = Slow(deps.store.sessions.users_of)

    class Sessions:
        users_of = slow

    actors = Actors(Sessions(), deps.clock)
    reading = [asyncio.create_task(actors.user_of(session_id)) for _ in range(5)]
    await slow.has_read.wait()
    await deps.store.sessions.revoke(session_id, session_closed(session_id))
    actors.hear(SessionClosed(session_id=session_id, code=4001))
    slow.let_go.set()
    assert all(user is not None and user.id == person.id for user in await asyncio.gather(*reading))
    assert await actors.user_of(session_id) is None


async def test_sessions_are_read_together_when_many_come_at_once(groups: Groups, deps: Deps) -> None:
    people = await groups.group(3)
    slow = Slow(deps.store.sessions.users_of)
    slow.let_go.set()

    class Sessions:
        users_of = slow

    actors = Actors(Sessions(), deps.clock)
    asked = [deps.tokens.read(person.token).session_id for person in people] + ["of nobody"]
    found = await asyncio.gather(*(actors.user_of(session_id, fresh=True) for session_id in asked * 3))
    assert [user and user.id for user in found] == [*(person.id for person in people), None] * 3
    assert slow.reads <= 2


async def test_everybody_is_told_when_the_sessions_cannot_be_read(deps: Deps) -> None:
    class Sessions:
        async def users_of(self, _: object) -> None:
            raise StoreUnavailable("away")

    actors = Actors(Sessions(), deps.clock)
    failures = await asyncio.gather(*(actors.user_of(str(n)) for n in range(5)), return_exceptions=True)
    assert [type(each) for each in failures] == [StoreUnavailable] * 5
    with pytest.raises(StoreUnavailable):
        await actors.user_of("again")


async def test_while_the_database_is_away_one_asks_for_a_session_and_the_others_are_told_at_once(
    groups: Groups, deps: Deps
) -> None:
    person = await groups.trainee()
    session_id = deps.tokens.read(person.token).session_id
    looking, let_go, is_there = asyncio.Event(), asyncio.Event(), False

    class Sessions:
        async def users_of(self, session_ids):
            looking.set()
            await let_go.wait()
            if not is_there:
                raise DatabaseAway("nobody there")
            return await deps.store.sessions.users_of(session_ids)

    actors = Actors(Sessions(), deps.clock)
    first = asyncio.create_task(actors.user_of("first"))
    await looking.wait()
    second = asyncio.create_task(actors.user_of("second"))
    await asyncio.sleep(0)
    let_go.set()
    # Whoever came meanwhile is not looked for again.
    failures = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(each) for each in failures] == [DatabaseAway] * 2
    looking.clear()
    let_go.clear()
    third = asyncio.create_task(actors.user_of(session_id))
    await looking.wait()
    with pytest.raises(StoreUnavailable, match="is away"):
        await actors.user_of("fourth")
    is_there = True
    let_go.set()
    found = await third
    assert found is not None
    assert found.id == person.id
    assert await actors.user_of("of nobody") is None


async def test_s6_ended_session_is_refused_within_a_second_when_the_message_was_lost(
    groups: Groups, deps: Deps, clock: FakeClock
) -> None:
    person = await groups.trainee()
    assert (await person.get("/api/auth/users/me/")).status == 200
    # As another instance does it of which nothing is heard.
    where = {"_id": deps.tokens.read(person.token).session_id}
    await deps.store.database.raw["sessions"].update_one(where, {"$set": {"revoked_at": clock.now()}})
    assert (await person.get("/api/auth/users/me/")).status == 200
    clock.advance(1.001)
    assert (await person.get("/api/auth/users/me/")).status == 401


async def actor_of(person, deps: Deps) -> Actor:
    user = await deps.store.users.get(person.id)
    assert user is not None
    return Actor(user, "a session", 1e12)


async def test_first_page_is_read_once_when_many_ask(groups: Groups, deps: Deps) -> None:
    trainer, *members = await groups.group(3)
    await trainer.write()
    slow = Slow(deps.store.posts.page)
    deps.store.posts.page = slow  # type: ignore[method-assign]
    slow.let_go.set()
    actors = [await actor_of(person, deps) for person in (trainer, *members)]
    await asyncio.gather(*(posts.list_posts(deps, actor, PageRequest()) for actor in actors * 5))
    assert slow.reads == 1
    await posts.list_posts(deps, actors[0], PageRequest(size=5))
    assert slow.reads == 2


async def test_pages_and_views_of_them_are_let_go_after_their_second(
    groups: Groups, deps: Deps, clock: FakeClock
) -> None:
    trainer, member = await groups.group(1)
    await trainer.write()
    actors = [await actor_of(person, deps) for person in (trainer, member)]
    views = [await posts.list_posts(deps, actor, PageRequest()) for actor in actors * 2]
    assert views[:2] == views[2:]
    (_, page) = deps.feed_pages._kept[trainer.id]
    assert set(page.views) == {trainer.id, member.id}
    clock.advance(1.001)
    other = await groups.trainer()
    await posts.list_posts(deps, await actor_of(other, deps), PageRequest())
    assert list(deps.feed_pages._kept) == [other.id]


async def test_first_page_is_not_kept_when_something_changed_while_it_was_read(
    groups: Groups, deps: Deps
) -> None:
    trainer = await groups.trainer()
    slow = Slow(deps.store.posts.page)
    deps.store.posts.page = slow  # type: ignore[method-assign]
    actor = await actor_of(trainer, deps)
    reading = asyncio.create_task(posts.list_posts(deps, actor, PageRequest()))
    await slow.has_read.wait()
    post = await trainer.write("New")
    slow.let_go.set()
    assert (await reading).page.items == ()
    shown = await posts.list_posts(deps, actor, PageRequest())
    assert [item["id"] for item in shown.page.items] == [post["id"]]


async def test_first_page_shows_what_another_instance_wrote_after_a_second(
    groups: Groups, deps: Deps, clock: FakeClock
) -> None:
    trainer = await groups.trainer()
    assert await trainer.feed() == []
    await deps.store.posts.add(
        community_id=trainer.id, author_id=trainer.id, content="From elsewhere", content_format="plain"
    )
    clock.advance(1.001)
    assert [post["content"] for post in await trainer.feed()] == ["From elsewhere"]


async def test_pages_are_dropped_when_an_author_changes(groups: Groups, deps: Deps) -> None:
    trainer = await groups.trainer()
    await trainer.write()
    before = await trainer.get("/api/community/feed/")
    deps.realtime.control(AuthorChanged(user_id=trainer.id))
    again = await trainer.get("/api/community/feed/")
    assert again.body == before.body


async def test_upkeep_forgets_and_goes_on_when_the_database_is_away(
    deps: Deps, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[object] = []
    both = asyncio.Event()

    async def forget(*, kept: int, kept_for: timedelta) -> int:
        calls.append((kept, kept_for))
        if len(calls) == 2:
            return 3
        raise StoreUnavailable("away")

    async def forget_notices(*, kept_for: timedelta) -> int:
        assert kept_for == timedelta(days=1)
        both.set()
        return 1

    monkeypatch.setattr(upkeep, "EVERY_SECONDS", 0)
    monkeypatch.setattr(deps.store.events, "forget", forget)
    monkeypatch.setattr(deps.store.notices, "forget", forget_notices)
    task = asyncio.create_task(upkeep.keep_up(deps))
    await asyncio.wait_for(both.wait(), 5)
    task.cancel()
    assert calls[0] == (1000, timedelta(hours=24))
    assert "did not answer" in caplog.text


async def test_two_ids_that_meet_are_no_error(groups: Groups, deps: Deps) -> None:
    trainer = await groups.trainer()
    first = await trainer.write()

    class Meeting(IdSource):
        """Gives an id that is taken first, as another process could have."""

        def __init__(self) -> None:
            super().__init__()
            self.given = 0

        def new(self) -> int:
            self.given += 1
            return first["id"] if self.given == 1 else super().new()

    for part in (deps.store.posts, deps.store.comments, deps.store.reactions, deps.store.invites):
        part._ids = Meeting()
    second = await trainer.write()
    assert second["id"] != first["id"]
    await trainer.comment(first["id"])
    await trainer.react(first["id"])
    assert (await trainer.post("/api/trainer/invites/", {})).status == 201
    assert len(await trainer.feed()) == 2
