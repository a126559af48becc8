"""The proof of the counts: it finds what is wrong, mends it, and finds nothing else."""

import secrets
from collections.abc import AsyncIterator

import pytest

from store.store import Store, open_store
from tests.support.clock import FakeClock


@pytest.fixture
async def store(own_mongo_uri: str, clock: FakeClock) -> AsyncIterator[Store]:
    async with open_store(own_mongo_uri, clock) as opened:
        yield opened
        await opened.database.raw.client.drop_database(opened.database.raw.name)


async def filled(store: Store) -> list[int]:
    user = await store.users.add(
        email=f"{secrets.token_hex(6)}@example.org", password_hash="x", first_name="A", last_name="B",
        role="TRAINER", timezone="UTC", epoch="e1",
    )  # fmt: skip
    posts = []
    for _ in range(3):
        post, _ = await store.posts.add(
            community_id=user.id, author_id=user.id, content="x", content_format="plain"
        )
        await store.comments.add(community_id=user.id, post_id=post.id, author_id=user.id, content="x")
        await store.reactions.toggle(post, user.id, "heart")
        posts.append(post.id)
    return posts


async def test_recount_finds_nothing_when_all_went_through_the_store(store: Store) -> None:
    await filled(store)
    assert [each async for each in store.recount.miscounts()] == []
    assert await store.recount.gaps() == []


async def test_recount_finds_and_mends_what_is_wrong(store: Store) -> None:
    first, second, _ = await filled(store)
    posts = store.database.raw["posts"]
    await posts.update_one({"_id": first}, {"$set": {"comment_count": 5, "reactions.fire": -1}})
    await store.database.raw["comments"].delete_many({"post_id": second})
    found = {
        (each.post_id, each.field): (each.stored, each.counted) async for each in store.recount.miscounts()
    }
    assert found == {
        (first, "comment_count"): (5, 1),
        (first, "reactions.fire"): (-1, 0),
        (second, "comment_count"): (1, 0),
    }
    for post_id in {post_id for post_id, _ in found}:
        assert await store.recount.fix(post_id)
    assert [each async for each in store.recount.miscounts()] == []
    assert await store.recount.fix(12345) == []


async def test_recount_finds_holes_in_the_log(store: Store) -> None:
    await filled(store)
    events = store.database.raw["events"]
    await events.delete_one({"_id.seq": 3})
    assert [sentence for _, sentence in await store.recount.gaps()] == ["fact 3 is missing before 4"]
    await events.delete_one({"_id.seq": 6})
    assert [sentence for _, sentence in await store.recount.gaps()] == [
        "fact 3 is missing before 4",
        "the log ends before fact 6",
    ]
    await events.delete_many({})
    assert len(await store.recount.gaps()) == 1
