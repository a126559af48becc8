"""The event log: the facts of each room, numbered without holes, in the same transaction as what they tell.

The log is the truth that live delivery is measured against. A fact refers to documents instead of holding
their words, so erasing or deleting those is enough. Turning facts into frames is not done here.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from config.clock import Clock
from store.database import Database, Session
from store.errors import Duplicate, Gone
from store.records import Community, FactDraft, FactRecord

T = TypeVar("T")

# How many times a number may be taken by another instance before the writer gives up; each loss means that
# somebody else's fact was written.
MAX_RACES = 50


class NumberTaken(Exception):
    """Another instance wrote a fact of this room meanwhile: read the room's head again."""


class Events:
    """Rooms (``communities``) and their facts (``events``, whose ``_id`` is the pair of room and number)."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._communities = database.table("communities")
        self._events = database.table("events")
        self._heads: dict[int, Community] = {}

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

    async def record(
        self, community_id: int, work: Callable[[Session], Awaitable[tuple[T, FactDraft]]]
    ) -> tuple[T, FactRecord]:
        """Run ``work`` and number its fact, in one transaction; gives what ``work`` gave and the fact.

        Writers of one room wait for each other here inside an instance. The number is a guess from the last
        one seen, confirmed by the transaction's last statement, so that the room's document is contended
        between instances only for the time of the commit. ``work`` may run several times. Raises ``Gone``
        where the room does not exist, and whatever ``work`` raises; then nothing was written.
        """
        async with self._database.queues.turn(("room", community_id)):
            for _ in range(MAX_RACES):
                head = self._heads.get(community_id) or await self._read_head(community_id)
                try:
                    found, fact = await self._database.transact(partial(self._write, head, work))
                except NumberTaken:
                    self._heads.pop(community_id, None)
                    continue
                except BaseException:
                    # The outcome of the last attempt may be unknown: the next writer reads the head again.
                    self._heads.pop(community_id, None)
                    raise
                self._heads[community_id] = Community(
                    id=community_id, epoch=fact.epoch, seq=fact.seq, created_at=head.created_at
                )
                return found, fact
        raise NumberTaken(f"room {community_id}: {MAX_RACES} numbers in a row were taken")

    async def _write(
        self,
        head: Community,
        work: Callable[[Session], Awaitable[tuple[T, FactDraft]]],
        session: Session,
    ) -> tuple[T, FactRecord]:
        found, draft = await work(session)
        fact = FactRecord(
            community_id=head.id,
            epoch=head.epoch,
            seq=head.seq + 1,
            kind=draft.kind,
            post_id=draft.post_id,
            author_id=draft.author_id,
            comment_id=draft.comment_id,
            comment_count=draft.comment_count,
            at=self._clock.now(),
        )
        try:
            await self._events.insert(
                {
                    "_id": {"community_id": fact.community_id, "seq": fact.seq},
                    "kind": fact.kind,
                    "post_id": fact.post_id,
                    "author_id": fact.author_id,
                    "comment_id": fact.comment_id,
                    "comment_count": fact.comment_count,
                    "at": fact.at,
                },
                session=session,
            )
        except Duplicate as error:
            raise NumberTaken from error
        counted = await self._communities.update(
            {"_id": head.id, "epoch": head.epoch, "seq": head.seq}, {"$inc": {"seq": 1}}, session=session
        )
        if not counted:
            raise NumberTaken
        return found, fact

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


def _key(community_id: int, seq: int) -> dict[str, int]:
    """The ``_id`` of a fact. The order of the fields is part of it: MongoDB compares sub-documents by field."""
    return {"community_id": community_id, "seq": seq}
