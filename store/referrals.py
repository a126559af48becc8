"""Referrals: which trainer came by which ambassador, how that stands, and making it so with its commissions.

What a code means, and what a referral and its commissions should be, is decided elsewhere; here it is written, all
of it in one transaction.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter

from config.clock import Clock
from store.ambassadors import Ambassadors
from store.billing import Billing
from store.billing_records import (
    ACTIVE,
    REFERRED,
    Add,
    Known,
    Referral,
    Reverse,
    SetStatus,
    Step,
    Verdict,
)
from store.commissions import Commissions
from store.database import Database, Session
from store.errors import Duplicate, Gone
from store.ids import IdSource
from store.money_records import Commission
from store.pages import Page, PageRequest, read_page
from store.records import TRAINER


@dataclass(frozen=True, slots=True)
class Claimant:
    """A trainer whose referral code nobody has looked at yet."""

    trainer_id: int
    email: str
    referral_code: str
    registered_at: datetime


@dataclass(frozen=True, slots=True)
class ReferralCounts:
    total: int
    active: int


NO_REFERRALS = ReferralCounts(0, 0)


class Referrals:
    def __init__(
        self,
        database: Database,
        *,
        ambassadors: Ambassadors,
        billing: Billing,
        commissions: Commissions,
        ids: IdSource,
        clock: Clock,
    ) -> None:
        self._database = database
        self._ambassadors = ambassadors
        self._billing = billing
        self._commissions = commissions
        self._ids = ids
        self._clock = clock
        self._referrals = database.table("referrals")
        self._users = database.table("users")
        self._entries = database.table("commissions")
        self._accounts = database.table("connect_accounts")

    # The code that somebody registered with

    async def claimants(self, limit: int) -> Sequence[Claimant]:
        """Give some trainers whose referral code nobody has looked at yet."""
        where = {"referral_code": {"$gt": ""}, "role": TRAINER}
        found = await self._users.find(where, limit=limit)
        return [
            Claimant(each["_id"], each.get("email", ""), each["referral_code"], each["created_at"])
            for each in found
        ]

    async def forget_code(self, trainer_id: int) -> None:
        """The code that a trainer registered with has been looked at."""
        await self._users.update({"_id": trainer_id}, {"$unset": {"referral_code": ""}})

    async def add(self, claimant: Claimant, ambassador_id: int) -> Referral:
        """Make the referral of a trainer who has none, and give the one there is."""
        while True:
            document = {
                "_id": self._ids.new(),
                "ambassador_id": ambassador_id,
                "trainer_id": claimant.trainer_id,
                "referral_code": claimant.referral_code,
                "status": REFERRED,
                "subscription_tier": None,
                "flags": [],
                "referred_at": claimant.registered_at,
                "activated_at": None,
                "churned_at": None,
                "version": 1,
            }
            with suppress(Duplicate):
                await self._referrals.insert(document)
                return Referral.of(document)
            found = await self.of_trainer(claimant.trainer_id)
            if found is not None:
                return found

    # What follows from payments

    async def settle(self, trainer_id: int, judge: Callable[[Known], Verdict]) -> Referral | None:
        """Make a trainer's referral and its commissions what ``judge`` says they should be. Atomic.

        None for a trainer whom nobody referred. Of two at once the later one sees what the earlier one wrote:
        both change the referral. ``judge`` may be asked several times.
        """

        async def write(session: Session) -> Referral | None:
            # First of all: whoever else settles it now is told to start again.
            locked = await self._referrals.change(
                {"trainer_id": trainer_id}, {"$inc": {"version": 1}}, session=session
            )
            if locked is None:
                return None
            verdict = judge(await self._known(Referral.of(locked), session))
            for step in verdict.steps:
                await self._take(step, session)
            document = await self._referrals.change(
                {"_id": locked["_id"]},
                {
                    "$set": {
                        "status": verdict.status,
                        "subscription_tier": verdict.subscription_tier,
                        "flags": list(verdict.flags),
                        "activated_at": verdict.activated_at,
                        "churned_at": verdict.churned_at,
                    }
                },
                session=session,
            )
            return None if document is None else Referral.of(document)

        async with self._database.queues.turn(("referral of", trainer_id)):
            return await self._database.transact_anew(write)

    async def _known(self, referral: Referral, session: Session) -> Known:
        ambassador = await self._ambassadors.get(referral.ambassador_id, session=session)
        if ambassador is None:
            raise Gone("ambassador")
        account = await self._accounts.get({"_id": referral.ambassador_id}, session=session)
        entries = await self._entries.find({"referral_id": referral.id}, sort=[("_id", 1)], session=session)
        account_id = account["stripe_account_id"] if account else None
        return Known(
            referral=referral,
            ambassador=ambassador,
            ambassador_marks=await self._billing.account_marks(account_id, session),
            payments=await self._billing.payments(referral.trainer_id, session),
            entries=tuple(Commission.of(each) for each in entries),
        )

    async def _take(self, step: Step, session: Session) -> None:
        match step:
            case Add(draft, is_reversed):
                added = await self._commissions.add(draft, session=session)
                if is_reversed:
                    _must(await self._commissions.reverse(added, session=session))
            case SetStatus(entry, status):
                _must(await self._commissions.hold(entry, status, session=session))
            case Reverse(entry):
                _must(await self._commissions.reverse(entry, session=session))

    # Reading

    async def of_trainer(self, trainer_id: int) -> Referral | None:
        document = await self._referrals.get({"trainer_id": trainer_id})
        return None if document is None else Referral.of(document)

    async def trainers_of(self, ambassador_id: int) -> Sequence[int]:
        """Give the trainers whom an ambassador referred."""
        found = await self._referrals.find({"ambassador_id": ambassador_id}, fields=["trainer_id"])
        return [each["trainer_id"] for each in found]

    async def page(
        self, ambassador_id: int, request: PageRequest, *, status: str | None = None
    ) -> Page[Referral]:
        """Give a page of an ambassador's referrals, newest first, by one indexed query."""
        where: dict[str, object] = {"ambassador_id": ambassador_id}
        if status is not None:
            where["status"] = status
        return await read_page(
            self._referrals, where, request, newest_first=True, record=Referral.of, id_of=attrgetter("id")
        )

    async def counts(self, ambassador_ids: Sequence[int]) -> Mapping[int, ReferralCounts]:
        """Give how many referrals each ambassador has, and how many of them are active, in one query."""
        active = {"$cond": [{"$eq": ["$status", ACTIVE]}, 1, 0]}
        group = {"_id": "$ambassador_id", "total": {"$sum": 1}, "active": {"$sum": active}}
        where = {"ambassador_id": {"$in": list(ambassador_ids)}}
        found = await self._referrals.aggregate([{"$match": where}, {"$group": group}])
        return {each["_id"]: ReferralCounts(each["total"], each["active"]) for each in found}


def _must(written: bool) -> None:  # noqa: FBT001 - it is the only thing there is to say
    """Within one snapshot nothing has changed, or the transaction has failed by itself."""
    if not written:
        raise Gone("commission")
