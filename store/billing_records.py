"""What is known of a trainer's payments, as frozen records: facts as they come, and what they add up to.

A fact only ever says the least, the most or one more of something, so that facts may come in any order, and twice,
and add up to the same. Where facts come from, and what follows from them, is decided elsewhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from store.money_records import Ambassador, Commission, CommissionDraft

Document = Mapping[str, Any]

INVOICE, CHARGE, DISPUTE, SUBSCRIPTION, ACCOUNT = "invoice", "charge", "dispute", "subscription", "account"

# How far a dispute has come; what is later counts. An inquiry, in which no money moves, is none.
NO_DISPUTE, DISPUTE_OPEN, DISPUTE_LOST, DISPUTE_WON = 0, 1, 2, 3

# A referral.
REFERRED, ACTIVE, CHURNED = "PENDING", "ACTIVE", "CHURNED"
REFERRAL_STATUSES = (REFERRED, ACTIVE, CHURNED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something heard about one object of the payment service.

    Of ``least`` the smallest that was ever said is kept, of ``most`` the largest; ``refs`` (ids of payments that
    belong to it) and ``marks`` (digests of cards and addresses) are collected.
    """

    kind: str
    id: str
    least: Mapping[str, object] = field(default_factory=dict)
    most: Mapping[str, object] = field(default_factory=dict)
    refs: Sequence[str] = ()
    marks: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """``refs`` are its own id and those of what paid it."""

    id: str
    subscription: str | None
    refs: frozenset[str]
    marks: frozenset[str]
    paid_at: datetime | None
    cents: int
    currency: str | None
    period_start: datetime | None
    period_end: datetime | None

    @classmethod
    def of(cls, document: Document) -> "Invoice":
        get = document.get
        return cls(
            id=document["_id"],
            subscription=get("subscription"),
            refs=frozenset(get("refs", ())),
            marks=frozenset(get("marks", ())),
            paid_at=get("paid_at"),
            cents=get("cents", 0),
            currency=get("currency"),
            period_start=get("period_start"),
            period_end=get("period_end"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """``refunded_cents`` of it went back to the payer."""

    id: str
    refs: frozenset[str]
    marks: frozenset[str]
    refunded_cents: int

    @classmethod
    def of(cls, document: Document) -> "Charge":
        get = document.get
        return cls(
            id=document["_id"],
            refs=frozenset(get("refs", ())),
            marks=frozenset(get("marks", ())),
            refunded_cents=get("refunded_cents", 0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """The payer's bank wants ``cents`` back; ``rank`` says how far that has come."""

    id: str
    refs: frozenset[str]
    rank: int
    cents: int

    @classmethod
    def of(cls, document: Document) -> "Dispute":
        get = document.get
        return cls(
            id=document["_id"],
            refs=frozenset(get("refs", ())),
            rank=get("rank", NO_DISPUTE),
            cents=get("cents", 0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """``status``, ``price``, ``period_end`` and ``is_ending`` are those of the latest event; an end is for good."""

    id: str
    ended_at: datetime | None
    said_at: datetime | None
    status: str | None
    price: str | None
    period_end: datetime | None
    is_ending: bool

    @classmethod
    def of(cls, document: Document) -> "Subscription":
        state = document.get("state", {})
        return cls(
            id=document["_id"],
            ended_at=document.get("ended_at"),
            said_at=state.get("at"),
            status=state.get("status"),
            price=state.get("price"),
            period_end=state.get("period_end"),
            is_ending=state.get("is_ending", False),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """A trainer as the payment service knows them; ``customer_id`` None: being made.

    ``number`` and ``email`` are what it is (or will be) made with, so that a second try is the same one.
    """

    trainer_id: int
    number: int
    email: str
    customer_id: str | None

    @classmethod
    def of(cls, document: Document) -> "Customer":
        return cls(
            trainer_id=document["_id"],
            number=document["number"],
            email=document["email"],
            customer_id=document.get("customer_id"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Payments:
    """All that is known of one trainer's payments."""

    invoices: tuple[Invoice, ...] = ()
    charges: tuple[Charge, ...] = ()
    disputes: tuple[Dispute, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Referral:
    """A trainer who registered with an ambassador's code. ``flags`` ask an admin to look."""

    id: int
    ambassador_id: int
    trainer_id: int
    referral_code: str
    status: str
    subscription_tier: str | None
    flags: tuple[str, ...]
    referred_at: datetime
    activated_at: datetime | None
    churned_at: datetime | None
    version: int

    @classmethod
    def of(cls, document: Document) -> "Referral":
        return cls(
            id=document["_id"],
            ambassador_id=document["ambassador_id"],
            trainer_id=document["trainer_id"],
            referral_code=document["referral_code"],
            status=document["status"],
            subscription_tier=document["subscription_tier"],
            flags=tuple(document["flags"]),
            referred_at=document["referred_at"],
            activated_at=document["activated_at"],
            churned_at=document["churned_at"],
            version=document["version"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Everything that follows from nothing else: what a referral and its commissions are derived from."""

    referral: Referral
    ambassador: Ambassador
    ambassador_marks: frozenset[str]
    payments: Payments
    entries: tuple[Commission, ...]


@dataclass(frozen=True, slots=True)
class Add:
    """Write an entry; with ``is_reversed`` take it back at once, so that it is there to be seen."""

    draft: CommissionDraft
    is_reversed: bool = False


@dataclass(frozen=True, slots=True)
class SetStatus:
    entry: Commission
    status: str


@dataclass(frozen=True, slots=True)
class Reverse:
    entry: Commission


Step = Add | SetStatus | Reverse


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a referral should say, and the steps to make its commissions what they should be."""

    status: str
    subscription_tier: str | None
    flags: tuple[str, ...]
    activated_at: datetime | None
    churned_at: datetime | None
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxEvent:
    """An event as it came: ``payload`` is its JSON."""

    id: str
    payload: str
    attempts: int

    @classmethod
    def of(cls, document: Document) -> "InboxEvent":
        return cls(id=document["_id"], payload=document["payload"], attempts=document["attempts"])
