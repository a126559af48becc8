"""Reading Stripe's events: what each says about invoices, charges, disputes and subscriptions, as facts that commute.

Older and newer shapes of Stripe's objects are both understood here, and nowhere else has to know them. What follows
from a fact is not decided here.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from store.billing_records import (
    ACCOUNT,
    CHARGE,
    DISPUTE,
    DISPUTE_LOST,
    DISPUTE_OPEN,
    DISPUTE_WON,
    INVOICE,
    NO_DISPUTE,
    SUBSCRIPTION,
    Fact,
)
from store.ids import MAX_ID

Object = Mapping[str, Any]

INVOICE_EVENTS = frozenset({"invoice.paid", "invoice.payment_succeeded"})
RANKS = {
    "needs_response": DISPUTE_OPEN,
    "under_review": DISPUTE_OPEN,
    "lost": DISPUTE_LOST,
    "won": DISPUTE_WON,
    "prevented": DISPUTE_WON,
}
USER_ID = re.compile(r"[1-9][0-9]{0,15}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event, checked as far as every event is alike. ``account`` is the connected account it happened in."""

    id: str
    kind: str
    created: datetime
    account: str | None
    livemode: bool
    object: Object


def event_of(document: object) -> Event:
    """Read an event. Raises ``ValueError`` for anything else."""
    if not isinstance(document, Mapping):
        raise ValueError("not an object")  # noqa: TRY004 - what came from outside is wrong, not we
    data = document.get("data")
    found = data.get("object") if isinstance(data, Mapping) else None
    account = document.get("account")
    if not isinstance(found, Mapping) or not (account is None or isinstance(account, str)):
        raise ValueError("not an event")
    return Event(
        id=_text(document.get("id")),
        kind=_text(document.get("type")),
        created=_time(document.get("created")),
        account=account,
        livemode=document.get("livemode") is True,
        object=found,
    )


def facts_of(event: Event) -> Sequence[Fact]:
    """Give what an event says; nothing for those that are not about trainers' payments.

    Raises ``ValueError`` for one that is, and cannot be read. What happens in somebody else's account is never
    about our invoices, whatever it says.
    """
    found = event.object
    if event.kind == "account.updated":
        return [_account(found)]
    if event.account is not None:
        return []
    if event.kind in INVOICE_EVENTS:
        return [_invoice(event, found)]
    if event.kind == "invoice_payment.paid":
        return [_invoice_payment(found)]
    if event.kind == "checkout.session.completed":
        return _checkout(found)
    if event.kind.startswith("customer.subscription."):
        return [_subscription(event, found)]
    if event.kind.startswith("charge.dispute."):
        return [_dispute(found)]
    if event.kind.startswith("charge.") and found.get("object") == "charge":
        return [_charge(found)]
    return []


# Objects


def _invoice(event: Event, found: Object) -> Fact:
    lines = _items(found.get("lines"))
    details = _at(found, "parent", "subscription_details") or found.get("subscription_details")
    subscription = found.get("subscription") or _at(details, "subscription")
    line_subscriptions = (_line_subscription(line) for line in lines)
    start, end = _period(found, lines)
    paid_at = _at(found, "status_transitions", "paid_at")
    least: dict[str, object] = {
        "paid_at": event.created if paid_at is None else _time(paid_at),
        "period_start": start,
    }
    most: dict[str, object] = {
        "cents": _cents(found.get("amount_paid")),
        "currency": _text(found.get("currency")).lower(),
        "period_end": end,
        **_owner(found, details),
    }
    if subscription_id := _id(subscription) or next(filter(None, line_subscriptions), None):
        most["subscription"] = subscription_id
    payments = (each.get("payment") for each in _items(found.get("payments")))
    paid_by = [_payment_refs(payment) for payment in payments] + [_payment_refs(found)]
    own_id = _text(found.get("id"))
    return Fact(
        kind=INVOICE,
        id=own_id,
        least=least,
        most=most,
        refs=[own_id, *(ref for refs in paid_by for ref in refs)],
        marks=_address_marks(found.get("customer_address")),
    )


def _period(found: Object, lines: Sequence[Object]) -> tuple[datetime, datetime]:
    """The span that is paid for: that of the lines, less those that only make up for a change in mid-period.

    An invoice's own period is that of its usage, which is the one before.
    """
    regular = [line for line in lines if not _is_proration(line)]
    periods = [line["period"] for line in regular or lines if isinstance(line.get("period"), Mapping)]
    if not periods:
        periods = [{"start": found.get("period_start"), "end": found.get("period_end")}]
    starts = [_time(each.get("start")) for each in periods]
    return min(starts), max(_time(each.get("end")) for each in periods)


def _is_proration(line: Object) -> bool:
    newer = _at(line, "parent", "subscription_item_details", "proration")
    return line.get("proration") is True or newer is True


def _line_subscription(line: Object) -> str | None:
    newer = _at(line, "parent", "subscription_item_details", "subscription")
    return _id(line.get("subscription")) or _id(newer)


