"""Notices that phones have yet to be told: kept from the transaction of their cause until they are handed over.

Whoever sends one claims it for a while, and writes down what it is about to hand over before it does, so that nothing
is handed over twice. They lie in the event log's collection, beside the facts: a comment's fact and its notice are one
statement (docs/decisions/0025-notices-beside-facts.md). What a notice says, and how it is sent, is not known here.
"""

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from config.clock import Clock
from store.database import Database, Document, Session
from store.errors import Duplicate

# Notices to one person and to a whole group are claimed apart, so that neither waits for the other.
TO_ONE, TO_MANY = "one", "many"
# How long a claim holds. A batch takes less than a minute; whoever takes longer has died, or may not write any more.
CLAIM_FOR = timedelta(minutes=2)
# What tells them from facts, as the index on them says it, too.
IS_NOTICE = {"lane": {"$gt": ""}}


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeDraft:
    """What phones are to be told, before its cause has an id; ``content`` means something to ``push`` alone.

    With ``recipient_id`` it goes to that person, who gets it only while they belong to ``community_id`` (None: in
    any case); without, to all trainees of ``community_id``. ``actor_id`` is whose name is in it.
    """

    recipient_id: int | None
    community_id: int | None
    actor_id: int | None
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingNotice:
    """A notice that somebody has claimed, to hand it over."""

    id: str
    claim: str
    cause: str
    cause_id: int
    recipient_id: int | None
    community_id: int | None
    content: Mapping[str, Any]
    at: datetime
    # Pushes that whoever claimed it before was handing over when it was heard of last; taken or not, nobody knows.
    handing: int
    # To many: everybody with a greater id is still to be told.
    after: int
    # The devices it is still for, after a first try; None: all.
    waiting: tuple[int, ...] | None
    tries: int

    @property
    def walks(self) -> bool:
        """Whether it goes through a whole group, some people at a time."""
        return self.recipient_id is None and self.waiting is None

    @classmethod
    def of(cls, document: Document) -> "PendingNotice":
        return cls(
            id=_name(document["_id"]),
            claim=document["claim"],
            cause=document["cause"],
            cause_id=document["cause_id"],
            recipient_id=document["recipient_id"],
            community_id=document["community_id"],
            content=document["content"],
            at=document["at"],
            handing=document["handing"],
            after=document["after"],
            waiting=None if document["waiting"] is None else tuple(document["waiting"]),
            tries=document["tries"],
        )


