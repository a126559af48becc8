"""Payouts: every state of a payment is written here first, together with its commissions and its movements.

Each method is one compare-and-set or one transaction. When to take which step, and what the payment service said,
is the business of ``payments.payouts`` and ``payments.reconcile``.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter

from config.clock import Clock
from store.audit import Audit, AuditDraft, Initiator
from store.commissions import Commissions
from store.database import Database, Session
from store.errors import Gone
from store.ids import IdSource
from store.ledger import SUSPENSE, Ledger, in_flight, paid, payable
from store.money_records import (
    APPROVED,
    CLAIMED,
    COMPLETED,
    FAILED,
    PAID,
    SENDING,
    UNKNOWN,
    Payout,
)
from store.pages import Page, PageRequest, read_page


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a payout until a time. It saves work; what is safe never depends on it."""

    owner: str
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimDraft:
    """A payout before it is known what it pays."""

    ambassador_id: int
    destination: str
    currency: str
    initiator: Initiator
    lease: Lease
    payout_id: int | None = None


class Payouts:
    def __init__(
        self,
        database: Database,
        *,
        commissions: Commissions,
        ledger: Ledger,
        audit: Audit,
        ids: IdSource,
        clock: Clock,
    ) -> None:
        self._database = database
        self._commissions = commissions
        self._ledger = ledger
        self._audit = audit
        self._ids = ids
        self._clock = clock
        self._payouts = database.table("payouts")
        self._entries = database.table("commissions")
        self._days = database.table("payout_days")

    # One payout from claim to settlement

    async def claim(
        self,
        draft: ClaimDraft,
        *,
        judge: Callable[[int, int], None],
        before_commit: Callable[[], None],
    ) -> Payout:
        """Claim all that an ambassador can be paid, for a new payout that is not sent yet. Atomic.

        ``judge`` hears the sum and what the day's payouts come to with it, and raises to refuse. Raises
        ``Duplicate("ambassador_id")`` where the ambassador has an open payout.
        """

        async def write(session: Session) -> Payout:
            now = self._clock.now()
            entries = await self._commissions.claimable(draft.ambassador_id, session=session)
            cents = sum(each.cents for each in entries)
            day = day_of(now)
            so_far = await self._days.get({"_id": day}, session=session)
            judge(cents, cents + (so_far["cents"] if so_far else 0))
            document = {
                "_id": draft.payout_id if draft.payout_id is not None else self._ids.new(),
                "ambassador_id": draft.ambassador_id,
                "state": CLAIMED,
                "is_open": True,
                "version": 1,
                "cents": cents,
                "commission_ids": [each.id for each in entries],
                "destination": draft.destination,
                "currency": draft.currency,
                "user_id": draft.initiator.user_id,
                "origin": draft.initiator.origin,
                "transfer_id": None,
                "error_message": None,
                "is_unclear": False,
                "first_sent_at": None,
                "absent_at": [],
                "reversed_cents": 0,
                "flag": None,
                "lease_owner": draft.lease.owner,
                "lease_until": draft.lease.until,
                "created_at": now,
                "settled_at": None,
            }
            await self._payouts.insert(document, session=session)
            payout = Payout.of(document)
            await self._tag(payout, session)
            await self._days.change({"_id": day}, {"$inc": {"cents": cents}}, upsert=True, session=session)
            await self._move(payout, payable(payout.ambassador_id), in_flight(payout.id), "claim", session)
            await self._note(payout, "payout.claimed", draft.initiator, session)
            before_commit()
            return payout

        # All claims of a day meet on one document: within a process they queue instead of trying again.
        async with self._database.queues.turn("payouts of a day"):
            if draft.payout_id is None:
                return await self._database.transact_anew(write)
            return await self._database.transact(write)

    async def _tag(self, payout: Payout, session: Session) -> None:
        tagged = await self._entries.update_many(
            {"_id": {"$in": list(payout.commission_ids)}, "status": APPROVED, "payout_id": None},
            {"$set": {"payout_id": payout.id}, "$inc": {"version": 1}},
            session=session,
        )
        _same(tagged, payout)

    async def begin_send(self, payout: Payout, lease: Lease) -> Payout | None:
        """Say, before the payment service hears of it, that it may have. None where the payout has changed."""
        return await self._set(
            payout,
            {
                "state": SENDING,
                "first_sent_at": payout.first_sent_at or self._clock.now(),
                "is_unclear": True,
                "lease_owner": lease.owner,
                "lease_until": lease.until,
            },
        )

    async def set_unknown(
        self, payout: Payout, *, is_unclear: bool, error_message: str | None
    ) -> Payout | None:
        """Say that nobody knows (yet) whether it was paid; the lease ends. None where the payout has changed."""
        changes = {"state": UNKNOWN, "is_unclear": is_unclear, "error_message": error_message}
        return await self._set(payout, {**changes, "lease_until": None})

    async def note_absence(self, payout: Payout) -> Payout | None:
        """Keep that the payment service knew nothing of it just now. None where the payout has changed."""
        return await self._set(
            payout, {"state": UNKNOWN, "absent_at": [*payout.absent_at, self._clock.now()]}
        )

    async def flag(self, payout: Payout, why: str) -> Payout | None:
        """Ask for a person. None where the payout has changed."""
        return await self._set(payout, {"flag": why})

    async def complete(
        self, payout: Payout, transfer_id: str, *, by: Initiator, before_commit: Callable[[], None]
    ) -> Payout | None:
        """It is paid, and its commissions are. Atomic; None where the payout has changed."""

        async def write(session: Session) -> Payout | None:
            settled = await self._set(
                payout,
                {
                    **self._closed(COMPLETED),
                    "transfer_id": transfer_id,
                    "is_unclear": False,
                    "error_message": None,
                    "flag": None,
                },
                session=session,
            )
            if settled is None:
                return None
            paid_now = await self._entries.update_many(
                {"payout_id": payout.id, "status": APPROVED},
                {"$set": {"status": PAID}, "$inc": {"version": 1}},
                session=session,
            )
            _same(paid_now, payout)
            await self._move(payout, in_flight(payout.id), paid(payout.destination), "payout", session)
            await self._note(settled, "payout.completed", by, session)
            before_commit()
            return settled

        return await self._database.transact_anew(write)

    async def fail(
        self,
        payout: Payout,
        message: str,
        *,
        by: Initiator,
        flag: str | None = None,
        before_commit: Callable[[], None],
    ) -> Payout | None:
        """It is not paid and never will be: its commissions are free again. Atomic; None where it has changed."""

        async def write(session: Session) -> Payout | None:
            changes = {**self._closed(FAILED), "error_message": message, "is_unclear": False, "flag": flag}
            settled = await self._set(payout, changes, session=session)
            if settled is None:
                return None
            freed = await self._entries.update_many(
                {"payout_id": payout.id, "status": APPROVED},
                {"$set": {"payout_id": None}, "$inc": {"version": 1}},
                session=session,
            )
            _same(freed, payout)
            await self._days.update(
                {"_id": day_of(payout.created_at)}, {"$inc": {"cents": -payout.cents}}, session=session
            )
            await self._move(payout, in_flight(payout.id), payable(payout.ambassador_id), "release", session)
            await self._note(settled, "payout.failed", by, session)
            before_commit()
            return settled

        return await self._database.transact_anew(write)

    async def record_reversal(self, payout: Payout, reversed_cents: int, *, by: Initiator) -> Payout | None:
        """So much of what was paid has come back in all: it waits for a person. Atomic; None where it has changed.

        Nothing happens where as much, or more, was known already.
        """
        if reversed_cents <= payout.reversed_cents:
            return payout

        async def write(session: Session) -> Payout | None:
            flag = "The transfer was reversed."
            changed = await self._set(
                payout, {"reversed_cents": reversed_cents, "flag": flag}, session=session
            )
            if changed is None:
                return None
            await self._ledger.post(
                paid(payout.destination),
                SUSPENSE,
                cents=reversed_cents - payout.reversed_cents,
                kind="transfer_reversal",
                source_id=f"{payout.group}-{reversed_cents}",
                session=session,
            )
            await self._note(changed, "payout.reversed", by, session)
            return changed

        return await self._database.transact_anew(write)

    def _closed(self, state: str) -> Mapping[str, object]:
        return {"state": state, "is_open": False, "lease_until": None, "settled_at": self._clock.now()}

    async def _set(
        self, payout: Payout, changes: Mapping[str, object], *, session: Session | None = None
    ) -> Payout | None:
        """The compare-and-set of all changes: of the very state and version that was read."""
        document = await self._payouts.change(
            {"_id": payout.id, "state": payout.state, "version": payout.version},
            {"$set": dict(changes), "$inc": {"version": 1}},
            session=session,
        )
        return None if document is None else Payout.of(document)

    async def _move(self, payout: Payout, source: str, target: str, kind: str, session: Session) -> None:
        await self._ledger.post(
            source, target, cents=payout.cents, kind=kind, source_id=payout.group, session=session
        )

    async def _note(self, payout: Payout, action: str, by: Initiator, session: Session) -> None:
        details = {
            "ambassador_id": payout.ambassador_id,
            "cents": payout.cents,
            "transfer_id": payout.transfer_id,
            "error_message": payout.error_message,
            "reversed_cents": payout.reversed_cents,
        }
        draft = AuditDraft(by, action, payout_subject(payout.id), details)
        await self._audit.add(draft, session=session)

    # Leases

    async def take(self, payout_id: int, lease: Lease) -> Payout | None:
        """Take the lease of an open payout; None where somebody has it, or it is not open (any more)."""
        now = self._clock.now()
        document = await self._payouts.change(
            {
                "_id": payout_id,
                "is_open": True,
                "$or": [{"lease_until": None}, {"lease_until": {"$lte": now}}],
            },
            {"$set": {"lease_owner": lease.owner, "lease_until": lease.until}},
        )
        return None if document is None else Payout.of(document)

    async def renew(self, payout_id: int, lease: Lease) -> bool:
        """Keep a lease until a later time; False where somebody else has taken it."""
        return await self._payouts.update(
            {"_id": payout_id, "is_open": True, "lease_owner": lease.owner},
            {"$set": {"lease_until": lease.until}},
        )

    async def release(self, payout_id: int, lease: Lease) -> None:
        """Give a lease back, if it is still held."""
        await self._payouts.update(
            {"_id": payout_id, "lease_owner": lease.owner}, {"$set": {"lease_until": None}}
        )

    # Reading

    async def get(self, payout_id: int) -> Payout | None:
        document = await self._payouts.get({"_id": payout_id})
        return None if document is None else Payout.of(document)

    async def open_of(self, ambassador_id: int) -> Payout | None:
        document = await self._payouts.get({"ambassador_id": ambassador_id, "is_open": True})
        return None if document is None else Payout.of(document)

    async def open(self) -> Sequence[Payout]:
        """Give all open payouts, oldest first."""
        found = await self._payouts.find({"is_open": True}, sort=[("_id", 1)])
        return [Payout.of(each) for each in found]

    async def page(self, ambassador_id: int, request: PageRequest) -> Page[Payout]:
        """Give a page of an ambassador's payouts, newest first, by one indexed query."""
        where = {"ambassador_id": ambassador_id}
        return await read_page(
            self._payouts, where, request, newest_first=True, record=Payout.of, id_of=attrgetter("id")
        )

    async def flagged(self) -> Sequence[Payout]:
        """Give those that a person should look at, by what they say."""
        found = await self._payouts.find({"flag": {"$gt": ""}}, sort=[("flag", 1), ("_id", 1)])
        return [Payout.of(each) for each in found]

    async def days(self, session: Session | None = None) -> dict[str, int]:
        """Give what the payouts of each day (UTC) come to, failed ones left out, as it is kept for the limit."""
        return {each["_id"]: each["cents"] for each in await self._days.find({}, session=session)}

    async def scan(self, session: Session | None = None) -> AsyncIterator[Payout]:
        """Walk through all payouts: for the audit."""
        async for each in self._payouts.scan({}, session=session):
            yield Payout.of(each)


def payout_subject(payout_id: int) -> str:
    """Its name in the audit trail."""
    return f"payout:{payout_id}"


def day_of(at: datetime) -> str:
    """The day that a payout counts for."""
    return at.date().isoformat()


def _same(count: int, payout: Payout) -> None:
    """A payout and its commissions change together, or the transaction is given up. Raises ``Gone``."""
    if count != len(payout.commission_ids):
        raise Gone("commissions")
