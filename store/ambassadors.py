"""Ambassadors' profiles: the code they hand out, what they are promised, and since when.

The person behind a profile is a user of the same id; what a code looks like is decided elsewhere.
"""

from collections.abc import Sequence

from config.clock import Clock
from store.database import Database, Session
from store.money_records import Ambassador


class Ambassadors:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._clock = clock
        self._ambassadors = database.table("ambassadors")

    async def add(
        self, user_id: int, *, referral_code: str, commission_rate: str, session: Session | None = None
    ) -> Ambassador:
        """Add the profile of a user. Raises ``Duplicate("referral_code")`` where the code is taken, and
        ``Duplicate("_id")`` where they have one.
        """
        now = self._clock.now()
        document = {
            "_id": user_id,
            "referral_code": referral_code,
            "commission_rate": commission_rate,
            "is_active": True,
            "terms": [{"since": now, "commission_rate": commission_rate, "is_active": True}],
            "version": 1,
            "created_at": now,
        }
        await self._ambassadors.insert(document, session=session)
        return Ambassador.of(document)

    async def get(self, user_id: int, *, session: Session | None = None) -> Ambassador | None:
        document = await self._ambassadors.get({"_id": user_id}, session=session)
        return None if document is None else Ambassador.of(document)

    async def by_code(self, referral_code: str) -> Ambassador | None:
        document = await self._ambassadors.get({"referral_code": referral_code})
        return None if document is None else Ambassador.of(document)

    async def some(self, user_ids: Sequence[int]) -> dict[int, Ambassador]:
        """Give those of the named ambassadors that exist, by id, in one query."""
        found = await self._ambassadors.find({"_id": {"$in": list(user_ids)}})
        return {each["_id"]: Ambassador.of(each) for each in found}

    async def set_terms(
        self,
        ambassador: Ambassador,
        *,
        commission_rate: str,
        is_active: bool,
        session: Session | None = None,
    ) -> Ambassador | None:
        """Change what an ambassador is promised from now on; None where they have changed since they were read."""
        terms = {"since": self._clock.now(), "commission_rate": commission_rate, "is_active": is_active}
        document = await self._ambassadors.change(
            {"_id": ambassador.id, "version": ambassador.version},
            {
                "$set": {"commission_rate": commission_rate, "is_active": is_active},
                "$push": {"terms": terms},
                "$inc": {"version": 1},
            },
            session=session,
        )
        return None if document is None else Ambassador.of(document)

    async def ids(self, *, is_active: bool | None) -> Sequence[int]:
        """Give the ids of all ambassadors, or of the active or the inactive ones."""
        where: dict[str, object] = {} if is_active is None else {"is_active": is_active}
        found = await self._ambassadors.find(where, fields=["_id"])
        return [each["_id"] for each in found]
