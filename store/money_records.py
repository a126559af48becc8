"""What the store gives out about money: frozen records, made from documents in one place.

Cents are integers and rates decimal text. How a record looks to a client, and what an amount should be, is not
decided here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from store.audit import Initiator

Document = Mapping[str, Any]

# A commission. PENDING cannot be computed (it has 0 cents) or is held by an open dispute: it is not paid out.
APPROVED, PENDING, PAID, REVERSED = "APPROVED", "PENDING", "PAID", "REVERSED"
COMMISSION_STATUSES = (APPROVED, PENDING, PAID, REVERSED)
COMMISSION, ADJUSTMENT, REVERSAL, RESTORATION = "commission", "adjustment", "reversal", "restoration"
COMMISSION_KINDS = (COMMISSION, ADJUSTMENT, REVERSAL, RESTORATION)

# A payout. Outside, the open ones are all `pending`.
CLAIMED, SENDING, UNKNOWN, COMPLETED, FAILED = "CLAIMED", "SENDING", "UNKNOWN", "COMPLETED", "FAILED"
OPEN_STATES = (CLAIMED, SENDING, UNKNOWN)


@dataclass(frozen=True, slots=True)
class Terms:
    """What an ambassador was promised from ``since`` on."""

    since: datetime
    commission_rate: str
    is_active: bool

    @classmethod
    def of(cls, document: Document) -> "Terms":
        return cls(document["since"], document["commission_rate"], document["is_active"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Ambassador:
    """An ambassador's profile; the person is the user of the same id. ``version`` counts the changes."""

    id: int
    referral_code: str
    commission_rate: str
    is_active: bool
    # Oldest first; the last ones are those in force.
    terms: tuple[Terms, ...]
    version: int
    created_at: datetime

    def terms_at(self, at: datetime) -> Terms:
        """Give the terms that were in force at a time; before the first ones, the first."""
        return next((each for each in reversed(self.terms) if each.since <= at), self.terms[0])

    @classmethod
    def of(cls, document: Document) -> "Ambassador":
        return cls(
            id=document["_id"],
            referral_code=document["referral_code"],
            commission_rate=document["commission_rate"],
            is_active=document["is_active"],
            terms=tuple(Terms.of(each) for each in document["terms"]),
            version=document["version"],
            created_at=document["created_at"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CommissionDraft:
    """One entry of what an ambassador earned or owes back, before it is written.

    ``source_id`` names its cause (an invoice, a refund, a dispute), once for each ``kind``.
    """

    referral_id: int
    ambassador_id: int
    trainer_id: int
    kind: str
    source_id: str
    commission_rate: str
    base_cents: int
    cents: int
    status: str
    period_start: datetime
    period_end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Commission(CommissionDraft):
    """An entry as it was written. ``cents`` (signed) never change; ``version`` counts changes of its state.

    The ledger holds its cents from the beginning until it is REVERSED. It is claimed while it is APPROVED and
    has a ``payout_id``.
    """

    id: int
    payout_id: int | None
    created_at: datetime
    version: int

    @classmethod
    def of(cls, document: Document) -> "Commission":
        return cls(
            id=document["_id"],
            referral_id=document["referral_id"],
            ambassador_id=document["ambassador_id"],
            trainer_id=document["trainer_id"],
            kind=document["kind"],
            source_id=document["source_id"],
            commission_rate=document["commission_rate"],
            base_cents=document["base_cents"],
            cents=document["cents"],
            status=document["status"],
            payout_id=document.get("payout_id"),
            period_start=document["period_start"],
            period_end=document["period_end"],
            created_at=document["created_at"],
            version=document["version"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """So many cents (more than none) from one account of the ledger to another, once for (kind, source id)."""

    source: str
    target: str
    cents: int
    kind: str
    source_id: str
    at: datetime

    @classmethod
    def of(cls, document: Document) -> "Movement":
        return cls(
            source=document["from"],
            target=document["to"],
            cents=document["cents"],
            kind=document["kind"],
            source_id=document["source_id"],
            at=document["at"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectAccount:
    """An ambassador's account at Stripe, as far as it is known; ``stripe_account_id`` None: being made.

    ``number`` and ``email`` are what the account is (or will be) made with, so that a second try is the same one.
    """

    ambassador_id: int
    number: int
    email: str
    stripe_account_id: str | None
    charges_enabled: bool
    payouts_enabled: bool
    details_submitted: bool
    checked_at: datetime | None
    created_at: datetime

    @property
    def onboarding_completed(self) -> bool:
        return self.details_submitted and self.payouts_enabled

    @classmethod
    def of(cls, document: Document) -> "ConnectAccount":
        return cls(
            ambassador_id=document["_id"],
            number=document["number"],
            email=document["email"],
            stripe_account_id=document.get("stripe_account_id"),
            charges_enabled=document["charges_enabled"],
            payouts_enabled=document["payouts_enabled"],
            details_submitted=document["details_submitted"],
            checked_at=document["checked_at"],
            created_at=document["created_at"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Payout:
    """One payment to one ambassador, of exactly the commissions that carry its id. ``version`` counts its states."""

    id: int
    ambassador_id: int
    state: str
    version: int
    cents: int
    commission_ids: tuple[int, ...]
    destination: str
    currency: str
    initiator: Initiator
    transfer_id: str | None
    error_message: str | None
    # Whether a request may have reached Stripe whose outcome nobody knows.
    is_unclear: bool
    first_sent_at: datetime | None
    # When Stripe was asked and knew nothing of it, at 25 h and later.
    absent_at: tuple[datetime, ...]
    reversed_cents: int
    # Why a person should look at it.
    flag: str | None
    lease_until: datetime | None
    created_at: datetime
    settled_at: datetime | None

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES

    @property
    def group(self) -> str:
        """Its name at Stripe: the idempotency key, and the transfer group."""
        return f"payout-{self.id}"

    @classmethod
    def of(cls, document: Document) -> "Payout":
        return cls(
            id=document["_id"],
            ambassador_id=document["ambassador_id"],
            state=document["state"],
            version=document["version"],
            cents=document["cents"],
            commission_ids=tuple(document["commission_ids"]),
            destination=document["destination"],
            currency=document["currency"],
            initiator=Initiator(document["user_id"], document["origin"]),
            transfer_id=document["transfer_id"],
            error_message=document["error_message"],
            is_unclear=document["is_unclear"],
            first_sent_at=document["first_sent_at"],
            absent_at=tuple(document["absent_at"]),
            reversed_cents=document["reversed_cents"],
            flag=document["flag"],
            lease_until=document["lease_until"],
            created_at=document["created_at"],
            settled_at=document["settled_at"],
        )
