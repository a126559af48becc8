"""A payout from claim to settlement: paid once, whatever Stripe does, and the record says what Stripe says."""

import asyncio
import dataclasses
from collections.abc import Sequence

import pytest

from config.deps import Deps
from payments import connect
from payments.errors import (
    AccountRestricted,
    NothingToPay,
    PaymentRefused,
    PayoutLimitReached,
    TotalChanged,
)
from payments.pay_out import pay_out
from payments.payouts import claim, new_lease, send
from payments.reconcile import RECONCILER, reconcile, reconcile_all
from store.ledger import in_flight, paid, payable
from store.money_records import (
    APPROVED,
    CLAIMED,
    COMPLETED,
    FAILED,
    PAID,
    REVERSAL,
    SENDING,
    UNKNOWN,
    Commission,
    Payout,
)
from tests.support import stripe_double as faults
from tests.support.ambassadors import TERMINAL, Payees, QuickDoor
from tests.support.clock import FakeClock
from tests.support.processes import free_port
from tests.support.stripe_double import StripeDouble

HOUR = 3600


async def entries(deps: Deps, payout: Payout) -> list[Commission]:
    found = [await deps.store.commissions.get(each) for each in payout.commission_ids]
    return [each for each in found if each is not None]


async def books(deps: Deps, payout: Payout) -> tuple[int, int, int]:
    """What the ledger has as payable, in flight and paid."""
    accounts = (payable(payout.ambassador_id), in_flight(payout.id), paid(payout.destination))
    payable_cents, flying, paid_cents = [await deps.store.ledger.balance(each) for each in accounts]
    return payable_cents, flying, paid_cents


async def is_paid(deps: Deps, stripe: StripeDouble, payout: Payout) -> None:
    (transfer,) = stripe.transfers_of(payout.group)
    assert payout.state == COMPLETED
    assert (transfer["id"], transfer["amount"]) == (payout.transfer_id, payout.cents)
    assert transfer["destination"] == payout.destination
    assert {(each.status, each.payout_id) for each in await entries(deps, payout)} == {(PAID, payout.id)}
    assert await books(deps, payout) == (0, 0, payout.cents)


async def is_free(deps: Deps, payout: Payout) -> None:
    assert payout.state == FAILED
    assert {(each.status, each.payout_id) for each in await entries(deps, payout)} == {(APPROVED, None)}
    assert await books(deps, payout) == (payout.cents, 0, 0)


async def test_all_approved_commissions_are_paid_by_one_transfer(
    deps: Deps, payees: Payees, stripe: StripeDouble
) -> None:
    user = await payees.ready(1_000, 250)
    await payees.earn(user.id, -50, kind=REVERSAL)
    payout = await pay_out(deps, TERMINAL, user.id, expected_cents=1_200)
    assert (payout.cents, len(payout.commission_ids)) == (1_200, 3)
    await is_paid(deps, stripe, payout)
    with pytest.raises(NothingToPay, match=r"No approved commissions to pay out\."):
        await pay_out(deps, TERMINAL, user.id)
    assert [each.action for each in await deps.store.audit.about(f"payout:{payout.id}")] == [
        "payout.claimed",
        "payout.completed",
    ]


@pytest.mark.parametrize("cents", [(), (500, -500), (500, -600), (0,)])
async def test_nothing_is_paid_when_nothing_is_left(
    deps: Deps, payees: Payees, stripe: StripeDouble, cents: Sequence[int]
) -> None:
    user = await payees.ready(*cents)
    with pytest.raises(NothingToPay):
        await pay_out(deps, TERMINAL, user.id)
    assert not stripe.transfers
    assert await deps.store.ledger.balance(payable(user.id)) == sum(cents)


async def test_negative_balance_is_taken_from_the_next_payout(deps: Deps, payees: Payees) -> None:
    user = await payees.ready(500, -600)
    with pytest.raises(NothingToPay):
        await pay_out(deps, TERMINAL, user.id)
    await payees.earn(user.id, 1_000)
    assert (await pay_out(deps, TERMINAL, user.id)).cents == 900


