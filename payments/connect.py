"""Ambassadors' accounts at Stripe: making one, proving who one is, and whether it can be paid to.

What is stored is what Stripe said last; the row of an account is there before the account is.
"""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from community.actor import Actor
from community.errors import NotFound
from config.deps import Deps
from payments import connect_state
from payments.errors import AccountRestricted, PaymentRefused, PaymentsUnavailable
from payments.gateway import Account, Gateway, GatewayBusy, GatewayDeclined, GatewayError
from store.money_records import ConnectAccount
from store.records import User

# What Stripe said about an account is believed for so long.
FRESH_FOR = timedelta(minutes=1)
# Two calls at once: the second waits until the first has its answer. Milliseconds.
TRIES, PAUSE_MS = 8, 500
ACCOUNT_DECLINED = "Stripe refused to make an account: {}"


@dataclass(frozen=True, slots=True)
class Onboarding:
    """Where the ambassador proves who they are, and for which account."""

    url: str
    stripe_account_id: str


async def status(deps: Deps, actor: Actor) -> ConnectAccount | None:
    """Give one's own account as it was last seen; None where there is none."""
    row = await deps.store.connect_accounts.get(actor.id)
    return row if row is not None and row.stripe_account_id is not None else None


async def onboard(deps: Deps, user: User, *, base_url: str) -> Onboarding:
    """Give a fresh address where an ambassador goes on with their account, which is made at the first call.

    Of two calls at once both are about the same account. Raises ``PaymentRefused``, ``PaymentsUnavailable`` and
    ``PaymentsNotConfigured``.
    """
    gateway = await deps.gateway()
    row = await deps.store.connect_accounts.open(user.id, email=user.email)
    account_id = row.stripe_account_id or await _make_account(deps, gateway, user, row)
    state = connect_state.sign(deps, user.id)
    try:
        url = await gateway.create_account_link(
            account_id,
            refresh_url=f"{base_url}/api/ambassador/connect/refresh/?state={state}",
            return_url=f"{base_url}/api/ambassador/connect/return/?state={state}",
        )
    except GatewayDeclined as refusal:
        raise PaymentRefused(refusal.message) from refusal
    except GatewayError as error:
        raise PaymentsUnavailable from error
    return Onboarding(url, account_id)


async def _make_account(deps: Deps, gateway: Gateway, user: User, row: ConnectAccount) -> str:
    """Make the account of a row. The key is the row's, so a crash, or somebody at the same time, makes no second."""
    for _ in range(TRIES):
        try:
            account = await gateway.create_account(
                email=row.email,
                ambassador_id=user.id,
                key=f"acct-{user.id}-{row.number}",
            )
        except GatewayDeclined as refusal:
            # Stripe would give this refusal again for this key.
            await deps.store.connect_accounts.begin_anew(row, email=user.email)
            raise PaymentRefused(ACCOUNT_DECLINED.format(refusal.message)) from refusal
        except GatewayBusy:
            pause = timedelta(milliseconds=random.randrange(PAUSE_MS))  # noqa: S311 - a pause, no secret
            await deps.clock.sleep(pause.total_seconds())
            row = await deps.store.connect_accounts.open(user.id, email=user.email)
        except GatewayError as error:
            raise PaymentsUnavailable from error
        else:
            kept = await deps.store.connect_accounts.set_account(row, account.id)
            await _keep(deps, account, deps.clock.now())
            return kept
        if row.stripe_account_id is not None:
            return row.stripe_account_id
    raise PaymentsUnavailable


async def refresh(deps: Deps, ambassador_id: int) -> ConnectAccount:
    """Ask Stripe what the ambassador's account can do, keep it and give it. Raises ``NotFound`` without one."""
    row = await deps.store.connect_accounts.get(ambassador_id)
    if row is None or row.stripe_account_id is None:
        raise NotFound("There is no Stripe account yet.")
    # The time before the question: whatever was heard since is later.
    at = deps.clock.now()
    gateway = await deps.gateway()
    try:
        account = await gateway.get_account(row.stripe_account_id)
    except GatewayDeclined as refusal:
        raise PaymentRefused(refusal.message) from refusal
    except GatewayError as error:
        raise PaymentsUnavailable from error
    return await _keep(deps, account, at) or row


async def payable_account(deps: Deps, ambassador_id: int) -> str:
    """Give the id of the account that an ambassador's money goes to. Raises ``AccountRestricted``."""
    row = await deps.store.connect_accounts.get(ambassador_id)
    if row is None or row.stripe_account_id is None:
        raise AccountRestricted
    is_fresh = row.checked_at is not None and deps.clock.now() - row.checked_at < FRESH_FOR
    if not (is_fresh and row.payouts_enabled):
        row = await refresh(deps, ambassador_id)
    if not row.payouts_enabled or row.stripe_account_id is None:
        raise AccountRestricted
    return row.stripe_account_id


async def apply_account_update(deps: Deps, account: Account, *, at: datetime) -> ConnectAccount | None:
    """Keep what an event of that time says about an account, unless something later is known.

    None for an account that is nobody's here.
    """
    return await _keep(deps, account, at)


async def _keep(deps: Deps, account: Account, at: datetime) -> ConnectAccount | None:
    return await deps.store.connect_accounts.set_abilities(
        account.id,
        charges_enabled=account.charges_enabled,
        payouts_enabled=account.payouts_enabled,
        details_submitted=account.details_submitted,
        at=at,
    )
