"""Paying an ambassador exactly once: check, claim, send, settle.

Before Stripe hears of a payout, its record says so; whatever happens after that, the record is settled by what
Stripe says. What was left open is taken up by ``payments.reconcile``. docs/payouts.md tells it for operators.
"""

import logging
import random
import secrets
from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from config.deps import Deps
from payments.errors import NothingToPay, PayoutLimitReached, TotalChanged
from payments.gateway import (
    Gateway,
    GatewayBusy,
    GatewayDeclined,
    GatewayUnknown,
    Transfer,
    TransferOrder,
)
from payments.money import amount_text
from store.audit import Initiator
from store.money_records import FAILED, Payout
from store.payouts import ClaimDraft, Lease

log = logging.getLogger("cohort.payouts")

# Longer than one call to Stripe can take (35 s); it is renewed before each.
LEASE_FOR = timedelta(seconds=40)
# How long a busy Stripe is asked again, with the same key, while an admin waits.
TRY_FOR = timedelta(seconds=25)
# Milliseconds: random pauses of up to the first, doubling to the second.
PAUSE_MS, LONGEST_PAUSE_MS = 500, 5_000
# Stripe forgets keys after 24 h; a request after that would be another transfer.
SEND_FOR = timedelta(hours=20)


def new_lease(deps: Deps, owner: str | None = None) -> Lease:
    return Lease(owner or secrets.token_hex(8), deps.clock.now() + LEASE_FOR)


async def claim(
    deps: Deps,
    by: Initiator,
    *,
    ambassador_id: int,
    destination: str,
    expected_cents: int | None,
    lease: Lease,
    payout_id: int | None = None,
) -> Payout:
    """Claim all that the ambassador can be paid. Atomic; Stripe is not asked.

    Raises ``NothingToPay``, ``TotalChanged``, ``PayoutLimitReached``, and ``Duplicate`` where a payout is open.
    """

    def judge(cents: int, day_cents: int) -> None:
        if cents <= 0:
            raise NothingToPay
        if expected_cents is not None and expected_cents != cents:
            raise TotalChanged(cents)
        _check_limits(deps, cents, day_cents)

    payout = await deps.store.payouts.claim(
        ClaimDraft(
            ambassador_id=ambassador_id,
            destination=destination,
            currency=deps.settings.currency,
            initiator=by,
            lease=lease,
            payout_id=payout_id,
        ),
        judge=judge,
        before_commit=partial(deps.crash_point, "claim.before_commit"),
    )
    deps.crash_point("claim.after_commit")
    return payout


def _check_limits(deps: Deps, cents: int, day_cents: int) -> None:
    one, all_of_a_day = deps.settings.payout_limit_cents, deps.settings.payout_daily_limit_cents
    if one is not None and cents > one:
        said = f"This payout of {amount_text(cents)} is over the limit of {amount_text(one)} (PAYOUT_LIMIT)."
        raise PayoutLimitReached(said)
    if all_of_a_day is not None and day_cents > all_of_a_day:
        limit = amount_text(all_of_a_day)
        raise PayoutLimitReached(f"Today's payouts would be over the limit of {limit} (PAYOUT_DAILY_LIMIT).")


async def send(deps: Deps, payout: Payout, lease: Lease, *, by: Initiator) -> Payout:
    """Have Stripe make the transfer, for the first time or once more with the same key, and settle.

    Gives the payout as it is then: completed, failed, or open where nobody knows. Somebody else may have been
    faster at any step; then theirs counts.
    """
    gateway = await deps.gateway()
    sending = await deps.store.payouts.begin_send(payout, lease)
    if sending is None:
        return await reread(deps, payout)
    deps.crash_point("send.after_cas")
    attempts = _Attempts(deps, sending, lease, is_unclear=payout.is_unclear)
    try:
        transfer = await attempts.run(gateway)
    except GatewayDeclined as refusal:
        if not attempts.is_unclear:
            return await fail(deps, sending, refusal.message, by=by)
        # An earlier request with this key may have gone through, whatever was said to this one.
        return await _give_up(deps, sending, is_unclear=True, why=refusal.message)
    except (GatewayBusy, GatewayUnknown) as trouble:
        log.warning("%s: outcome unknown: %s", sending.group, trouble)
        return await _give_up(deps, sending, is_unclear=attempts.is_unclear, why=None)
    deps.crash_point("send.after_response")
    return await settle(deps, sending, [transfer], by=by)


