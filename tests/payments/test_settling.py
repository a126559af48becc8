"""What Stripe shows that was not ordered, what came back, and who was faster: nothing is paid again by itself."""

import asyncio
import dataclasses
import logging

import pytest

from config.deps import Deps
from payments.errors import NothingToPay, PaymentsNotConfigured
from payments.gateway import GatewayUnknown, Transfer, account_of, transfer_of
from payments.gateway_door import GatewayDoor
from payments.pay_out import pay_out
from payments.payouts import claim, fail, new_lease, raise_flag, reread, send, settle
from payments.reconcile import RECONCILER, keep_reconciled, reconcile
from payments.transfers import apply_transfer
from store.errors import StoreUnavailable
from store.ledger import SUSPENSE, paid
from store.money_records import COMPLETED, FAILED, SENDING, UNKNOWN, Payout
from store.records import AMBASSADOR
from tests.payments.test_payouts import claimed, is_free, is_paid, sent
from tests.support import stripe_double as faults
from tests.support.ambassadors import TERMINAL, Payees, QuickDoor
from tests.support.clock import FakeClock
from tests.support.stripe_double import StripeDouble


def transfer_for(payout: Payout, **other: object) -> Transfer:
    made = Transfer(
        id="tr_1", cents=payout.cents, currency=payout.currency, destination=payout.destination,
        group=payout.group, reversed_cents=0,
    )  # fmt: skip
    return dataclasses.replace(made, **other)


@pytest.mark.parametrize(
    "other", [{"cents": 999}, {"destination": "acct_other"}, {"currency": "eur"}, {"group": None}]
)
async def test_payout_waits_for_a_person_when_the_transfer_is_not_what_was_ordered(
    deps: Deps, payees: Payees, caplog: pytest.LogCaptureFixture, other: dict[str, object]
) -> None:
    payout = await sent(deps, payees)
    for _ in range(2):
        payout = await settle(deps, payout, [transfer_for(payout, **other)], by=RECONCILER)
    assert payout.state == SENDING
    assert "not what was ordered" in str(payout.flag)
    assert [each.levelno for each in caplog.records].count(logging.ERROR) == 1
    caplog.clear()


async def test_payout_waits_for_a_person_when_there_are_two_transfers(
    deps: Deps, payees: Payees, caplog: pytest.LogCaptureFixture
) -> None:
    payout = await sent(deps, payees)
    two = [transfer_for(payout), transfer_for(payout, id="tr_2")]
    payout = await settle(deps, payout, two, by=RECONCILER)
    assert payout.flag == "Stripe has 2 transfers for it: tr_1, tr_2."
    caplog.clear()


async def test_failed_payout_waits_for_a_person_when_a_transfer_turns_up(
    deps: Deps, payees: Payees, caplog: pytest.LogCaptureFixture
) -> None:
    payout = await fail(deps, await sent(deps, payees), "No.", by=RECONCILER)
    payout = await settle(deps, payout, [transfer_for(payout)], by=RECONCILER)
    assert (payout.state, payout.flag) == (FAILED, "It failed, and Stripe has tr_1 for it.")
    caplog.clear()


async def test_flag_is_raised_on_the_payout_as_it_is_now(
    deps: Deps, payees: Payees, caplog: pytest.LogCaptureFixture
) -> None:
    stale = await sent(deps, payees)
    await deps.store.payouts.set_unknown(stale, is_unclear=True, error_message=None)
    assert (await raise_flag(deps, stale, "Look.")).flag == "Look."
    caplog.clear()


async def test_payout_that_is_gone_is_a_fault(deps: Deps, payees: Payees) -> None:
    payout = await claimed(deps, payees)
    with pytest.raises(LookupError):
        await reread(deps, dataclasses.replace(payout, id=1))


