"""The event log: the facts of each room, numbered without holes, in the same transaction as what they tell.

The log is the truth that live delivery is measured against. A fact refers to documents instead of holding
their words, so erasing or deleting those is enough. Turning facts into frames is not done here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Generic, TypeVar

from config.clock import Clock
from store.database import Database, Document, Session
from store.errors import Duplicate, Gone, StoreUnavailable
from store.records import Community, FactDraft, FactRecord

T = TypeVar("T")
Work = Callable[[Session], Awaitable[tuple[T, FactDraft]]]

# How many times a number may be taken by another instance before the writer gives up; each loss means that
# somebody else's fact was written.
MAX_RACES = 50
# How many writers of one room share a transaction. More would hold their posts' documents longer than the wait
# for one more commit costs.
MAX_BATCH = 16


class NumberTaken(Exception):
    """Another instance wrote a fact of this room meanwhile: read the room's head again."""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting(Generic[T]):
    """A writer that waits for its fact."""

    work: Work[T]
    written: "asyncio.Future[tuple[T, FactRecord]]"


class Events:
    """Rooms (``communities``) and their facts (``events``, whose ``_id`` is the pair of room and number).

    Beside the facts lie notices that phones have yet to be told (``store.notices``): no range of numbers holds one.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._communities = database.table("communities")
        self._events = database.table("events")
        self._heads: dict[int, Community] = {}
        self._waiting: dict[int, list[_Waiting[Any]]] = {}

    async def add_community(self, community_id: int, *, epoch: str, session: Session) -> None:
        await self._communities.insert(
            {
                "_id": community_id,
                "kind": "group",
                "epoch": epoch,
                "seq": 0,
                "created_at": self._clock.now(),
            },
            session=session,
        )

    async def record(self, community_id: int, work: Work[T]) -> tuple[T, FactRecord]:
        """Run ``work`` and number its fact, in one transaction; gives what ``work`` gave and the fact.

        Writers of one room queue inside an instance, and those that wait together are written together: one
        commit for up to 16 of them. Facts come back in the order of their numbers. ``work`` may run several
        times. Raises ``Gone`` where the room does not exist, ``StoreUnavailable`` where the queue is too long, and
        whatever ``work`` raises; then nothing of it was written.
        """
        mine = _Waiting(work, asyncio.get_running_loop().create_future())
        waiting = self._waiting.setdefault(community_id, [])
        waiting.append(mine)
        try:
            async with self._database.queues.turn(("room", community_id)):
                # Whoever's turn it is writes for those behind; they find it done when theirs comes, in order.
                if not mine.written.done():
                    batch = waiting[:MAX_BATCH]
                    del waiting[:MAX_BATCH]
                    await self._write_for(community_id, batch)
                if not waiting and self._waiting.get(community_id) is waiting:
                    del self._waiting[community_id]
        except StoreUnavailable:
            # The turn did not come in time; somebody may be writing this one along with theirs just now.
            if mine in waiting:
                waiting.remove(mine)
                raise
        return await mine.written

    async def _write_for(self, community_id: int, batch: Sequence[_Waiting[Any]]) -> None:
        """Write a batch in one transaction, or, where one of it is refused, each in its own."""
        try:
            written = await self._numbered(community_id, [each.work for each in batch])
        except BaseException as error:
            # After any other error nobody knows whether it was written: then it must not be written again.
            if len(batch) == 1 or not isinstance(error, Gone | Duplicate):
                for each in batch:
                    if not each.written.done():  # a waiter that was cancelled takes its future along
                        each.written.set_exception(error)
                        each.written.exception()  # its waiter may be gone
                if not isinstance(error, Exception):
                    raise
                return
            for each in batch:
                await self._write_for(community_id, [each])
            return
        for each, result in zip(batch, written, strict=True):
            if not each.written.done():
                each.written.set_result(result)

    async def _numbered(self, community_id: int, works: Sequence[Work[Any]]) -> list[tuple[Any, FactRecord]]:
        """Do all works and give each its number, in one transaction.

        The numbers are guesses from the last one seen, confirmed by the transaction's last statement, so that
        the room's document is contended between instances only for the time of the commit.
        """
        for _ in range(MAX_RACES):
            head = self._heads.get(community_id) or await self._read_head(community_id)
            try:
                written = await self._database.transact(partial(self._write, head, works))
            except NumberTaken:
                self._heads.pop(community_id, None)
                continue
            except BaseException:
                # The outcome of the last attempt may be unknown: the next writer reads the head again.
                self._heads.pop(community_id, None)
                raise
            self._heads[community_id] = replace(head, seq=head.seq + len(works))
            return written
        raise NumberTaken(f"room {community_id}: {MAX_RACES} numbers in a row were taken")

    async def _write(
        self, head: Community, works: Sequence[Work[Any]], session: Session
    ) -> list[tuple[Any, FactRecord]]:
        written: list[tuple[Any, FactRecord]] = []
        notices: list[Document] = []
        for seq, work in enumerate(works, head.seq + 1):
            found, draft = await work(session)
            written.append((found, self._fact(head, seq, draft)))
            if draft.notice is not None:
                notices.append(dict(draft.notice))
        try:
            await self._events.insert_many(
                [*(_document(fact) for _, fact in written), *notices], session=session
            )
        except Duplicate as error:
            raise NumberTaken from error
        counted = await self._communities.update(
            {"_id": head.id, "epoch": head.epoch, "seq": head.seq},
            {"$inc": {"seq": len(works)}},
            session=session,
        )
        if not counted:
            raise NumberTaken
        return written

    def _fact(self, head: Community, seq: int, draft: FactDraft) -> FactRecord:
        return FactRecord(
            community_id=head.id,
            epoch=head.epoch,
            seq=seq,
            kind=draft.kind,
            post_id=draft.post_id,
            author_id=draft.author_id,
            comment_id=draft.comment_id,
            comment_count=draft.comment_count,
            at=self._clock.now(),
        )

    def saw(self, community_id: int, *, epoch: str, seq: int) -> None:
        """Another instance wrote this fact: the next guess of a number here begins after it."""
        head = self._heads.get(community_id)
        if head is not None and head.epoch == epoch and head.seq < seq:
            self._heads[community_id] = replace(head, seq=seq)

    async def _read_head(self, community_id: int) -> Community:
        head = await self.head(community_id)
        if head is None:
            raise Gone("community")
        return head

    async def head(self, community_id: int) -> Community | None:
        document = await self._communities.get({"_id": community_id})
        return None if document is None else Community.of(document)

    async def heads(self, community_ids: Sequence[int]) -> list[Community]:
        """Give the heads of all these rooms by one query; rooms that do not exist are left out."""
        documents = await self._communities.find({"_id": {"$in": list(community_ids)}})
        return [Community.of(document) for document in documents]

    async def after(self, room: Community, seq: int, *, limit: int) -> list[FactRecord]:
        """Give the facts of ``room`` from ``seq`` itself (where it is kept) up to its head, at most ``limit``."""
        documents = await self._events.find(
            {"_id": {"$gte": _key(room.id, seq), "$lte": _key(room.id, room.seq)}},
            sort=[("_id", 1)],
            limit=limit,
        )
        return [FactRecord.of(document, room.epoch) for document in documents]

    async def forget(self, *, kept: int, kept_for: timedelta) -> int:
        """Delete facts older than ``kept_for`` beyond the last ``kept`` of their room; gives how many."""
        before: datetime = self._clock.now() - kept_for
        forgotten = 0
        for document in await self._communities.find({"seq": {"$gt": kept}}):
            room = Community.of(document)
            forgotten += await self._events.delete_many(
                {
                    "_id": {"$gte": _key(room.id, 0), "$lte": _key(room.id, room.seq - kept)},
                    "at": {"$lt": before},
                }
            )
        return forgotten


def _document(fact: FactRecord) -> Document:
    return {
        "_id": _key(fact.community_id, fact.seq),
        "kind": fact.kind,
        "post_id": fact.post_id,
        "author_id": fact.author_id,
        "comment_id": fact.comment_id,
        "comment_count": fact.comment_count,
        "at": fact.at,
    }


def _key(community_id: int, seq: int) -> dict[str, int]:
    """The ``_id`` of a fact. The order of the fields is part of it: MongoDB compares sub-documents by field."""
    return {"community_id": community_id, "seq": seq}
