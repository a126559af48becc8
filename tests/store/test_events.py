"""Numbering: dense, in order, whoever writes; and forgetting."""

import asyncio
import secrets
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from config.deps import Deps
from store import turns
from store.database import GATE_SIZE
from store.errors import Gone, StoreUnavailable
from store.records import FactDraft
from store.store import Store, open_store
from tests.support.clock import FakeClock


async def new_room(store: Store) -> int:
    user = await store.users.add(
        email=f"{secrets.token_hex(6)}@example.org", password_hash="x", first_name="A", last_name="B",
        role="TRAINER", timezone="UTC", epoch=secrets.token_hex(4),
    )  # fmt: skip
    return user.id


async def seqs(store: Store, room: int) -> list[int]:
    found = await store.database.raw["events"].find({"_id.community_id": room}).sort("_id", 1).to_list()
    return [each["_id"]["seq"] for each in found]


async def write(store: Store, room: int) -> int:
    post, fact = await store.posts.add(community_id=room, author_id=room, content="x", content_format="plain")
    assert fact is not None
    assert fact.post_id == post.id
    return fact.seq


async def test_numbers_are_dense_when_many_write_at_once(deps: Deps) -> None:
    room = await new_room(deps.store)
    given = await asyncio.gather(*(write(deps.store, room) for _ in range(60)))
    assert given == list(range(1, 61)), "facts come back in the order of their writers"
    assert await seqs(deps.store, room) == list(range(1, 61))


async def test_numbers_are_dense_when_two_instances_write_at_once(
    deps: Deps, mongo_uri: str, clock: FakeClock
) -> None:
    room = await new_room(deps.store)
    async with open_store(mongo_uri, clock) as other:
        given = await asyncio.gather(
            *(write(store, room) for _ in range(20) for store in (deps.store, other))
        )
        assert sorted(given) == list(range(1, 41))
        assert await seqs(deps.store, room) == list(range(1, 41))


async def test_only_the_refused_fails_when_writers_share_a_transaction(deps: Deps) -> None:
    room = await new_room(deps.store)
    post, _ = await deps.store.posts.add(
        community_id=room, author_id=room, content="x", content_format="plain"
    )

    async def comment(post_id: int) -> int:
        added, _ = await deps.store.comments.add(
            community_id=room, post_id=post_id, author_id=room, content="x"
        )
        return added.id

    results = await asyncio.gather(
        *(comment(post.id if number % 3 else 999) for number in range(12)), return_exceptions=True
    )
    refused = [result for result in results if isinstance(result, Gone)]
    assert len(refused) == 4
    written = await deps.store.comments.some([result for result in results if isinstance(result, int)])
    assert len(written) == 8
    again = await deps.store.posts.get(post.id)
    assert again is not None
    assert again.comment_count == 8
    assert await deps.store.database.raw["comments"].count_documents({"post_id": 999}) == 0
    assert await seqs(deps.store, room) == list(range(1, 10))


async def test_nothing_is_written_when_the_work_fails(deps: Deps) -> None:
    room = await new_room(deps.store)

    async def fail(_: object) -> tuple[None, FactDraft]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await deps.store.events.record(room, fail)
    assert await write(deps.store, room) == 1


async def test_nothing_is_written_when_there_is_no_room(deps: Deps) -> None:
    with pytest.raises(Gone):
        await write(deps.store, 12345)
    assert await deps.store.database.raw["posts"].count_documents({"community_id": 12345}) == 0


async def test_old_facts_are_forgotten_beyond_those_that_are_kept(deps: Deps, clock: FakeClock) -> None:
    room = await new_room(deps.store)
    for _ in range(6):
        await write(deps.store, room)
    clock.advance(3600)
    for _ in range(2):
        await write(deps.store, room)
    await deps.store.events.forget(kept=1000, kept_for=timedelta(0))
    assert await seqs(deps.store, room) == [1, 2, 3, 4, 5, 6, 7, 8]
    await deps.store.events.forget(kept=5, kept_for=timedelta(minutes=30))
    assert await seqs(deps.store, room) == [4, 5, 6, 7, 8]
    await deps.store.events.forget(kept=1, kept_for=timedelta(minutes=30))
    assert await seqs(deps.store, room) == [7, 8]
    assert await write(deps.store, room) == 9


async def test_writer_whose_turn_does_not_come_is_told_so_and_writes_nothing(
    deps: Deps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.05)
    room = await new_room(deps.store)
    async with deps.store.database.queues.turn(("room", room)):
        with pytest.raises(StoreUnavailable):
            await write(deps.store, room)
    assert await write(deps.store, room) == 1
    assert await seqs(deps.store, room) == [1]


async def test_reader_whose_turn_does_not_come_is_told_so(
    deps: Deps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.05)
    async with AsyncExitStack() as stack:
        for _ in range(GATE_SIZE):
            await stack.enter_async_context(deps.store.database.gate)
        with pytest.raises(StoreUnavailable):
            await deps.store.users.get(1)
    assert await deps.store.users.get(1) is None
