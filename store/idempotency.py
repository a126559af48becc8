"""Answers kept for a day, so that a request that is sent again is answered again instead of done again.

A key is claimed before the work with the id that the work will use; a process that dies in between leaves a
claim that the next try takes over, with the same id, so even then nothing is made twice.
"""

from dataclasses import dataclass
from datetime import timedelta

from config.clock import Clock
from store.database import Database
from store.errors import Duplicate, StoreUnavailable
from store.ids import IdSource

KEPT_FOR = timedelta(hours=24)
# After this a claim whose owner has not answered is somebody's who died; requests are given up much earlier.
CLAIM_FOR = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Claim:
    """The work is the caller's to do; whatever it makes has the id ``reserved_id``."""

    reserved_id: int


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What the first request was answered."""

    status: int
    body: bytes


class UnderWay(Exception):
    """The first request with this key has not been answered yet."""


class KeyReused(Exception):
    """The key was used before, for another request."""


class Idempotency:
    def __init__(self, database: Database, ids: IdSource, clock: Clock) -> None:
        self._ids = ids
        self._clock = clock
        self._answers = database.table("idempotency")

    async def claim(self, key: str, *, user_id: int | None, fingerprint: str) -> Claim | StoredAnswer:
        """Claim ``key`` or give the stored answer. Atomic: of two at once, one gets the claim.

        Raises ``UnderWay`` and ``KeyReused``.
        """
        now = self._clock.now()
        fresh = {
            "_id": key,
            "user_id": user_id,
            "fingerprint": fingerprint,
            "reserved_id": self._ids.new(),
            "claimed_until": now + CLAIM_FOR,
            "status": None,
            "expires_at": now + KEPT_FOR,
        }
        try:
            await self._answers.insert(fresh)
            return Claim(int(str(fresh["reserved_id"])))
        except Duplicate:
            pass
        stored = await self._answers.get({"_id": key})
        if stored is None or stored["expires_at"] <= now:
            # Forgotten between the two calls, or about to be: the day is over.
            await self._answers.delete({"_id": key, "expires_at": {"$lte": now}})
            return await self.claim(key, user_id=user_id, fingerprint=fingerprint)
        if stored["fingerprint"] != fingerprint:
            raise KeyReused
        if stored["status"] is not None:
            return StoredAnswer(stored["status"], stored["body"])
        taken = await self._answers.update(
            {"_id": key, "status": None, "claimed_until": {"$lte": now}},
            {"$set": {"claimed_until": now + CLAIM_FOR}},
        )
        if not taken:
            raise UnderWay
        return Claim(stored["reserved_id"])

    async def settle(self, key: str, *, status: int, body: bytes) -> None:
        """Keep the answer. A claim that has been erased meanwhile stays erased."""
        await self._answers.update({"_id": key, "status": None}, {"$set": {"status": status, "body": body}})

    async def release(self, key: str) -> None:
        """Give a claim back whose work was refused or failed before it changed anything."""
        await self._answers.delete({"_id": key, "status": None})

    async def abandon(self, key: str) -> None:
        """Let the next try take the claim over at once, with the same id: how the first one ended is unknown."""
        change = {"$set": {"claimed_until": self._clock.now()}}
        try:
            await self._answers.update({"_id": key, "status": None}, change)
        except StoreUnavailable:
            pass  # the claim ends by itself
