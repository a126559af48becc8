"""Log-ins: one document a device, whose refresh token changes with each use.

Tokens are not made here; only their digests arrive, so whoever reads the database can use none of them.
"""

from datetime import datetime

from config.clock import Clock
from store.database import Database
from store.records import SessionRecord, User


class Sessions:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._clock = clock
        self._sessions = database.table("sessions")

    async def add(
        self, *, session_id: str, user_id: int, refresh_digest: str, at: datetime, expires_at: datetime
    ) -> SessionRecord:
        document = {
            "_id": session_id,
            "user_id": user_id,
            "generation": 1,
            "refresh_digest": refresh_digest,
            "previous_digest": None,
            "rotated_at": at,
            "created_at": at,
            "expires_at": expires_at,
            "revoked_at": None,
        }
        await self._sessions.insert(document)
        return SessionRecord.of(document)

    async def get(self, session_id: str) -> SessionRecord | None:
        document = await self._sessions.get({"_id": session_id})
        return None if document is None else SessionRecord.of(document)

    async def with_user(self, session_id: str) -> tuple[SessionRecord, User] | None:
        """Give a session that has not ended and its owner, if active, by one round trip."""
        found = await self._sessions.aggregate(
            [
                {"$match": {"_id": session_id, "revoked_at": None, "expires_at": {"$gt": self._clock.now()}}},
                {"$lookup": {"from": "users", "localField": "user_id", "foreignField": "_id", "as": "owner"}},
                {"$match": {"owner.is_active": True}},
            ]
        )
        if not found:
            return None
        return SessionRecord.of(found[0]), User.of(found[0]["owner"][0])

    async def rotate(
        self, session: SessionRecord, *, digest: str, fresh_digest: str, at: datetime, expires_at: datetime
    ) -> SessionRecord | None:
        """Put ``fresh_digest`` in the place of ``digest`` and count the generation up.

        A compare-and-set: None when the token is not the newest of its family (any more), or the family ended.
        """
        document = await self._sessions.change(
            {
                "_id": session.id,
                "generation": session.generation,
                "refresh_digest": digest,
                "revoked_at": None,
                "expires_at": {"$gt": at},
            },
            {
                "$set": {
                    "refresh_digest": fresh_digest,
                    "previous_digest": digest,
                    "rotated_at": at,
                    "expires_at": expires_at,
                },
                "$inc": {"generation": 1},
            },
        )
        return None if document is None else SessionRecord.of(document)

    async def rotated_from(self, session_id: str, digest: str) -> SessionRecord | None:
        """Give the family as it is now if ``digest`` is the immediate predecessor of its newest token."""
        document = await self._sessions.get(
            {"_id": session_id, "previous_digest": digest, "revoked_at": None}
        )
        return None if document is None else SessionRecord.of(document)

    async def revoke(self, session_id: str) -> bool:
        """End a family; False when it had ended, or never was."""
        return await self._sessions.update(
            {"_id": session_id, "revoked_at": None}, {"$set": {"revoked_at": self._clock.now()}}
        )