async def test_reversal_goes_to_suspense_as_far_as_it_was_seen(
    deps: Deps, payees: Payees, stripe: StripeDouble
) -> None:
    user = await payees.ready(1_000)
    payout = await pay_out(deps, TERMINAL, user.id)
    before = await deps.store.ledger.balance(SUSPENSE)
    first = transfer_of(stripe.reverse(str(payout.transfer_id), 300))
    second = transfer_of(stripe.reverse(str(payout.transfer_id), 200))
    # In whatever order, and as often as they come.
    await asyncio.gather(*(apply_transfer(deps, each) for each in (second, first, second, first)))
    found = await deps.store.payouts.get(payout.id)
    assert found is not None
    assert (found.state, found.reversed_cents, found.flag) == (COMPLETED, 500, "The transfer was reversed.")
    assert await deps.store.ledger.balance(paid(payout.destination)) == 500
    assert await deps.store.ledger.balance(SUSPENSE) - before == 500
    assert await deps.store.commissions.claimable(user.id) == []
    assert await deps.store.payouts.record_reversal(found, 400, by=RECONCILER) == found


async def test_event_about_a_transfer_settles_its_payout(
    deps: Deps, payees: Payees, stripe: StripeDouble
) -> None:
    user = await payees.ready(1_000)
    stripe.faults.append(faults.SILENCE_AFTER)
    payout = await pay_out(deps, TERMINAL, user.id)
    (made,) = stripe.transfers
    settled = await apply_transfer(deps, transfer_of(stripe.reverse(made["id"], 100)))
    assert settled is not None
    assert (settled.state, settled.reversed_cents) == (COMPLETED, 100)
    for group in (None, "order-5", f"payout-{payout.id + 1}", f"payout-{2**53}"):
        assert await apply_transfer(deps, transfer_for(payout, group=group)) is None


async def test_answer_counts_when_somebody_else_was_at_work_meanwhile(
    deps: Deps, payees: Payees, stripe: StripeDouble
) -> None:
    payout = await sent(deps, payees)
    await deps.store.payouts.set_unknown(payout, is_unclear=True, error_message=None)
    stripe.book.put("transfer", {"id": "tr_x", "transfer_group": payout.group, "amount": payout.cents,
                                 "destination": payout.destination, "amount_reversed": 0, "currency": "usd"})  # fmt: skip
    (made,) = [transfer_of(each) for each in stripe.transfers_of(payout.group)]
    settled = await settle(deps, payout, [made], by=RECONCILER)
    assert (settled.state, settled.transfer_id) == (COMPLETED, "tr_x")
    # Whoever comes late changes nothing.
    assert (await fail(deps, payout, "No.", by=RECONCILER)).state == COMPLETED
    assert await deps.store.payouts.begin_send(payout, new_lease(deps)) is None
    assert await deps.store.payouts.note_absence(payout) is None


async def test_sender_stops_when_its_lease_was_taken(
    deps: Deps, payees: Payees, stripe: StripeDouble, clock: FakeClock
) -> None:
    payout = await claimed(deps, payees)
    stripe.faults.append(faults.LIMITED)
    other = new_lease(deps)

    class Thief(FakeClock):
        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds)
            self.advance(50)
            assert await deps.store.payouts.take(payout.id, other) is not None

    thief = Thief(clock.now())
    moved = dataclasses.replace(deps, clock=thief)
    # The store's own clock goes with it.
    clock.advance(60)
    given_up = await send(moved, payout, new_lease(moved), by=TERMINAL)
    assert given_up.state == UNKNOWN
    assert len([each for each in stripe.requests if each[1] == "/v1/transfers"]) == 1


async def test_sender_stops_when_stripe_may_have_forgotten_the_key(
    deps: Deps, payees: Payees, stripe: StripeDouble, clock: FakeClock
) -> None:
    payout = await sent(deps, payees)
    clock.advance(20 * 3600 - 0.2)
    stripe.faults.extend([faults.LIMITED] * 20)
    given_up = await reconcile(deps, payout, by=RECONCILER)
    assert given_up.state == UNKNOWN
    sends = [each for each in stripe.requests if each[:2] == ("POST", "/v1/transfers")]
    assert len(sends) <= 4
    assert (await deps.store.payouts.get(payout.id)) is not None


