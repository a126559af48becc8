"""The demo in a real database: refused where people are, whole after any interruption, and true to its plan."""

import dataclasses
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from community.demo import PASSWORD, accounts, fill_if_empty, log_ins
from community.demo_plan import GroupPlan, PlannedPost, make_plan
from community.passwords import Hashing
from community.sessions import log_in
from config.deps import Deps
from config.settings import Settings
from server import open_deps
from store.markers import Markers
from store.store import Store
from tests.support.clock import FakeClock
from tests.support.demo import Crash, CrashingHub


class CrashingHashing:
    """The process is gone at the first password."""

    async def hash(self, _password: str) -> str:
        raise Crash


@pytest.fixture
async def own_deps(
    settings: Settings, own_mongo_uri: str, clock: FakeClock, hashing: Hashing
) -> AsyncIterator[Deps]:
    """Dependencies on a database that nobody else looks at."""
    own = dataclasses.replace(settings, mongodb_uri=own_mongo_uri)
    async with open_deps(own, clock=clock, hashing=hashing) as opened:
        yield opened
        await opened.store.database.raw.client.drop_database(opened.store.database.raw.name)


def ignore(_line: str) -> None:
    """Nobody reads along."""


async def test_fill_refuses_a_database_with_people(own_deps: Deps) -> None:
    await own_deps.store.users.add(
        email="a@example.org", password_hash="x", first_name="A", last_name="B", role="TRAINER",
        timezone="UTC", epoch="e1",
    )  # fmt: skip
    assert not await fill_if_empty(own_deps, say=ignore)
    assert await own_deps.store.database.table("posts").is_empty()


@pytest.mark.long
async def test_fill_is_whole_when_it_was_interrupted_again_and_again(
    own_deps: Deps, clock: FakeClock
) -> None:
    said: list[str] = []
    begun_at = clock.now()
    await interrupted(own_deps, said, hashing=CrashingHashing())
    clock.advance(60)
    await interrupted(own_deps, said, realtime=CrashingHub(0))
    await take_away_the_last_to_join(own_deps.store, make_plan(begun_at)[0])
    clock.advance(60)
    await interrupted(own_deps, said, realtime=CrashingHub(40))
    clock.advance(60)
    await interrupted(own_deps, said, realtime=CrashingHub(600))
    marker = await Markers(own_deps.store.database, clock).get("demo")
    assert marker is not None
    assert marker.done_at is None

    assert await fill_if_empty(own_deps, say=said.append)
    assert "empty" in said[0]
    assert "interrupted" in said[-2]
    assert "200 posts" in said[-1]
    groups = make_plan(begun_at)
    for group in groups:
        await assert_as_planned(own_deps.store, group)
    store = own_deps.store
    assert [each async for each in store.recount.miscounts()] == []
    assert await store.recount.gaps() == []

    # Complete: whatever people do from now on is left alone.
    await store.database.table("posts").delete({})
    assert not await fill_if_empty(own_deps, say=said.append)
    assert await store.database.raw["posts"].count_documents({}) == 199


async def interrupted(deps: Deps, said: list[str], **parts: object) -> None:
    with pytest.raises(Crash):
        await fill_if_empty(dataclasses.replace(deps, **cast("Any", parts)), say=said.append)


async def take_away_the_last_to_join(store: Store, group: GroupPlan) -> None:
    """Leave the database as if the process had died while people were joining."""
    late = [person.id for person in group.trainees[-4:]]
    await store.database.raw["users"].delete_many({"_id": {"$in": late}})
    await store.database.raw["invites"].update_one({"_id": group.invite_id}, {"$inc": {"uses": -len(late)}})


async def assert_as_planned(store: Store, group: GroupPlan) -> None:
    people = {person.id: person for person in (group.trainer, *group.trainees)}
    users = await store.users.some(list(people))
    assert {user.id: (user.email, user.created_at) for user in users.values()} == {
        person.id: (person.email, person.joined_at) for person in people.values()
    }
    assert {user.community_id for user in users.values()} == {group.trainer.id}
    posts = await store.posts.some([entry.id for entry in group.entries if isinstance(entry, PlannedPost)])
    reactions = {post.id: planned for post, planned in group.reactions}
    room = await store.events.head(group.trainer.id)
    assert room is not None
    facts = await store.events.after(room, 0, limit=10_000)
    assert [(fact.seq, fact.comment_id or fact.post_id, fact.at) for fact in facts] == [
        (seq, entry.id, entry.at) for seq, entry in enumerate(group.entries, 1)
    ]
    for entry in group.entries:
        if isinstance(entry, PlannedPost):
            post = posts[entry.id]
            assert (post.content, post.author_id, post.created_at) == (entry.text, entry.author.id, entry.at)
            assert sum(post.reactions.values()) == len(reactions[entry.id])
    rows = store.database.raw["reactions"].find({"community_id": group.trainer.id}).sort("_id", 1)
    found = [(row["post_id"], row["user_id"], row["reaction_type"]) async for row in rows]
    assert len(found) == len(set(found)) == sum(map(len, reactions.values()))


async def test_demo_people_can_log_in(own_deps: Deps) -> None:
    group = make_plan(own_deps.clock.now())[1]
    with pytest.raises(Crash):
        # The last of the second group joins after as many hashes.
        await fill_if_empty(dataclasses.replace(own_deps, realtime=cast("Any", CrashingHub(30))), say=ignore)
    pair = await log_in(own_deps, email=group.trainer.email, password=PASSWORD)
    assert own_deps.tokens.read(pair.access).user_id == group.trainer.id


def test_log_ins_name_trainers_and_trainees_and_the_password() -> None:
    lines = "\n".join(log_ins())
    assert PASSWORD in lines
    for trainer, trainees in accounts().items():
        assert trainer in lines
        assert trainees[0] in lines
    assert all(address.endswith("@example.com") for address in accounts())
