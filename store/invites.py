"""Invite codes: made by trainers, used up atomically at registration.

What a code looks like and who may see it is decided elsewhere.
"""

from datetime import datetime
from operator import attrgetter

from config.clock import Clock
from store.database import Database, Session
from store.errors import Duplicate, Gone
from store.ids import IdSource
from store.pages import Page, PageRequest, read_page
from store.records import Invite


class Invites:
    def __init__(self, database: Database, ids: IdSource, clock: Clock) -> None:
        self._ids = ids
        self._clock = clock
        self._invites = database.table("invites")

    async def add(
        self,
        *,
        trainer_id: int,
        code: str,
        expires_at: datetime | None,
        max_uses: int | None,
        invite_id: int | None = None,
    ) -> Invite:
        """Add a code; with ``invite_id``, an id reserved by an earlier try, what that try wrote is given.

        Raises ``Duplicate("code")`` where the code is taken.
        """
        while True:
            document = {
                "_id": invite_id if invite_id is not None else self._ids.new(),
                "trainer_id": trainer_id,
                "code": code,
                "expires_at": expires_at,
                "max_uses": max_uses,
                "uses": 0,
                "revoked_at": None,
                "created_at": self._clock.now(),
            }
            try:
                await self._invites.insert(document)
                return Invite.of(document)
            except Duplicate as error:
                if error.key != "_id":
                    raise
                if invite_id is not None:
                    written = await self._invites.get({"_id": invite_id, "trainer_id": trainer_id})
                    if written is None:
                        raise
                    return Invite.of(written)

    async def use(self, code: str, *, session: Session) -> int:
        """Count one use of a code and give its trainer's id. Raises ``Gone`` where it cannot be used (any more)."""
        now = self._clock.now()
        invite = await self._invites.change(
            {
                "code": code,
                "revoked_at": None,
                "$and": [
                    {"$or": [{"expires_at": None}, {"expires_at": {"$gt": now}}]},
                    {"$or": [{"max_uses": None}, {"$expr": {"$lt": ["$uses", "$max_uses"]}}]},
                ],
            },
            {"$inc": {"uses": 1}},
            session=session,
        )
        if invite is None:
            raise Gone("invite")
        return int(invite["trainer_id"])

    async def page(self, trainer_id: int, request: PageRequest) -> Page[Invite]:
        """Give a page of the trainer's codes, newest first, by one indexed query."""
        where = {"trainer_id": trainer_id}
        return await read_page(
            self._invites, where, request, newest_first=True, record=Invite.of, id_of=attrgetter("id")
        )

    async def revoke(self, invite_id: int, trainer_id: int) -> bool:
        """End a trainer's code; False where they have none of that id. Doing it twice changes nothing."""
        owned = {"_id": invite_id, "trainer_id": trainer_id}
        if await self._invites.update(
            {**owned, "revoked_at": None}, {"$set": {"revoked_at": self._clock.now()}}
        ):
            return True
        return await self._invites.get(owned, fields=["_id"]) is not None

    async def revoke_all(self, trainer_id: int, *, at: datetime, session: Session) -> None:
        await self._invites.update_many(
            {"trainer_id": trainer_id, "revoked_at": None}, {"$set": {"revoked_at": at}}, session=session
        )