async def test_payout_is_refused_when_the_total_is_not_what_was_expected(deps: Deps, payees: Payees) -> None:
    user = await payees.ready(1_000)
    with pytest.raises(TotalChanged) as refused:
        await pay_out(deps, TERMINAL, user.id, expected_cents=999)
    assert refused.value.total_cents == 1_000
    assert await deps.store.payouts.open_of(user.id) is None


async def test_payout_is_refused_when_stripe_does_not_pay_that_account(
    deps: Deps, payees: Payees, stripe: StripeDouble, clock: FakeClock
) -> None:
    without = await payees.person()
    await payees.earn(without.id, 500)
    with pytest.raises(AccountRestricted, match=r"Complete account verification first\."):
        await pay_out(deps, TERMINAL, without.id)
    user = await payees.ready(500)
    row = await deps.store.connect_accounts.get(user.id)
    assert row is not None
    stripe.verify(str(row.stripe_account_id), payouts_enabled=False)
    with pytest.raises(AccountRestricted):
        await pay_out(deps, TERMINAL, user.id)
    stripe.verify(str(row.stripe_account_id))
    await pay_out(deps, TERMINAL, user.id)
    # For a minute it is believed, then asked again.
    stripe.verify(str(row.stripe_account_id), payouts_enabled=False)
    await payees.earn(user.id, 500)
    await pay_out(deps, TERMINAL, user.id)
    await payees.earn(user.id, 500)
    clock.advance(61)
    with pytest.raises(AccountRestricted):
        await pay_out(deps, TERMINAL, user.id)


async def test_s39_payout_is_refused_when_it_is_over_a_limit(deps: Deps, payees: Payees) -> None:
    one = dataclasses.replace(deps, settings=dataclasses.replace(deps.settings, payout_limit_cents=999))
    user = await payees.ready(1_000)
    with pytest.raises(PayoutLimitReached, match=r"10\.00 is over the limit of 9\.99"):
        await pay_out(one, TERMINAL, user.id)
    (line,) = await deps.store.audit.about(f"ambassador:{user.id}")
    assert (line.action, line.details["code"]) == ("payout.refused", "payout_limit_reached")


async def test_s39_payouts_of_a_day_stop_at_the_limit_and_failed_ones_do_not_count(
    deps: Deps, payees: Payees, stripe: StripeDouble, clock: FakeClock
) -> None:
    # A day that no other test uses.
    clock.advance(400 * 24 * HOUR)
    limited = dataclasses.replace(
        deps, settings=dataclasses.replace(deps.settings, payout_daily_limit_cents=1_500)
    )
    first, second, third = [await payees.ready(700) for _ in range(3)]
    stripe.faults.append(faults.DECLINED)
    with pytest.raises(PaymentRefused):
        await pay_out(limited, TERMINAL, first.id)
    await pay_out(limited, TERMINAL, second.id)
    await pay_out(limited, TERMINAL, first.id)
    with pytest.raises(PayoutLimitReached, match=r"limit of 15\.00"):
        await pay_out(limited, TERMINAL, third.id)
    clock.advance(24 * HOUR)
    assert (await pay_out(limited, TERMINAL, third.id)).state == COMPLETED


async def test_payout_fails_when_stripe_declines_and_the_next_has_a_key_of_its_own(
    deps: Deps, payees: Payees, stripe: StripeDouble
) -> None:
    user = await payees.ready(1_000)
    stripe.faults.append(faults.DECLINED)
    with pytest.raises(PaymentRefused, match=r"No\."):
        await pay_out(deps, TERMINAL, user.id)
    assert not stripe.transfers
    failed = [each async for each in deps.store.payouts.scan() if each.ambassador_id == user.id][-1]
    await is_free(deps, failed)
    payout = await pay_out(deps, TERMINAL, user.id)
    assert payout.id != failed.id
    await is_paid(deps, stripe, payout)


