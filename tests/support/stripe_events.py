"""Stripe's events for tests, in the older and the newer shape of its objects, and signed as Stripe signs them.

Which events make up a history is each test's own business.
"""

import json
import secrets
from datetime import datetime, timedelta
from typing import Any

from payments.inbox import sign

Object = dict[str, Any]

WEBHOOK_SECRET = "whsec_of_tests"
TIERS = "pro=price_pro:129.00, team=price_team:299.01"
OLDER, NEWER = "older", "newer"


def seconds(at: datetime) -> int:
    return int(at.timestamp())


def event(kind: str, found: Object, at: datetime, *, name: str = "", account: str | None = None) -> Object:
    """One event of test money."""
    return {
        "id": name or f"evt_{secrets.token_hex(8)}",
        "object": "event",
        "type": kind,
        "created": seconds(at),
        "livemode": False,
        "data": {"object": found},
        **({"account": account} if account is not None else {}),
    }


def invoice(
    name: str,
    cents: int,
    at: datetime,
    *,
    customer: str = "cus_1",
    subscription: str | None = "sub_1",
    start: datetime | None = None,
    days: int = 30,
    shape: str = NEWER,
    currency: str = "usd",
    user_id: int | None = None,
    address: Object | None = None,
) -> Object:
    """A paid invoice; its period begins when it is paid, unless told otherwise. It is paid by ``pi_<name>``."""
    start = start or at
    period = {"start": seconds(start), "end": seconds(start + timedelta(days=days))}
    metadata = {} if user_id is None else {"user_id": str(user_id)}
    found: Object = {
        "id": name,
        "object": "invoice",
        "customer": customer,
        "amount_paid": cents,
        "currency": currency,
        "status": "paid",
        # As Stripe has it: of the usage, which is the period before.
        "period_start": seconds(start - timedelta(days=days)),
        "period_end": seconds(start),
        "status_transitions": {"paid_at": seconds(at)},
        "customer_address": address,
    }
    if shape == OLDER:
        line: Object = {"period": period, "proration": False, "subscription": subscription}
        payment: Object = {"charge": f"ch_{name}", "payment_intent": f"pi_{name}"}
        details: Object = {"subscription": subscription, "subscription_details": {"metadata": metadata}}
    else:
        item = {"proration": False, "subscription": subscription}
        line = {"period": period, "parent": {"subscription_item_details": item}}
        paid_by = {"type": "payment_intent", "payment_intent": f"pi_{name}"}
        payment = {"payments": {"data": [{"payment": paid_by}]}}
        about = {"subscription": subscription, "metadata": metadata}
        details = {"parent": {"type": "subscription_details", "subscription_details": about}}
    return {**found, **payment, **details, "lines": {"data": [line]}}


def charge(
    invoice_name: str, refunded: int = 0, *, card: str | None = None, address: Object | None = None
) -> Object:
    """What paid an invoice, of which so many cents went back in all."""
    return {
        "id": f"ch_{invoice_name}",
        "object": "charge",
        "payment_intent": f"pi_{invoice_name}",
        "amount_refunded": refunded,
        "payment_method_details": {"card": {"fingerprint": card}},
        "billing_details": {"address": address},
    }


def dispute(invoice_name: str, status: str, cents: int, *, number: int = 1) -> Object:
    return {
        "id": f"dp_{invoice_name}_{number}",
        "object": "dispute",
        "charge": f"ch_{invoice_name}",
        "payment_intent": f"pi_{invoice_name}",
        "status": status,
        "amount": cents,
    }


def subscription(
    name: str = "sub_1",
    *,
    status: str = "active",
    price: str = "price_pro",
    customer: str = "cus_1",
    user_id: int | None = None,
    ended_at: datetime | None = None,
    period_end: datetime | None = None,
    is_ending: bool = False,
) -> Object:
    return {
        "id": name,
        "object": "subscription",
        "customer": customer,
        "status": status,
        "metadata": {} if user_id is None else {"user_id": str(user_id)},
        "cancel_at_period_end": is_ending,
        "ended_at": None if ended_at is None else seconds(ended_at),
        "items": {
            "data": [
                {
                    "price": {"id": price},
                    "current_period_end": None if period_end is None else seconds(period_end),
                }
            ]
        },
    }


def body_of(found: Object) -> bytes:
    return json.dumps(found).encode()


def signature(body: bytes, at: datetime, *, secret: str = WEBHOOK_SECRET) -> str:
    """The header with which Stripe sends a body."""
    stamp = str(seconds(at))
    return f"t={stamp},v1={sign(secret, stamp, body)}"