class Rival(QuickDoor):
    """Somebody else claims between the look for an open payout and one's own claim, and more is earned."""

    payees: Payees
    asked = 0

    async def __call__(self):
        self.asked += 1
        if self.asked == 2:
            (user,) = await self.payees.deps.store.users.with_role(AMBASSADOR)
            row = await self.payees.deps.store.connect_accounts.get(user.id)
            lease = new_lease(self.payees.deps)
            account = str(row and row.stripe_account_id)
            await claim(
                self.payees.deps, TERMINAL, ambassador_id=user.id, destination=account, expected_cents=None,
                lease=lease,
            )  # fmt: skip
            await self.payees.earn(user.id, 300)
        return await super().__call__()


async def test_claim_is_refused_when_somebody_was_faster(own_deps: Deps, stripe: StripeDouble) -> None:
    payees = Payees(own_deps, stripe)
    user = await payees.ready(1_000)
    rival = Rival(stripe.base_url)
    rival.payees = payees
    with pytest.raises(NothingToPay):
        await pay_out(dataclasses.replace(own_deps, gateway=rival), TERMINAL, user.id)
    await rival.close()
    begun = await own_deps.store.payouts.open_of(user.id)
    assert begun is not None
    assert (begun.cents, stripe.transfers) == (1_000, [])


async def test_request_that_is_sent_again_is_about_its_own_payout(
    deps: Deps, payees: Payees, stripe: StripeDouble
) -> None:
    user = await payees.ready(1_000)
    reserved_id = deps.store.ids.new()
    first = await pay_out(deps, TERMINAL, user.id, reserved_id=reserved_id)
    await payees.earn(user.id, 300)
    assert first.id == reserved_id
    assert await pay_out(deps, TERMINAL, user.id, reserved_id=reserved_id) == first
    assert len(stripe.transfers) == 1


async def test_look_of_somebody_slower_changes_nothing(
    deps: Deps, payees: Payees, stripe: StripeDouble, clock: FakeClock
) -> None:
    payout = await sent(deps, payees)
    clock.advance(26 * 3600)

    def faster(name: str) -> None:
        # A look is a compare-and-set: this one's payout has changed by the time it writes.
        raw = deps.store.database.raw["payouts"]
        changed.append(asyncio.ensure_future(raw.update_one({"_id": payout.id}, {"$inc": {"version": 1}})))

    changed: list[asyncio.Future[object]] = []
    beaten = dataclasses.replace(deps, crash_point=faster)
    looked = await reconcile(beaten, payout, by=RECONCILER)
    await asyncio.gather(*changed)
    assert looked.is_open
    assert len(looked.absent_at) <= 1


async def test_round_settles_what_is_open_and_waits_for_leases(
    own_deps: Deps, stripe: StripeDouble, clock: FakeClock
) -> None:
    payees = Payees(own_deps, stripe)
    first, second = await claimed(own_deps, payees), await claimed(own_deps, payees)
    slept: list[float] = []

    class Stop(Exception):
        pass

    class Once(FakeClock):
        async def sleep(self, seconds: float) -> None:
            slept.append(seconds)
            clock.advance(seconds)
            if len(slept) == 2:
                raise Stop

        def now(self):
            return clock.now()

    with pytest.raises(Stop):
        await keep_reconciled(dataclasses.replace(own_deps, clock=Once()))
    # At first somebody has the leases, for 40 s; then nothing is left.
    assert slept == [40, 60]
    for each in (first, second):
        settled = await own_deps.store.payouts.get(each.id)
        assert settled is not None
        await is_paid(own_deps, stripe, settled)
    text, _ = own_deps.metrics.render()
    assert b'cohort_payouts_open{state="CLAIMED"} 0.0' in text


