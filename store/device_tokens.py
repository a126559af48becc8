"""Device tokens: by which phones and browsers a person can be reached, one document a device.

A token belongs to whoever registered it last. What is sent to it, and when it is dead, is decided elsewhere.
"""

from collections.abc import Sequence

from config.clock import Clock
from store.database import Database, Document, Session
from store.errors import Duplicate, Gone
from store.ids import IdSource
from store.records import DeviceToken

# Devices a person can have (S42): whoever has more has reinstalled the app; the one unused for longest is let go.
MOST_DEVICES = 20


class DeviceTokens:
    def __init__(self, database: Database, ids: IdSource, clock: Clock) -> None:
        self._database = database
        self._ids = ids
        self._clock = clock
        self._tokens = database.table("device_tokens")
        self._users = database.table("users")

    async def register(self, user_id: int, *, token: str, platform: str) -> tuple[DeviceToken, bool]:
        """Make the token this user's and active; gives it, and whether it was not theirs before. Atomic.

        Whoever had it before has it no more. Beyond 20 devices the one registered longest ago goes, inactive ones
        first. Raises ``Gone`` for an account that is not active any more.
        """
        # Phones register at each start of the app: what is already so costs one write, which no erasure misses.
        fresh = {"platform": platform, "registered_at": self._clock.now()}
        known = await self._tokens.change(
            {"token": token, "user_id": user_id, "is_active": True}, {"$set": fresh}
        )
        if known is not None:
            return DeviceToken.of(known), False

        async def write(session: Session) -> tuple[Document, bool]:
            # Registrations of one person follow each other, and none comes after an erasure. Counting always changes
            # the document; writing what is there already would let two pass at once.
            change = {"$inc": {"device_changes": 1}}
            if not await self._users.update({"_id": user_id, "is_active": True}, change, session=session):
                raise Gone("user")
            own = await self._tokens.change(
                {"token": token, "user_id": user_id}, {"$set": {**fresh, "is_active": True}}, session=session
            )
            if own is not None:
                return own, False
            # A document of its own for each owner: an id never names two people's devices.
            await self._tokens.delete({"token": token}, session=session)
            document = {
                "_id": self._ids.new(),
                "user_id": user_id,
                "token": token,
                "is_active": True,
                **fresh,
            }
            await self._tokens.insert(document, session=session)
            await self._keep_most_recent(user_id, session)
            return document, True

        while True:
            try:
                document, is_new = await self._database.transact(write)
            except Duplicate:
                continue  # somebody else registered it at the same moment, or two ids met: look again
            return DeviceToken.of(document), is_new

    async def _keep_most_recent(self, user_id: int, session: Session) -> None:
        theirs = await self._tokens.find(
            {"user_id": user_id}, fields=["is_active", "registered_at"], session=session
        )
        theirs.sort(key=lambda each: (each["is_active"], each["registered_at"], each["_id"]), reverse=True)
        for each in theirs[MOST_DEVICES:]:
            await self._tokens.delete({"_id": each["_id"]}, session=session)

    async def deactivate(self, user_id: int, token: str) -> None:
        """Mark the user's own token as inactive; one that is unknown or somebody else's stays as it is."""
        await self._tokens.update({"token": token, "user_id": user_id}, {"$set": {"is_active": False}})

    async def bury(self, token_ids: Sequence[int]) -> None:
        """Mark tokens as inactive that will never work again, whoever has them."""
        await self._tokens.update_many({"_id": {"$in": list(token_ids)}}, {"$set": {"is_active": False}})

    async def some(self, token_ids: Sequence[int]) -> list[DeviceToken]:
        """Give those of the named tokens that are active, in the order of owners."""
        documents = await self._tokens.find(
            {"_id": {"$in": list(token_ids)}, "is_active": True}, sort=[("user_id", 1), ("_id", 1)]
        )
        return [DeviceToken.of(document) for document in documents]

    async def active(self, user_ids: Sequence[int], *, limit: int = 0) -> list[DeviceToken]:
        """Give the (first ``limit``, unless 0) active tokens of all these people by one query, in the order of owners."""
        documents = await self._tokens.find(
            {"user_id": {"$in": list(user_ids)}, "is_active": True},
            sort=[("user_id", 1), ("_id", 1)],
            limit=limit,
        )
        return [DeviceToken.of(document) for document in documents]