class _Attempts:
    """One transfer, asked for until there is an answer that is not "busy", or the time is over."""

    def __init__(self, deps: Deps, payout: Payout, lease: Lease, *, is_unclear: bool) -> None:
        self.is_unclear = is_unclear
        self._deps = deps
        self._payout = payout
        self._lease = lease
        self._order = TransferOrder(
            cents=payout.cents,
            currency=payout.currency,
            destination=payout.destination,
            group=payout.group,
            payout_id=payout.id,
        )

    async def run(self, gateway: Gateway) -> Transfer:
        """Raises what the last attempt raised."""
        clock = self._deps.clock
        deadline, longest_ms = clock.now() + TRY_FOR, PAUSE_MS
        while True:
            try:
                return await gateway.create_transfer(
                    self._order,
                    key=self._payout.group,
                    written=partial(self._deps.crash_point, "send.after_request_written"),
                )
            except GatewayUnknown:
                self.is_unclear = True
                raise
            except GatewayBusy as busy:
                self.is_unclear = self.is_unclear or not busy.is_clear
                pause = timedelta(milliseconds=random.randrange(longest_ms))  # noqa: S311 - a pause, no secret
                if clock.now() + pause >= deadline:
                    raise
                longest_ms = min(2 * longest_ms, LONGEST_PAUSE_MS)
                await clock.sleep(pause.total_seconds())
                if not await self._may_go_on():
                    raise

    async def _may_go_on(self) -> bool:
        if not may_send(self._deps, self._payout):
            return False
        return await self._deps.store.payouts.renew(self._payout.id, new_lease(self._deps, self._lease.owner))


def may_send(deps: Deps, payout: Payout) -> bool:
    """Whether Stripe still remembers the key for certain."""
    return payout.first_sent_at is None or deps.clock.now() - payout.first_sent_at < SEND_FOR


async def settle(deps: Deps, payout: Payout, transfers: Sequence[Transfer], *, by: Initiator) -> Payout:
    """Make the record say what Stripe says: it has these transfers (one or more) for this payout.

    Completed where it is the one that was ordered. Anything else is left open, or failed, as it is: for a person.
    """
    transfer = transfers[0]
    wrong = _wrong(payout, transfers)
    while payout.is_open and wrong is None:
        completed = await deps.store.payouts.complete(
            payout,
            transfer.id,
            by=by,
            before_commit=partial(deps.crash_point, "final.before_commit"),
        )
        deps.crash_point("final.after_commit")
        # Whoever changed it meanwhile did not know of the transfer.
        payout = completed or await reread(deps, payout)
    if payout.state == FAILED:
        wrong = wrong or f"It failed, and Stripe has {transfer.id} for it."
    if wrong is not None:
        return await raise_flag(deps, payout, wrong)
    if transfer.reversed_cents:
        return await note_reversal(deps, payout, transfer.reversed_cents, by=by)
    return payout


def _wrong(payout: Payout, transfers: Sequence[Transfer]) -> str | None:
    if len(transfers) > 1:
        return f"Stripe has {len(transfers)} transfers for it: {', '.join(each.id for each in transfers)}."
    transfer = transfers[0]
    ordered = (payout.cents, payout.currency, payout.destination)
    made = (transfer.cents, transfer.currency, transfer.destination)
    if ordered == made and transfer.group == payout.group:
        return None
    return f"{transfer.id} is {amount_text(made[0])} {made[1]} to {made[2]}: not what was ordered."


async def note_reversal(deps: Deps, payout: Payout, reversed_cents: int, *, by: Initiator) -> Payout:
    """Keep that so much of a completed payout came back; it is never paid again by itself."""
    while reversed_cents > payout.reversed_cents:
        changed = await deps.store.payouts.record_reversal(payout, reversed_cents, by=by)
        payout = changed or await reread(deps, payout)
    return payout


async def raise_flag(deps: Deps, payout: Payout, why: str) -> Payout:
    """Ask for a person, loudly and once."""
    while payout.flag != why:
        log.error("%s: %s", payout.group, why)
        payout = await deps.store.payouts.flag(payout, why) or await reread(deps, payout)
    return payout


async def fail(deps: Deps, payout: Payout, message: str, *, by: Initiator, flag: str | None = None) -> Payout:
    """Settle a payout that is not paid and never will be; its commissions are free again."""
    failed = await deps.store.payouts.fail(
        payout, message, by=by, flag=flag, before_commit=partial(deps.crash_point, "fail.before_commit")
    )
    return failed or await reread(deps, payout)


async def _give_up(deps: Deps, payout: Payout, *, is_unclear: bool, why: str | None) -> Payout:
    unknown = await deps.store.payouts.set_unknown(payout, is_unclear=is_unclear, error_message=why)
    return unknown or await reread(deps, payout)


async def reread(deps: Deps, payout: Payout) -> Payout:
    """Give the payout as it is now: somebody else has changed it. Payouts are never deleted."""
    found = await deps.store.payouts.get(payout.id)
    if found is None:
        raise LookupError(f"{payout.group} is gone")
    return found
