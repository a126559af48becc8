"""Every list uses its index: keys examined at most twice the rows returned, whatever else is in the collection."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Coroutine, Sequence
from datetime import date, timedelta
from typing import Any

import pytest

from config.clock import SystemClock
from store.announcements import PINNED
from store.indexes import INDEXES, apply_indexes
from store.notices import IS_NOTICE, TO_MANY, TO_ONE, NoticeDraft
from store.pages import Cursor, PageRequest
from store.store import Store, open_store
from tests.support.clock import FakeClock

OWN, OTHER = 1, 2
# The live rooms of a busy instance; the planner treats some hundred keys differently from a few.
ROOMS = 1_000


@pytest.fixture
async def store(own_mongo_uri: str, clock: FakeClock) -> AsyncIterator[Store]:
    """A database with some hundred documents of one group, and as many of another."""
    async with open_store(own_mongo_uri, clock) as opened:
        raw = opened.database.raw
        now = clock.now()
        groups = [(group, number) for group in (OWN, OTHER) for number in range(300)]
        await raw["posts"].insert_many(
            {"_id": group * 1000 + number, "community_id": group, "author_id": group, "content": "x",
             "created_at": now, "reactions_at": now - timedelta(minutes=number)}
            for group, number in groups
        )  # fmt: skip
        await raw["comments"].insert_many(
            {"_id": group * 1000 + number, "post_id": group, "community_id": group, "author_id": 5,
             "content": "x", "created_at": now}
            for group, number in groups
        )  # fmt: skip
        await raw["reactions"].insert_many(
            {"_id": group * 1000 + number, "post_id": 1000 + number, "user_id": group, "reaction_type": "fire",
             "created_at": now}
            for group, number in groups
        )  # fmt: skip
        await raw["users"].insert_many(
            {"_id": group * 1000 + number, "parent_trainer": group, "role": "TRAINEE",
             "email_key": f"{group}-{number}@x"}
            for group, number in groups
        )  # fmt: skip
        await raw["daily_logs"].insert_many(
            {"_id": {"user_id": group, "date": str(date(2026, 1, 1) + timedelta(days=number))},
             "created_at": now, "updated_at": now}
            for group, number in groups
        )  # fmt: skip
        await raw["invites"].insert_many(
            {"_id": group * 1000 + number, "trainer_id": group, "code": secrets.token_hex(8), "created_at": now}
            for group, number in groups
        )  # fmt: skip
        await raw["announcements"].insert_many(
            {"_id": group * 1000 + number, "community_id": group, "number": number, "title": "x", "body": "x",
             "rank": number + (PINNED if number % 7 == 0 else 0), "content_format": "plain",
             "is_pinned": number % 7 == 0, "created_at": now}
            for group, number in groups
        )  # fmt: skip
        await raw["awards"].insert_many(
            {"_id": group * 1000 + number, "user_id": group, "achievement_id": number, "earned_at": now}
            for group, number in groups
        )
        await raw["users"].update_many({"_id": {"$mod": [100, 7]}}, {"$set": {"achievements_due": "a1"}})
        await raw["communities"].insert_one({"_id": OWN, "epoch": "e", "seq": 300, "created_at": now})
        await raw["events"].insert_many(
            {
                "_id": {"community_id": group, "seq": number},
                "kind": "new_post",
                "post_id": 1,
                "author_id": 1,
                "at": now,
            }
            for group, number in groups
        )
        yield opened
        await opened.database.raw.client.drop_database(raw.name)


async def profile(
    store: Store, call: Coroutine[Any, Any, object], ops: Sequence[str] = ("query", "getmore", "command")
) -> list[dict[str, Any]]:
    """Give the database's own record of the reads (or what `ops` says) that a call made.

    The call is a coroutine, for a task would run ahead of the record.
    """
    raw = store.database.raw
    await raw.command("profile", 2)
    await call
    await raw.command("profile", 0)
    where = {
        "op": {"$in": list(ops)},
        "planSummary": {"$exists": True},
        "ns": {"$not": {"$regex": "profile$"}},
    }
    found = await raw["system.profile"].find(where).to_list()
    await raw["system.profile"].drop()
    return found


LISTS = {
    "feed": lambda s: s.posts.page(OWN, PageRequest()),
    "feed, deep": lambda s: s.posts.page(OWN, PageRequest(50, Cursor(1150))),
    "feed, back": lambda s: s.posts.page(OWN, PageRequest(20, Cursor(1150, backwards=True))),
    "own reactions": lambda s: s.reactions.own(OWN, range(1000, 1020)),
    "comments": lambda s: s.comments.page(OWN, PageRequest()),
    "comments, deep": lambda s: s.comments.page(OWN, PageRequest(20, Cursor(1150))),
    "who reacted": lambda s: s.reactions.page(1005, PageRequest()),
    "levels": lambda s: s.reactions.changed_since(OWN, SystemClock().now() - timedelta(minutes=15), limit=20),
    "trainees": lambda s: s.users.trainees(OWN, PageRequest()),
    "invites": lambda s: s.invites.page(OWN, PageRequest()),
    "awards": lambda s: s.achievements.awards(OWN),
    "achievements to look at": lambda s: s.achievements.due(limit=5),
    "announcements": lambda s: s.announcements.page(OWN, PageRequest()),
    "announcements, from pinned on": lambda s: s.announcements.page(
        OWN, PageRequest(20, Cursor(PINNED + 42))
    ),
    "announcements, back": lambda s: s.announcements.page(OWN, PageRequest(20, Cursor(290, backwards=True))),
    "logs": lambda s: s.daily_logs.page(OWN, date.min, date.max, PageRequest()),
    "logs, deep": lambda s: s.daily_logs.page(
        OWN, date(2026, 1, 9), date(2026, 10, 1), PageRequest(50, Cursor(date(2026, 9, 1).toordinal()))
    ),
    "leaderboard": lambda s: s.training.board(OWN),
    "log-in": lambda s: s.users.by_email("1-7@X"),
}


async def facts(store: Store) -> None:
    room = await store.events.head(OWN)
    assert room is not None
    found = await store.events.after(room, 250, limit=100)
    assert [each.seq for each in found] == list(range(250, 300))


LISTS["facts"] = facts


@pytest.mark.parametrize("name", LISTS)
async def test_list_examines_what_it_returns_and_no_more(store: Store, name: str) -> None:
    reads = await profile(store, LISTS[name](store))
    assert reads
    for read in reads:
        assert "COLLSCAN" not in read["planSummary"], read["planSummary"]
        assert not read.get("hasSortStage")
        # A range on a list of keys costs a key more for each, to find the next.
        assert read["keysExamined"] <= 2 * read["nreturned"] + 1, (read["keysExamined"], read["nreturned"])


async def compared_rooms(store: Store) -> range:
    """As many rooms as an instance has, each with a post that was reacted to long ago, and as many that others have."""
    rooms = range(10_000, 10_000 + 2 * ROOMS)
    raw, now = store.database.raw, SystemClock().now()
    await raw["communities"].insert_many(
        {"_id": room, "epoch": "e", "seq": 1, "created_at": now} for room in rooms
    )
    await raw["posts"].insert_many(
        {"_id": room, "community_id": room, "author_id": 1, "content": "x", "created_at": now,
         "reactions_at": now - timedelta(days=1)}
        for room in rooms
    )  # fmt: skip
    return rooms[::2]


async def test_comparing_heads_examines_one_room_each(store: Store) -> None:
    rooms = await compared_rooms(store)
    reads = await profile(store, store.events.heads(rooms))
    assert sum(read["nreturned"] for read in reads) == ROOMS
    for read in reads:
        assert "COLLSCAN" not in read["planSummary"], read["planSummary"]
        assert read["docsExamined"] == read["nreturned"]
        assert read["keysExamined"] <= 2 * read["nreturned"] + 1


@pytest.mark.parametrize("changed", [0, ROOMS // 10])
async def test_comparing_levels_examines_a_key_a_room_and_what_changed(store: Store, changed: int) -> None:
    rooms, now = await compared_rooms(store), SystemClock().now()
    await store.database.raw["posts"].update_many(
        {"_id": {"$in": list(rooms[:changed])}}, {"$set": {"reactions_at": now}}
    )
    reads = await profile(store, store.reactions.changed_in(rooms, now - timedelta(seconds=15), limit=1_000))
    assert sum(read["nreturned"] for read in reads) == changed
    for read in reads:
        assert "COLLSCAN" not in read["planSummary"], read["planSummary"]
        # To find out that nothing changed in a room lately costs a key; it is no document's.
        assert read["docsExamined"] == read["nreturned"]
        assert read["keysExamined"] <= ROOMS + 2 * read["nreturned"] + 1


async def test_own_reactions_are_answered_by_the_index_alone(store: Store) -> None:
    (read,) = await profile(store, store.reactions.own(OWN, range(1000, 1020)))
    assert read["docsExamined"] == 0


async def test_unread_announcements_are_counted_in_the_index_alone(store: Store) -> None:
    (read,) = await profile(store, store.announcements.unread(OWN, 250))
    assert read["docsExamined"] == 0
    assert read["keysExamined"] <= 49 + 1


async def test_board_is_read_once_for_all_who_ask_at_once(store: Store) -> None:
    async def ask() -> None:
        await asyncio.gather(*(store.training.board(OWN) for _ in range(20)))

    assert len(await profile(store, ask())) == 1


async def wait_for_phones(store: Store) -> None:
    """Add two hundred notices to a room, a hundred of each lane."""
    documents = [
        {**store.notices.document(
            NoticeDraft(recipient_id=number, community_id=OWN, actor_id=1000 + number, content={}),
            cause="comments", cause_id=number),
         "lane": lane}
        for lane, numbers in ((TO_ONE, range(100)), (TO_MANY, range(100, 200)))
        for number in numbers
    ]  # fmt: skip
    await store.database.raw["events"].insert_many(documents)


async def test_notices_are_claimed_by_their_index_and_stay_out_of_the_log(store: Store) -> None:
    gaps = await store.recount.gaps()
    await wait_for_phones(store)
    reads = await profile(store, store.notices.claim(TO_ONE, limit=20))
    for read in reads:
        assert "COLLSCAN" not in read["planSummary"], read["planSummary"]
        assert read["keysExamined"] <= 2 * 20 + 1
    await facts(store)
    assert await store.recount.gaps() == gaps


async def test_erasing_and_forgetting_notices_walks_through_those_that_wait(store: Store) -> None:
    await wait_for_phones(store)
    erase = store.database.transact(lambda session: store.notices.erase(5, session=session))
    calls = (
        (erase, 199),
        (store.notices.forget(kept_for=-timedelta(seconds=1)), 0),
    )
    for call, left in calls:
        for write in await profile(store, call, ops=("remove",)):
            assert "COLLSCAN" not in write["planSummary"], write["planSummary"]
            assert write["keysExamined"] <= 200 + 2
        assert await store.database.raw["events"].count_documents(IS_NOTICE) == left
    await facts(store)


async def test_indexes_are_left_alone_when_applied_again(store: Store) -> None:
    before = {
        name: await store.database.raw[name].index_information()
        for name in {each.collection for each in INDEXES}
    }
    await apply_indexes(store.database.raw)
    after = {name: await store.database.raw[name].index_information() for name in before}
    assert before == after


async def test_missing_field_of_an_old_document_reads_as_its_default(store: Store) -> None:
    raw = store.database.raw
    await raw["users"].insert_one({"_id": 77, "role": "TRAINEE"})
    user = await store.users.get(77)
    assert user is not None
    assert (user.timezone, user.auto_post_workouts, user.is_active, user.goal_weight_kg) == (
        "UTC",
        True,
        True,
        None,
    )
    page = await store.posts.page(OWN, PageRequest(1))
    post = page.items[0]
    assert (post.post_type, post.comment_count, post.reactions_version) == ("text", 0, 0)
    assert post.reactions == {"fire": 0, "thumbs_up": 0, "heart": 0}
