"""Commissions: what ambassadors earned, entry by entry, each with its movement in the ledger.

What an entry should say is derived elsewhere; claiming and paying them is the business of ``store.payouts``.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter

from config.clock import Clock
from store.database import Database, Session
from store.ids import IdSource
from store.ledger import EXPENSE, Ledger, payable
from store.money_records import APPROVED, PAID, PENDING, REVERSED, Commission, CommissionDraft
from store.pages import Page, PageRequest, read_page


@dataclass(frozen=True, slots=True)
class Earned:
    """What an ambassador earned in all, and how much of what they will get is not paid yet. Cents."""

    total_cents: int
    unpaid_cents: int


NOTHING_EARNED = Earned(0, 0)


class Commissions:
    def __init__(self, database: Database, ledger: Ledger, ids: IdSource, clock: Clock) -> None:
        self._database = database
        self._ledger = ledger
        self._ids = ids
        self._clock = clock
        self._commissions = database.table("commissions")

    async def add(self, draft: CommissionDraft, *, session: Session) -> Commission:
        """Write an entry and move its cents from expense to payable, as part of a transaction.

        Raises ``Duplicate("kind")`` where this source has an entry of that kind: then the transaction is over.
        """
        commission_id = self._ids.new()
        document = {
            "_id": commission_id,
            "referral_id": draft.referral_id,
            "ambassador_id": draft.ambassador_id,
            "trainer_id": draft.trainer_id,
            "kind": draft.kind,
            "source_id": draft.source_id,
            "commission_rate": draft.commission_rate,
            "base_cents": draft.base_cents,
            "cents": draft.cents,
            "status": draft.status,
            "payout_id": None,
            "period_start": draft.period_start,
            "period_end": draft.period_end,
            "created_at": self._clock.now(),
            "version": 1,
        }
        await self._commissions.insert(document, session=session)
        await self._ledger.post(
            EXPENSE,
            payable(draft.ambassador_id),
            cents=draft.cents,
            kind=draft.kind,
            source_id=str(commission_id),
            session=session,
        )
        return Commission.of(document)

    async def record(self, draft: CommissionDraft) -> Commission:
        """Write one entry in a transaction of its own. Raises ``Duplicate("kind")``."""

        async def write(session: Session) -> Commission:
            return await self.add(draft, session=session)

        return await self._database.transact_anew(write)

    async def hold(self, commission: Commission, status: str, *, session: Session) -> bool:
        """Set the status of an unclaimed entry, of this very version; False where it has changed. For holding
        it (PENDING) and letting it go again (APPROVED); ``reverse`` takes it back.
        """
        return await self._commissions.update(
            {"_id": commission.id, "version": commission.version, "payout_id": None},
            {"$set": {"status": status}, "$inc": {"version": 1}},
            session=session,
        )

    async def reverse(self, commission: Commission, *, session: Session) -> bool:
        """Take an unclaimed entry of this very version back, in the ledger too; False where it has changed."""
        if not await self.hold(commission, REVERSED, session=session):
            return False
        await self._ledger.post(
            payable(commission.ambassador_id),
            EXPENSE,
            cents=commission.cents,
            kind="reversed",
            source_id=str(commission.id),
            session=session,
        )
        return True

    async def get(self, commission_id: int) -> Commission | None:
        document = await self._commissions.get({"_id": commission_id})
        return None if document is None else Commission.of(document)

    async def claimable(self, ambassador_id: int, *, session: Session | None = None) -> Sequence[Commission]:
        """Give what the next payout would pay: approved entries that no payout has claimed, negative ones too."""
        where = {"ambassador_id": ambassador_id, "status": APPROVED, "payout_id": None}
        found = await self._commissions.find(where, sort=[("_id", 1)], session=session)
        return [Commission.of(each) for each in found]

    async def of_payout(self, payout_id: int) -> Sequence[Commission]:
        """Give the entries that a payout has claimed or paid."""
        found = await self._commissions.find({"payout_id": payout_id}, sort=[("_id", 1)])
        return [Commission.of(each) for each in found]

    async def page(self, ambassador_id: int, request: PageRequest) -> Page[Commission]:
        """Give a page of an ambassador's entries, newest first, by one indexed query."""
        where = {"ambassador_id": ambassador_id}
        return await read_page(
            self._commissions, where, request, newest_first=True, record=Commission.of, id_of=attrgetter("id")
        )

    async def payable(self) -> Sequence[tuple[int, int, int]]:
        """Give every ambassador who has something to be paid, or owes: their id, the cents, and of how many entries."""
        found = await self._commissions.aggregate(
            [
                {"$match": {"status": APPROVED, "payout_id": None}},
                {"$group": {"_id": "$ambassador_id", "cents": {"$sum": "$cents"}, "count": {"$sum": 1}}},
                {"$sort": {"_id": 1}},
            ]
        )
        return [(each["_id"], int(each["cents"]), int(each["count"])) for each in found]

    async def scan(self, session: Session | None = None) -> AsyncIterator[Commission]:
        """Walk through all entries: for the audit."""
        async for each in self._commissions.scan({}, session=session):
            yield Commission.of(each)

    async def earned(self, ambassador_ids: Sequence[int]) -> Mapping[int, Earned]:
        """Give what each ambassador earned, less what was taken back, in one query.

        What is held, or cannot be computed, counts as unpaid and not as earned.
        """
        total = {"$cond": [{"$in": ["$status", [APPROVED, PAID]]}, "$cents", 0]}
        unpaid = {"$cond": [{"$in": ["$status", [APPROVED, PENDING]]}, "$cents", 0]}
        found = await self._commissions.aggregate(
            [
                {"$match": {"ambassador_id": {"$in": list(ambassador_ids)}}},
                {"$group": {"_id": "$ambassador_id", "total": {"$sum": total}, "unpaid": {"$sum": unpaid}}},
            ]
        )
        return {each["_id"]: Earned(each["total"], each["unpaid"]) for each in found}

    async def earned_by_month(self, ambassador_id: int, since: datetime) -> Mapping[str, int]:
        """Give the cents earned for each month (``2026-11``) of periods that began at a time or later."""
        where = {
            "ambassador_id": ambassador_id,
            "period_start": {"$gte": since},
            "status": {"$in": [APPROVED, PAID]},
        }
        month = {"$dateToString": {"date": "$period_start", "format": "%Y-%m"}}
        group = {"_id": month, "cents": {"$sum": "$cents"}}
        found = await self._commissions.aggregate([{"$match": where}, {"$group": group}])
        return {each["_id"]: each["cents"] for each in found}

    async def earned_by_referral(self, referral_ids: Sequence[int]) -> Mapping[int, int]:
        """Give the cents earned by each referral, less what was taken back, in one query."""
        where = {"referral_id": {"$in": list(referral_ids)}, "status": {"$in": [APPROVED, PAID]}}
        group = {"_id": "$referral_id", "cents": {"$sum": "$cents"}}
        found = await self._commissions.aggregate([{"$match": where}, {"$group": group}])
        return {each["_id"]: each["cents"] for each in found}

    async def of_months(self, ambassador_id: int, since: datetime, until: datetime) -> Sequence[Commission]:
        """Give the entries whose period began within a span of time, oldest first."""
        where = {"ambassador_id": ambassador_id, "period_start": {"$gte": since, "$lt": until}}
        found = await self._commissions.find(where, sort=[("period_start", 1), ("_id", 1)])
        return [Commission.of(each) for each in found]

    async def newest(self, ambassador_id: int, limit: int) -> Sequence[Commission]:
        """Give an ambassador's newest entries, newest first."""
        where = {"ambassador_id": ambassador_id}
        found = await self._commissions.find(where, sort=[("_id", -1)], limit=limit)
        return [Commission.of(each) for each in found]