class Notices:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._notices = database.table("events")
        self._told = database.table("notices_told")

    def document(self, draft: NoticeDraft, *, cause: str, cause_id: int) -> Document:
        """Give a notice as it is kept; ``cause`` names the collection of what it is about.

        Its id is made of its cause: one is never told twice, and with its cause it is gone.
        """
        now = self._clock.now()
        return {
            "_id": {"community_id": draft.community_id, "notice": f"{cause}:{cause_id}"},
            "cause": cause,
            "cause_id": cause_id,
            "lane": TO_MANY if draft.recipient_id is None else TO_ONE,
            "recipient_id": draft.recipient_id,
            "community_id": draft.community_id,
            "actor_id": draft.actor_id,
            "content": dict(draft.content),
            "at": now,
            "due_at": now,
            "claim": None,
            # Pushes that were about to be handed over by whoever claimed it last, and not accounted for since.
            "handing": 0,
            "after": 0,
            "waiting": None,
            "tries": 0,
        }

    async def add(self, document: Document, *, session: Session) -> None:
        await self._notices.insert(document, session=session)

    async def claim(self, lane: str, *, limit: int) -> list[PendingNotice]:
        """Give up to ``limit`` notices that are due, oldest first; nobody else is given them for two minutes."""
        now = self._clock.now()
        due = await self._notices.find(
            {"lane": lane, "due_at": {"$lte": now}}, sort=[("due_at", 1)], limit=limit, fields=["_id"]
        )
        if not due:
            return []
        claim, ids = secrets.token_hex(8), [each["_id"] for each in due]
        await self._notices.update_many(
            {"_id": {"$in": ids}, "due_at": {"$lte": now}},
            {"$set": {"claim": claim, "due_at": now + CLAIM_FOR}},
        )
        documents = await self._notices.find({"_id": {"$in": ids}, "claim": claim}, sort=[("at", 1)])
        return [PendingNotice.of(document) for document in documents]

    async def caused(self, notices: Sequence[PendingNotice]) -> set[str]:
        """Give the ids of those whose cause is still there: not deleted, nor taken back."""
        wanted: dict[str, list[PendingNotice]] = {}
        for each in notices:
            wanted.setdefault(each.cause, []).append(each)
        found: set[str] = set()
        for cause, group in wanted.items():
            ids = [each.cause_id for each in group]
            there = await self._database.table(cause).find({"_id": {"$in": ids}}, fields=["_id"])
            present = {each["_id"] for each in there}
            found |= {each.id for each in group if each.cause_id in present}
        return found

    async def begin(self, claim: str, counts: Mapping[str, int], *, after: int | None = None) -> set[str]:
        """Write down that so many pushes of each notice are being handed over; gives those that are still ours.

        Whatever happens from here on, these pushes are never handed over again, unless ``postpone`` names them.
        ``after`` is where a notice to many goes on.
        """
        moved = {} if after is None else {"after": after}
        change = {"due_at": self._clock.now() + CLAIM_FOR, **moved}
        written = 0
        for count in set(counts.values()):
            ids = _keys(each for each in counts if counts[each] == count)
            where = {"_id": {"$in": ids}, "claim": claim}
            written += await self._notices.update_many(where, {"$set": {**change, "handing": count}})
        if written == len(counts):
            return set(counts)
        ours = await self._notices.find({"_id": {"$in": _keys(counts)}, "claim": claim}, fields=["_id"])
        return {_name(each["_id"]) for each in ours}

    async def finish(self, claim: str, notice_ids: Collection[str]) -> None:
        """Forget notices of which nothing is left to hand over."""
        await self._notices.delete_many({"_id": {"$in": _keys(notice_ids)}, "claim": claim})

    async def forget(self, *, kept_for: timedelta) -> int:
        """Delete those that nobody has asked for in so long: pushes are not sent at all. Gives how many."""
        return await self._notices.delete_many({**IS_NOTICE, "due_at": {"$lt": self._clock.now() - kept_for}})

    async def erase(self, user_id: int, *, session: Session) -> None:
        """Delete what somebody was to be told, and what others were to be told of them."""
        whose = {"$or": [{"recipient_id": user_id}, {"actor_id": user_id}]}
        await self._notices.delete_many({**IS_NOTICE, **whose}, session=session)

    async def go_on(self, claim: str, notice_id: str) -> None:
        """Give a notice back whose next recipients' turn has come; others that are due come first."""
        await self._change(claim, notice_id, {"due_at": self._clock.now(), "claim": None, "handing": 0})

    async def postpone(self, notice: PendingNotice, waiting: Sequence[int], *, wait: timedelta) -> None:
        """Keep these devices' pushes, which were certainly not taken, for another try.

        Of a walk they become a notice of their own, so that the next people need not wait for them.
        """
        again = {
            "claim": None,
            "handing": 0,
            "waiting": list(waiting),
            "tries": notice.tries + 1,
            "due_at": self._clock.now() + wait,
        }
        if not notice.walks:
            await self._change(notice.claim, notice.id, again)
            return
        document = await self._notices.get({"_id": _key(notice.id), "claim": notice.claim})
        if document is not None:
            # No other part of the walk has these devices.
            await self._notices.insert({**document, **again, "_id": _key(f"{notice.id}:{waiting[0]}")})

    async def _change(self, claim: str, notice_id: str, change: Document) -> None:
        await self._notices.update({"_id": _key(notice_id), "claim": claim}, {"$set": change})

    async def tell_once(self, key: str, notice_id: str, seconds: float) -> float:
        """Give 0 where this notice is the one that is told of ``key``, else the seconds until another may be.

        Atomic over all instances; the same notice may ask again.
        """
        now = self._clock.now()
        free = {"_id": key, "$or": [{"until": {"$lte": now}}, {"notice_id": notice_id}]}
        mine = {"$set": {"notice_id": notice_id, "until": now + timedelta(seconds=seconds)}}
        try:
            await self._told.change(free, mine, upsert=True)
        except Duplicate:
            held = await self._told.get({"_id": key})
            return max(0.001, (held["until"] - now).total_seconds()) if held else seconds
        return 0.0


def _name(key: Mapping[str, Any]) -> str:
    """What a notice is called outside of the database."""
    return f"{key['community_id'] or ''}:{key['notice']}"


def _key(name: str) -> Document:
    """The ``_id`` of a notice. It begins like that of its room's facts, and comes after all of them: a text, no number."""
    community_id, _, notice = name.partition(":")
    return {"community_id": int(community_id) if community_id else None, "notice": notice}


def _keys(names: Iterable[str]) -> list[Document]:
    return [_key(name) for name in names]