@pytest.mark.parametrize("fault", faults.UNCLEAR)
async def test_payout_is_settled_by_asking_when_the_answer_is_lost(
    deps: Deps, payees: Payees, stripe: StripeDouble, clock: FakeClock, fault: str
) -> None:
    user = await payees.ready(1_000)
    stripe.faults.append(fault)
    payout = await pay_out(deps, TERMINAL, user.id)
    assert (payout.state, payout.is_unclear) == (UNKNOWN, True)
    assert len(stripe.transfers) == ("after" in fault)
    for _ in range(29):
        payout = await reconcile(deps, payout, by=RECONCILER)
        clock.advance(HOUR)
    assert len(stripe.transfers) == (fault != faults.ERROR_KEPT_BEFORE)
    if stripe.transfers:
        await is_paid(deps, stripe, payout)
    else:
        # Stripe answers this key with its 500 for ever, and never did anything.
        await is_free(deps, payout)
        assert payout.flag is not None


@pytest.mark.parametrize("fault", [faults.CONFLICT, faults.LIMITED])
async def test_busy_stripe_is_asked_again_with_the_same_key(
    deps: Deps, payees: Payees, stripe: StripeDouble, clock: FakeClock, fault: str
) -> None:
    user = await payees.ready(1_000)
    stripe.faults.extend([fault] * 3)
    payout = await pay_out(deps, TERMINAL, user.id)
    await is_paid(deps, stripe, payout)
    assert len(clock.sleeps) == 3


@pytest.mark.parametrize("fault", [faults.CONFLICT, faults.LIMITED])
async def test_payout_stays_open_when_stripe_is_busy_for_25_s(
    deps: Deps, payees: Payees, stripe: StripeDouble, clock: FakeClock, fault: str
) -> None:
    is_unclear = fault == faults.CONFLICT
    user = await payees.ready(1_000)
    stripe.faults.extend([fault] * 200)
    payout = await pay_out(deps, TERMINAL, user.id)
    assert (payout.state, payout.is_unclear) == (UNKNOWN, is_unclear)
    assert 15 < sum(clock.sleeps) < 25
    stripe.faults.clear()
    stripe.faults.append(faults.DECLINED)
    payout = await reconcile(deps, payout, by=RECONCILER)
    if is_unclear:
        # Whatever Stripe says to this request, the one that held the key may have gone through.
        assert (payout.state, payout.error_message) == (UNKNOWN, "No.")
        await is_paid(deps, stripe, await reconcile(deps, payout, by=RECONCILER))
    else:
        await is_free(deps, payout)


async def test_refused_connection_is_no_attempt(deps: Deps, payees: Payees, stripe: StripeDouble) -> None:
    user = await payees.ready(1_000)
    await connect.refresh(deps, user.id)
    nobody = QuickDoor(f"http://127.0.0.1:{free_port()}")
    payout = await pay_out(dataclasses.replace(deps, gateway=nobody), TERMINAL, user.id)
    await nobody.close()
    assert (payout.state, payout.is_unclear) == (UNKNOWN, False)
    await is_paid(deps, stripe, await pay_out(deps, TERMINAL, user.id))


async def test_open_payout_is_reconciled_when_an_admin_asks_again(
    deps: Deps, payees: Payees, stripe: StripeDouble
) -> None:
    user = await payees.ready(1_000)
    stripe.faults.append(faults.SILENCE_AFTER)
    unknown = await pay_out(deps, TERMINAL, user.id)
    await payees.earn(user.id, 300)
    payout = await pay_out(deps, TERMINAL, user.id)
    assert (payout.id, payout.state, payout.cents) == (unknown.id, COMPLETED, 1_000)
    assert (await pay_out(deps, TERMINAL, user.id)).cents == 300
    assert len(stripe.transfers) == 2


async def test_one_is_paid_when_many_ask_at_once(deps: Deps, payees: Payees, stripe: StripeDouble) -> None:
    user = await payees.ready(1_000)
    asked = await asyncio.gather(
        *(pay_out(deps, TERMINAL, user.id) for _ in range(12)), return_exceptions=True
    )
    paid_out = [each for each in asked if isinstance(each, Payout)]
    assert len(paid_out) == len(stripe.transfers) == 1
    assert {type(each) for each in asked} == {Payout, NothingToPay}


