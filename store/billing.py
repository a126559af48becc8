"""What was heard from the payment service about trainers' payments, object by object, and whose each is.

Facts are merged by the database's own smallest, largest and one-more, which commute; what follows from them is
derived elsewhere, from all of them at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from config.clock import Clock
from store.billing_records import (
    ACCOUNT,
    CHARGE,
    DISPUTE,
    INVOICE,
    SUBSCRIPTION,
    Charge,
    Customer,
    Dispute,
    Fact,
    Invoice,
    Payments,
    Subscription,
)
from store.database import Database, Document, Session
from store.errors import Duplicate


class Billing:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._clock = clock
        self._objects = database.table("billing_objects")
        self._customers = database.table("billing_customers")

    # Facts

    async def merge(self, fact: Fact) -> None:
        """Add a fact to what is known. Atomic; in any order, and however often, facts come to the same."""
        change: dict[str, Any] = {"$setOnInsert": {"kind": fact.kind}}
        if fact.least:
            change["$min"] = dict(fact.least)
        if fact.most:
            change["$max"] = dict(fact.most)
        collected = {"refs": fact.refs, "marks": fact.marks}
        change["$addToSet"] = {name: {"$each": list(found)} for name, found in collected.items()}
        while True:
            try:
                await self._objects.change({"_id": fact.id}, change, upsert=True, fields=["_id"])
            except Duplicate:
                continue  # it was there for the first time at this very moment
            return

    async def trainers_of(self, object_id: str) -> Sequence[int]:
        """Give whose payments change with what is known of an object: nobody while that is not known."""
        found = await self._objects.get({"_id": object_id})
        if found is None:
            return []
        if found["kind"] in {CHARGE, DISPUTE}:
            refs = set(found["refs"])
            charges = await self._with_refs(CHARGE, refs)
            invoices = await self._with_refs(INVOICE, _all_refs(charges, refs))
        else:
            invoices = [found]
        owners = [await self._owner(each) for each in invoices]
        return sorted({each for each in owners if each is not None})

    async def _with_refs(
        self, kind: str, refs: Iterable[str], session: Session | None = None
    ) -> list[Document]:
        where = {"refs": {"$in": sorted(refs)}, "kind": kind}
        return await self._objects.find(where, session=session)

    async def _owner(self, found: Document, session: Session | None = None) -> int | None:
        """By the customer that we made; else by what we wrote on it, or on its subscription."""
        owner = await self._owner_itself(found, session)
        if owner is None and found.get("subscription"):
            subscription = await self._objects.get({"_id": found["subscription"]}, session=session)
            owner = await self._owner_itself(subscription, session) if subscription else None
        return owner

    async def _owner_itself(self, found: Document, session: Session | None) -> int | None:
        customer = found.get("customer")
        row = await self._customers.get({"customer_id": customer}, session=session) if customer else None
        return row["_id"] if row is not None else found.get("user_id")

    async def payments(self, trainer_id: int, session: Session | None = None) -> Payments:
        """Give all that is known of a trainer's payments, with ``session`` as part of that transaction."""
        row = await self._customers.get({"_id": trainer_id}, session=session)
        customer_id = row["customer_id"] if row else None
        mine: list[Mapping[str, object]] = [{"user_id": trainer_id}]
        if customer_id is not None:
            mine.append({"customer": customer_id})
        where: dict[str, object] = {"kind": SUBSCRIPTION, "$or": mine}
        subscriptions = await self._objects.find(where, session=session)
        named = [*mine, {"subscription": {"$in": [each["_id"] for each in subscriptions]}}]
        found = await self._objects.find({"kind": INVOICE, "$or": named}, session=session)
        invoices = [each for each in found if await self._owner(each, session) == trainer_id]
        refs = _all_refs(invoices)
        charges = await self._with_refs(CHARGE, refs, session)
        disputes = await self._with_refs(DISPUTE, _all_refs(charges, refs), session)
        own = [each for each in subscriptions if await self._owner_itself(each, session) == trainer_id]
        return Payments(
            invoices=tuple(Invoice.of(each) for each in invoices),
            charges=tuple(Charge.of(each) for each in charges),
            disputes=tuple(Dispute.of(each) for each in disputes),
            subscriptions=tuple(Subscription.of(each) for each in own),
        )

    async def account_marks(self, stripe_account_id: str | None, session: Session | None) -> frozenset[str]:
        """Give the digests of an account's cards and addresses."""
        where = {"_id": stripe_account_id, "kind": ACCOUNT}
        found = await self._objects.get(where, session=session) if stripe_account_id else None
        return frozenset(found["marks"]) if found else frozenset()

    # Customers

    async def open_customer(self, trainer_id: int, *, email: str) -> Customer:
        """Give a trainer's row, made at the first call; of two calls at once, both get the same one."""
        document = {
            "_id": trainer_id,
            "number": 1,
            "email": email,
            "customer_id": None,
            "created_at": self._clock.now(),
        }
        try:
            await self._customers.insert(document)
        except Duplicate:
            found = await self._customers.get({"_id": trainer_id})
            return Customer.of(found if found is not None else document)
        return Customer.of(document)

    async def customer(self, trainer_id: int) -> Customer | None:
        found = await self._customers.get({"_id": trainer_id})
        return None if found is None else Customer.of(found)

    async def set_customer(self, row: Customer, customer_id: str) -> None:
        """Keep which customer was made for a row; once."""
        await self._customers.update(
            {"_id": row.trainer_id, "number": row.number, "customer_id": None},
            {"$set": {"customer_id": customer_id}},
        )

    async def begin_customer_anew(self, row: Customer, *, email: str) -> None:
        """Use another key, and this address, for the next try: the customer of this one was refused."""
        await self._customers.update(
            {"_id": row.trainer_id, "number": row.number, "customer_id": None},
            {"$set": {"email": email}, "$inc": {"number": 1}},
        )


def _all_refs(found: Sequence[Document], known: Iterable[str] = ()) -> set[str]:
    return {*known, *(ref for each in found for ref in each["refs"])}
