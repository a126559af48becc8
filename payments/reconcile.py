"""Settling what was left open, by asking Stripe: after a crash, a lost answer, or a refusal that proves nothing.

At start and every minute in each instance, and whenever somebody asks; a lease keeps them from doing it twice at
once. Nothing here starts a payout.
"""

import logging
from collections.abc import AsyncIterator
from datetime import timedelta

from config.deps import Deps
from payments.gateway import GatewayError
from payments.payouts import fail, may_send, new_lease, reread, send, settle
from store.audit import Initiator
from store.errors import StoreUnavailable
from store.money_records import CLAIMED, Payout
from store.payouts import Lease

log = logging.getLogger("cohort.payouts")

EVERY = timedelta(seconds=60)
# A claim this old that was never sent is nobody's any more: the admin has gone away.
CLAIM_FOR = timedelta(minutes=10)
# From then on Stripe's silence counts: no request with the key can be under way any more.
ABSENT_FROM = timedelta(hours=25)
LOOKS, LOOKS_APART = 3, timedelta(hours=1)
RECONCILER = Initiator(None, "reconciler")


async def reconcile(deps: Deps, payout: Payout, *, by: Initiator) -> Payout:
    """Settle one payout as far as can be known now, and give it as it is then.

    Nothing happens to one that is settled, or that somebody else is working on.
    """
    lease = new_lease(deps)
    taken = await deps.store.payouts.take(payout.id, lease)
    if taken is None:
        return await reread(deps, payout)
    try:
        return await _reconcile(deps, taken, lease, by=by)
    finally:
        await deps.store.payouts.release(payout.id, lease)


async def _reconcile(deps: Deps, payout: Payout, lease: Lease, *, by: Initiator) -> Payout:
    if payout.state == CLAIMED:
        if deps.clock.now() - payout.created_at < CLAIM_FOR:
            return await send(deps, payout, lease, by=by)
        return await fail(deps, payout, "It was never sent to Stripe.", by=by)
    gateway = await deps.gateway()
    try:
        found = await gateway.transfers_of(payout.group)
    except GatewayError as error:
        log.warning("%s: Stripe could not be asked: %s", payout.group, error)
        return payout
    deps.crash_point("reconcile.after_list")
    if found:
        return await settle(deps, payout, found, by=by)
    if may_send(deps, payout):
        return await send(deps, payout, lease, by=by)
    return await _look(deps, payout, by=by)


async def _look(deps: Deps, payout: Payout, *, by: Initiator) -> Payout:
    """Stripe knows nothing of it, and it must not be sent any more: wait until that is proof."""
    now = deps.clock.now()
    if payout.first_sent_at is None or now - payout.first_sent_at < ABSENT_FROM:
        return payout
    if payout.absent_at and now - payout.absent_at[-1] < LOOKS_APART:
        return payout
    looked = await deps.store.payouts.note_absence(payout)
    if looked is None or len(looked.absent_at) < LOOKS:
        return looked or await reread(deps, payout)
    flag = "Stripe never had it, in three looks after 25 hours. Its commissions are free again."
    return await fail(deps, looked, flag, by=by, flag=flag)


async def reconcile_all(deps: Deps, *, by: Initiator) -> AsyncIterator[Payout]:
    """Settle all open payouts, oldest first, and give each as it is then."""
    for payout in await deps.store.payouts.open():
        yield await reconcile(deps, payout, by=by)


async def keep_reconciled(deps: Deps) -> None:
    """Reconcile now, every minute, and whenever the lease of somebody who may have died ends; until cancelled."""
    while True:
        pause = EVERY
        try:
            pause = await _round(deps)
        except StoreUnavailable as error:
            log.warning("payouts were not reconciled: %s", error)
        await deps.clock.sleep(pause.total_seconds())


async def _round(deps: Deps) -> timedelta:
    """Reconcile each open payout; how long the next round can wait."""
    pause = EVERY
    states: dict[str, int] = {}
    for payout in await deps.store.payouts.open():
        settled = payout
        try:
            settled = await reconcile(deps, payout, by=RECONCILER)
        except StoreUnavailable:
            raise
        except Exception:  # a border: one payout that breaks must not keep those behind it open
            log.exception("%s could not be reconciled", payout.group)
        if settled.is_open:
            states[settled.state] = states.get(settled.state, 0) + 1
        if settled.is_open and settled.lease_until is not None:
            pause = min(pause, max(settled.lease_until - deps.clock.now(), timedelta(seconds=1)))
    deps.metrics.show_payouts(states, flagged=len(await deps.store.payouts.flagged()))
    return pause
