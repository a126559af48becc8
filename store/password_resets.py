"""Links to set a password: kept as digests, used once, forgotten by the database when they expire."""

from datetime import datetime

from config.clock import Clock
from store.database import Database, Session


class PasswordResets:
    """Nothing but digests is stored here; making and mailing links is done elsewhere."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._clock = clock
        self._resets = database.table("password_resets")

    async def add(
        self, *, digest: str, user_id: int, expires_at: datetime, session: Session | None = None
    ) -> None:
        document = {"_id": digest, "user_id": user_id, "expires_at": expires_at}
        await self._resets.insert(document, session=session)

    async def exists(self, *, digest: str, user_id: int) -> bool:
        """Whether the link is this user's and still good."""
        where = {"_id": digest, "user_id": user_id, "expires_at": {"$gt": self._clock.now()}}
        return await self._resets.get(where, fields=["_id"]) is not None
