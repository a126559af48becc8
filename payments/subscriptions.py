"""Trainers' subscriptions: paying for one at Stripe's Checkout, what is known of it, and where it is changed.

Stripe keeps the subscription; its events tell what became of it (``payments.stripe_events``). No card is seen here.
"""

from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime

from community.actor import Actor
from community.errors import Invalid
from config.deps import Deps
from config.tiers import Tier
from payments.derivation import latest_subscription
from payments.errors import AlreadySubscribed, NoSubscription, PaymentRefused, PaymentsUnavailable
from payments.gateway import Gateway, GatewayDeclined, GatewayError
from store.records import User

# In which somebody is, or will be, asked for money. The others are over, or never began.
GOING_ON = frozenset({"trialing", "active", "past_due", "unpaid", "paused"})
NONE, ENDED = "none", "canceled"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A trainer's subscription as Stripe's events told it; ``status`` is Stripe's word, or "none"."""

    status: str
    tier: Tier | None
    current_period_end: datetime | None
    cancel_at_period_end: bool


async def state(deps: Deps, trainer_id: int) -> State:
    """Give what is known of a trainer's subscription."""
    payments = await deps.store.billing.payments(trainer_id)
    latest = latest_subscription(payments.subscriptions)
    if latest is None:
        return State(status=NONE, tier=None, current_period_end=None, cancel_at_period_end=False)
    tiers = {tier.price_id: tier for tier in deps.settings.subscription_tiers}
    return State(
        status=latest.status or NONE if latest.ended_at is None else ENDED,
        tier=tiers.get(latest.price or ""),
        current_period_end=latest.period_end,
        cancel_at_period_end=latest.is_ending,
    )


async def check_out(deps: Deps, actor: Actor, *, tier: str, base_url: str) -> str:
    """Give an address where the trainer subscribes to a tier; their customer at Stripe is made at the first call.

    Raises ``Invalid``, ``AlreadySubscribed``, ``PaymentRefused``, ``PaymentsUnavailable``, ``PaymentsNotConfigured``.
    """
    wanted = next((each for each in deps.settings.subscription_tiers if each.name == tier), None)
    if wanted is None:
        raise Invalid({"tier": [f'"{tier}" is not a valid choice.']})
    gateway = await deps.gateway()
    if (await state(deps, actor.id)).status in GOING_ON:
        raise AlreadySubscribed
    customer_id = await _customer(deps, gateway, actor.user)
    return await _in_our_words(
        gateway.create_checkout(
            customer_id, price_id=wanted.price_id, user_id=actor.id, back_url=_back(base_url)
        )
    )


async def portal(deps: Deps, actor: Actor, *, base_url: str) -> str:
    """Give an address where the trainer sees bills, and changes or ends the subscription. Raises as ``check_out``,
    and ``NoSubscription`` for somebody who never began one.
    """
    gateway = await deps.gateway()
    row = await deps.store.billing.customer(actor.id)
    if row is None or row.customer_id is None:
        raise NoSubscription
    return await _in_our_words(gateway.create_portal(row.customer_id, back_url=_back(base_url)))


async def _customer(deps: Deps, gateway: Gateway, user: User) -> str:
    """Give the trainer's customer. The key is its row's, so a crash, or a second click, makes no second one."""
    row = await deps.store.billing.open_customer(user.id, email=user.email)
    if row.customer_id is not None:
        return row.customer_id
    try:
        customer_id = await gateway.create_customer(
            # Only what is on the row: the same key must bring the same request.
            email=row.email,
            name=f"Trainer {user.id}",
            user_id=user.id,
            key=f"cus-{user.id}-{row.number}",
        )
    except GatewayDeclined as refusal:
        # Stripe would give this refusal again for this key.
        await deps.store.billing.begin_customer_anew(row, email=user.email)
        raise PaymentRefused(refusal.message) from refusal
    except GatewayError as error:
        raise PaymentsUnavailable from error
    await deps.store.billing.set_customer(row, customer_id)
    kept = await deps.store.billing.customer(user.id)
    return kept.customer_id or customer_id if kept is not None else customer_id


async def _in_our_words(call: Awaitable[str]) -> str:
    try:
        return await call
    except GatewayDeclined as refusal:
        raise PaymentRefused(refusal.message) from refusal
    except GatewayError as error:
        raise PaymentsUnavailable from error


def _back(base_url: str) -> str:
    return f"{base_url}/subscription"
