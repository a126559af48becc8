"""The inbox of the payment service's events: each kept once by its id until somebody has dealt with it.

What an event means is not known here. A payload is forgotten as soon as it was dealt with: it names people.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from config.clock import Clock
from store.billing_records import InboxEvent
from store.database import Database
from store.errors import Duplicate

NEW, DONE, STUCK = "new", "done", "stuck"
# The service repeats an event for three days; nobody will send this one again after so long.
KEPT_FOR = timedelta(days=90)
# Whoever took an event and died has had it for so long. Dealing with one takes some milliseconds.
TAKEN_FOR = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class InboxCounts:
    """Events that wait for their turn, and those that wait for a person."""

    waiting: int
    stuck: int


class Inbox:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._clock = clock
        self._events = database.table("inbox")

    async def add(self, event_id: str, *, kind: str, payload: str) -> bool:
        """Keep an event; False where it was here before."""
        now = self._clock.now()
        document = {
            "_id": event_id,
            "kind": kind,
            "payload": payload,
            "state": NEW,
            "attempts": 0,
            "next_at": now,
            "received_at": now,
        }
        try:
            await self._events.insert(document)
        except Duplicate:
            return False
        return True

    async def take(self) -> InboxEvent | None:
        """Take an event whose turn it is, for a minute; None where there is none."""
        now = self._clock.now()
        document = await self._events.change(
            {"state": NEW, "next_at": {"$lte": now}}, {"$set": {"next_at": now + TAKEN_FOR}}
        )
        return None if document is None else InboxEvent.of(document)

    async def finish(self, event: InboxEvent) -> None:
        """It was dealt with."""
        expires_at = self._clock.now() + KEPT_FOR
        await self._events.update(
            {"_id": event.id, "state": NEW},
            {"$set": {"state": DONE, "payload": None, "expires_at": expires_at}},
        )

    async def fail(self, event: InboxEvent, why: str, *, again_at: datetime | None) -> None:
        """It could not be dealt with: to be tried again at a time, or, with None, by a person."""
        change = {"next_at": again_at} if again_at is not None else {"state": STUCK}
        await self._events.update(
            {"_id": event.id, "state": NEW}, {"$set": {**change, "error": why}, "$inc": {"attempts": 1}}
        )

    async def counts(self) -> InboxCounts:
        found = await self._events.aggregate(
            [
                {"$match": {"state": {"$in": [NEW, STUCK]}}},
                {"$group": {"_id": "$state", "count": {"$sum": 1}}},
            ]
        )
        by_state = {each["_id"]: each["count"] for each in found}
        return InboxCounts(waiting=by_state.get(NEW, 0), stuck=by_state.get(STUCK, 0))

    async def stuck(self) -> list[tuple[str, str, str]]:
        """Give the id, the kind and the last error of each event that waits for a person, oldest first."""
        found = await self._events.find({"state": STUCK}, sort=[("received_at", 1)])
        return [(each["_id"], each["kind"], each["error"]) for each in found]

    async def retry_stuck(self) -> int:
        """Let all that wait for a person have their turns again; gives how many."""
        return await self._events.update_many(
            {"state": STUCK}, {"$set": {"state": NEW, "attempts": 0, "next_at": self._clock.now()}}
        )