async def claimed(deps: Deps, payees: Payees) -> Payout:
    """A payout whose process died before it was sent."""
    user = await payees.ready(1_000)
    row = await deps.store.connect_accounts.get(user.id)
    assert row is not None
    return await claim(
        deps,
        TERMINAL,
        ambassador_id=user.id,
        destination=str(row.stripe_account_id),
        expected_cents=None,
        lease=new_lease(deps),
    )


async def test_claim_that_was_never_sent_is_sent_while_it_is_young(
    deps: Deps, payees: Payees, stripe: StripeDouble, clock: FakeClock
) -> None:
    payout = await claimed(deps, payees)
    # Its process may live.
    assert (await reconcile(deps, payout, by=RECONCILER)).state == CLAIMED
    with pytest.raises(NothingToPay):
        await pay_out(deps, TERMINAL, payout.ambassador_id)
    clock.advance(41)
    await is_paid(deps, stripe, await reconcile(deps, payout, by=RECONCILER))


async def test_claim_that_was_never_sent_fails_after_ten_minutes(
    deps: Deps, payees: Payees, stripe: StripeDouble, clock: FakeClock
) -> None:
    payout = await claimed(deps, payees)
    clock.advance(600)
    await is_free(deps, await reconcile(deps, payout, by=RECONCILER))
    # An admin who asks then wants it paid: by a payout of its own.
    other = await claimed(deps, payees)
    clock.advance(600)
    again = await pay_out(deps, TERMINAL, other.ambassador_id)
    assert again.id != other.id
    await is_paid(deps, stripe, again)
    assert (await send(deps, other, new_lease(deps), by=TERMINAL)).state == FAILED
    assert len(stripe.transfers) == 1


async def sent(deps: Deps, payees: Payees) -> Payout:
    """A payout whose process died before its request left."""
    payout = await claimed(deps, payees)
    sending = await deps.store.payouts.begin_send(payout, new_lease(deps))
    assert sending is not None
    return sending


async def test_payout_is_never_sent_after_20_hours(
    deps: Deps, payees: Payees, stripe: StripeDouble, clock: FakeClock
) -> None:
    payout = await sent(deps, payees)
    clock.advance(20 * HOUR)
    for hour in range(20, 28):
        payout = await reconcile(deps, payout, by=RECONCILER)
        # Absent at 25 h or later, in three looks an hour apart.
        assert payout.state == (FAILED if hour == 27 else UNKNOWN if hour >= 25 else SENDING), hour
        again = await reconcile(deps, payout, by=RECONCILER)
        assert (again.state, again.absent_at) == (payout.state, payout.absent_at)
        clock.advance(HOUR)
    await is_free(deps, payout)
    assert payout.flag is not None
    assert [
        method for method, path, _ in stripe.requests if (method, path) == ("POST", "/v1/transfers")
    ] == []
    assert [each.id for each in await deps.store.payouts.flagged() if each.id == payout.id] == [payout.id]


async def test_payout_is_sent_again_with_its_key_before_20_hours(
    deps: Deps, payees: Payees, stripe: StripeDouble, clock: FakeClock
) -> None:
    payout = await sent(deps, payees)
    clock.advance(20 * HOUR - 1)
    await is_paid(deps, stripe, await reconcile(deps, payout, by=RECONCILER))


async def test_payout_waits_when_stripe_cannot_be_asked(
    deps: Deps, payees: Payees, stripe: StripeDouble, clock: FakeClock
) -> None:
    payout = await sent(deps, payees)
    clock.advance(26 * HOUR)
    stripe.chooser = lambda method, _: faults.ERROR_BEFORE if method == "GET" else None
    for _ in range(4):
        waiting = await reconcile(deps, payout, by=RECONCILER)
        assert (waiting.state, waiting.absent_at) == (SENDING, ())
        clock.advance(HOUR)


async def test_reconcile_all_settles_what_is_open(
    own_deps: Deps, stripe: StripeDouble, clock: FakeClock
) -> None:
    payees = Payees(own_deps, stripe)
    payouts = [await sent(own_deps, payees), await claimed(own_deps, payees)]
    clock.advance(41)
    settled = {each.id: each async for each in reconcile_all(own_deps, by=RECONCILER)}
    for payout in payouts:
        await is_paid(own_deps, stripe, settled[payout.id])