def _invoice_payment(found: Object) -> Fact:
    invoice_id = _id(found.get("invoice"))
    return Fact(
        kind=INVOICE,
        id=_text(invoice_id),
        refs=[_text(invoice_id), *_payment_refs(found.get("payment"))],
    )


def _checkout(found: Object) -> list[Fact]:
    subscription_id = _id(found.get("subscription"))
    if subscription_id is None:
        return []
    return [Fact(kind=SUBSCRIPTION, id=subscription_id, most=_owner(found, None))]


def _subscription(event: Event, found: Object) -> Fact:
    items = _items(found.get("items"))
    item = items[0] if items else {}
    period_end = item.get("current_period_end") or found.get("current_period_end")
    # What is compared comes first, so that the latest event's state is the largest.
    state = {
        "at": event.created,
        "event": event.id,
        "status": _text(found.get("status")),
        "price": _id(item.get("price")) or _id(found.get("plan")),
        "period_end": None if period_end is None else _time(period_end),
        "is_ending": found.get("cancel_at_period_end") is True,
    }
    least: dict[str, object] = {}
    if event.kind == "customer.subscription.deleted":
        ended_at = found.get("ended_at") or found.get("canceled_at")
        least["ended_at"] = event.created if ended_at is None else _time(ended_at)
    return Fact(
        kind=SUBSCRIPTION,
        id=_text(found.get("id")),
        least=least,
        most={"state": state, **_owner(found, None)},
    )


def _charge(found: Object) -> Fact:
    own_id = _text(found.get("id"))
    card = _at(found, "payment_method_details", "card", "fingerprint")
    return Fact(
        kind=CHARGE,
        id=own_id,
        most={"refunded_cents": _cents(found.get("amount_refunded") or 0)},
        refs=[own_id, *_payment_refs(found), *_ids([found.get("invoice")])],
        marks=[*_card_marks([card]), *_address_marks(_at(found, "billing_details", "address"))],
    )


def _dispute(found: Object) -> Fact:
    return Fact(
        kind=DISPUTE,
        id=_text(found.get("id")),
        most={
            "rank": RANKS.get(_text(found.get("status")), NO_DISPUTE),
            "cents": _cents(found.get("amount")),
        },
        refs=_payment_refs(found),
    )


def _account(found: Object) -> Fact:
    cards = [each.get("fingerprint") for each in _items(found.get("external_accounts"))]
    addresses = [
        _at(found, "individual", "address"),
        _at(found, "company", "address"),
        _at(found, "business_profile", "support_address"),
    ]
    marks = [mark for address in addresses for mark in _address_marks(address)]
    return Fact(kind=ACCOUNT, id=_text(found.get("id")), marks=[*_card_marks(cards), *marks])


# Their parts


def _owner(found: Object, details: object) -> dict[str, object]:
    """Who it belongs to, by Stripe's customer and by what we wrote on it."""
    owner: dict[str, object] = {}
    customer = _id(found.get("customer"))
    if customer is not None:
        owner["customer"] = customer
    for place in (found, details):
        user_id = _at(place, "metadata", "user_id")
        if isinstance(user_id, str) and USER_ID.fullmatch(user_id) and int(user_id) <= MAX_ID:
            owner["user_id"] = int(user_id)
            break
    return owner


def _payment_refs(found: object) -> list[str]:
    if not isinstance(found, Mapping):
        return []
    return _ids([found.get("charge"), found.get("payment_intent")])


def _ids(values: Iterable[object]) -> list[str]:
    return [found for each in values if (found := _id(each)) is not None]


def _id(value: object) -> str | None:
    """The id of an object, which is there as a whole or by its id."""
    if isinstance(value, Mapping):
        value = value.get("id")
    return value if isinstance(value, str) and value else None


def _at(value: object, *names: str) -> Any:
    for name in names:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def _items(listed: object) -> Sequence[Object]:
    found = _at(listed, "data")
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _card_marks(fingerprints: Iterable[object]) -> list[str]:
    return [_mark("card", each) for each in fingerprints if isinstance(each, str) and each]


def _address_marks(address: object) -> list[str]:
    """A digest of an address that names a street; two spellings in letters of other size are one."""
    names = ("line1", "line2", "postal_code", "city", "country")
    parts = [" ".join(str(_at(address, name) or "").casefold().split()) for name in names]
    return [_mark("address", "\n".join(parts))] if parts[0] else []


def _mark(kind: str, said: str) -> str:
    return f"{kind}:{hashlib.sha256(said.encode()).hexdigest()[:32]}"


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} is no text")
    return value


def _cents(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_ID:
        raise ValueError(f"{value!r} is no number of cents")
    return value


def _time(value: object) -> datetime:
    # Up to the year 2286: enough, and within what every part of the system can hold.
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 10**10:
        raise ValueError(f"{value!r} is no time")
    return datetime.fromtimestamp(value, UTC)