async def test_round_goes_on_when_one_payout_breaks_it(
    own_deps: Deps, stripe: StripeDouble, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    payees = Payees(own_deps, stripe)
    broken, good = await claimed(own_deps, payees), await claimed(own_deps, payees)
    clock.advance(700)
    # Its commissions were tampered with, so no transaction about them can be right.
    await own_deps.store.database.raw["commissions"].update_many(
        {"payout_id": broken.id}, {"$set": {"payout_id": None}}
    )

    class Stop(Exception):
        pass

    class Once(FakeClock):
        async def sleep(self, seconds: float) -> None:
            raise Stop

        def now(self):
            return clock.now()

    with pytest.raises(Stop):
        await keep_reconciled(dataclasses.replace(own_deps, clock=Once()))
    assert any("could not be reconciled" in each.getMessage() for each in caplog.records)
    caplog.clear()
    settled = await own_deps.store.payouts.get(good.id)
    assert settled is not None
    await is_free(own_deps, settled)


async def test_round_waits_when_the_database_is_away(
    own_deps: Deps, stripe: StripeDouble, clock: FakeClock
) -> None:
    await claimed(own_deps, Payees(own_deps, stripe))
    clock.advance(41)

    class Stop(Exception):
        pass

    class Once(FakeClock):
        async def sleep(self, seconds: float) -> None:
            assert seconds == 60
            raise Stop

        def now(self):
            return clock.now()

    def away(_: str) -> None:
        raise StoreUnavailable("away")

    with pytest.raises(Stop):
        await keep_reconciled(dataclasses.replace(own_deps, clock=Once(), crash_point=away))


async def test_door_is_shut_without_a_key(deps: Deps) -> None:
    shut = GatewayDoor(dataclasses.replace(deps.settings, stripe_secret_key=None))
    assert not shut.is_configured
    with pytest.raises(PaymentsNotConfigured):
        await shut()
    await shut.close()


async def test_door_opens_once_and_is_closed(own_deps: Deps, stripe: StripeDouble) -> None:
    settings = dataclasses.replace(own_deps.settings, stripe_api_base=stripe.base_url)
    door = GatewayDoor(settings)
    assert door.is_configured
    first, second = await asyncio.gather(door(), door())
    assert first is second
    assert await first.transfers_of("payout-1") == []
    await door.close()


async def test_answer_is_not_understood_when_stripe_says_something_else(
    deps: Deps, stripe: StripeDouble
) -> None:
    gateway = await deps.gateway()
    stripe.routes.insert(0, ("GET", r"/v1/transfers", lambda *_: {"object": "list", "data": None}))
    stripe.routes.insert(0, ("POST", r"/v1/account_links", lambda *_: {"object": "account_link"}))
    with pytest.raises(GatewayUnknown, match="not a list"):
        await gateway.transfers_of("payout-1")
    with pytest.raises(GatewayUnknown, match="not an account link"):
        await gateway.create_account_link("acct_1", refresh_url="https://a", return_url="https://b")


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"id": "tr_1", "amount": True, "currency": "usd", "destination": "acct_1"},
        {"id": "tr_1", "amount": 5.0, "currency": "usd", "destination": "acct_1"},
        {"id": "", "amount": 5, "currency": "usd", "destination": "acct_1"},
        {"id": "tr_1", "amount": 5, "currency": "usd", "destination": None},
    ],
)
def test_answer_is_not_understood_when_it_is_no_transfer(document: dict[str, object]) -> None:
    with pytest.raises(GatewayUnknown):
        transfer_of(document)


def test_objects_are_read_as_stripe_writes_them() -> None:
    written = {"id": "tr_1", "amount": 5, "currency": "usd", "destination": {"id": "acct_1"}}
    assert transfer_of(written) == Transfer(
        id="tr_1", cents=5, currency="usd", destination="acct_1", group=None, reversed_cents=0
    )
    assert account_of({"id": "acct_1", "payouts_enabled": True}).payouts_enabled
    with pytest.raises(GatewayUnknown):
        account_of({"payouts_enabled": True})
