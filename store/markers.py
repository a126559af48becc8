"""Marks of long pieces of work on the whole database: begun when, and done or not.

They let whoever starts next see that a process died in the middle. What the work is, is not known here.
"""

from dataclasses import dataclass
from datetime import datetime

from config.clock import Clock
from store.database import Database, Document
from store.errors import Duplicate


@dataclass(frozen=True, slots=True)
class Marker:
    """``done_at`` is None while the work is under way, or was left half done."""

    name: str
    begun_at: datetime
    done_at: datetime | None

    @classmethod
    def of(cls, document: Document) -> "Marker":
        return cls(name=document["_id"], begun_at=document["begun_at"], done_at=document["done_at"])


class Markers:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._clock = clock
        self._markers = database.table("markers")

    async def get(self, name: str) -> Marker | None:
        document = await self._markers.get({"_id": name})
        return None if document is None else Marker.of(document)

    async def begin(self, name: str) -> Marker:
        """Mark the work as begun now, and give the mark; of two at once both are given the first one's."""
        document = {"_id": name, "begun_at": self._clock.now(), "done_at": None}
        try:
            await self._markers.insert(document)
        except Duplicate:
            earlier = await self.get(name)
            if earlier is None:
                raise
            return earlier
        return Marker.of(document)

    async def finish(self, name: str) -> None:
        """Mark the work as done; a second time changes nothing."""
        await self._markers.update({"_id": name, "done_at": None}, {"$set": {"done_at": self._clock.now()}})
