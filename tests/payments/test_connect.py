"""Accounts at Stripe: one an ambassador, whatever happens while it is made, and what it can do as Stripe said last."""

import asyncio
import dataclasses
from datetime import timedelta

import pytest

from community.errors import BadToken, NotFound
from config.deps import Deps
from payments import connect, connect_state
from payments.errors import PaymentRefused, PaymentsUnavailable
from payments.gateway import Account
from store.records import User
from tests.support import stripe_double as faults
from tests.support.ambassadors import Payees
from tests.support.clock import FakeClock
from tests.support.stripe_double import StripeDouble

URL = "https://app.example.org"


async def onboarded(deps: Deps, user: User) -> connect.Onboarding:
    return await connect.onboard(deps, user, base_url=URL)


async def test_account_is_made_once_and_its_link_is_fresh_each_time(
    deps: Deps, payees: Payees, stripe: StripeDouble
) -> None:
    user = await payees.person()
    first, second = await onboarded(deps, user), await onboarded(deps, user)
    assert first.stripe_account_id == second.stripe_account_id
    assert first.url != second.url
    (account,) = stripe.book.all("account")
    assert account["email"] == user.email
    link = stripe.book.all("account_link")[-1]
    assert link["return_url"].startswith(f"{URL}/api/ambassador/connect/return/?state={user.id}.")
    assert link["refresh_url"].startswith(f"{URL}/api/ambassador/connect/refresh/?state={user.id}.")


async def test_account_is_made_once_when_asked_for_at_the_same_moment(
    deps: Deps, payees: Payees, stripe: StripeDouble
) -> None:
    user = await payees.person()
    found = await asyncio.gather(*(onboarded(deps, user) for _ in range(4)))
    assert {each.stripe_account_id for each in found} == {stripe.book.all("account")[0]["id"]}
    assert len(stripe.book.all("account")) == 1


async def test_account_of_somebody_faster_is_used(
    deps: Deps, payees: Payees, stripe: StripeDouble, clock: FakeClock
) -> None:
    user = await payees.person()
    stripe.faults.append(faults.CONFLICT)

    class Meanwhile(FakeClock):
        async def sleep(self, seconds: float) -> None:
            await payees.account(user)

    begun = await onboarded(dataclasses.replace(deps, clock=Meanwhile(clock.now())), user)
    assert [each["id"] for each in stripe.book.all("account")] == [begun.stripe_account_id]


@pytest.mark.parametrize("fault", [faults.SILENCE_AFTER, faults.ERROR_AFTER, faults.BROKEN_JSON_AFTER])
async def test_account_is_the_same_when_the_answer_was_lost(
    deps: Deps, payees: Payees, stripe: StripeDouble, fault: str
) -> None:
    user = await payees.person()
    stripe.faults.append(fault)
    with pytest.raises(PaymentsUnavailable):
        await onboarded(deps, user)
    begun = await onboarded(deps, user)
    assert [each["id"] for each in stripe.book.all("account")] == [begun.stripe_account_id]


async def test_account_has_another_key_when_stripe_refused_its_address(
    deps: Deps, payees: Payees, stripe: StripeDouble
) -> None:
    user = await payees.person()
    wrong = dataclasses.replace(user, email="nobody")
    with pytest.raises(PaymentRefused, match="Invalid email address"):
        await onboarded(deps, wrong)
    with pytest.raises(PaymentRefused, match="Invalid email address"):
        await onboarded(deps, user)
    assert (await onboarded(deps, user)).stripe_account_id
    row = await deps.store.connect_accounts.get(user.id)
    assert row is not None
    assert (row.number, row.email) == (3, user.email)


async def test_onboarding_gives_up_when_stripe_stays_busy(
    deps: Deps, payees: Payees, stripe: StripeDouble
) -> None:
    user = await payees.person()
    stripe.faults.extend([faults.LIMITED] * connect.TRIES)
    with pytest.raises(PaymentsUnavailable):
        await onboarded(deps, user)


async def test_state_is_what_stripe_says(
    deps: Deps, payees: Payees, stripe: StripeDouble, clock: FakeClock
) -> None:
    user = await payees.person()
    with pytest.raises(NotFound):
        await connect.refresh(deps, user.id)
    begun = await onboarded(deps, user)
    row = await connect.refresh(deps, user.id)
    assert (row.payouts_enabled, row.details_submitted, row.onboarding_completed) == (False, False, False)
    stripe.verify(begun.stripe_account_id)
    row = await connect.refresh(deps, user.id)
    assert (row.payouts_enabled, row.details_submitted, row.onboarding_completed) == (True, True, True)
    # An event from before that question changes nothing, one from after it does.
    restricted = Account(
        id=begun.stripe_account_id, charges_enabled=False, payouts_enabled=False, details_submitted=True
    )
    late = await connect.apply_account_update(deps, restricted, at=clock.now() - timedelta(seconds=1))
    assert late is not None
    assert late.payouts_enabled
    new = await connect.apply_account_update(deps, restricted, at=clock.now() + timedelta(seconds=1))
    assert new is not None
    assert not new.payouts_enabled
    stranger = dataclasses.replace(restricted, id="acct_of_nobody")
    assert await connect.apply_account_update(deps, stranger, at=clock.now()) is None


@pytest.mark.parametrize(
    ("fault", "error"), [(faults.DECLINED, PaymentRefused), (faults.ERROR_BEFORE, PaymentsUnavailable)]
)
async def test_refusal_is_told_when_stripe_does_not_show_an_account(
    deps: Deps, payees: Payees, stripe: StripeDouble, fault: str, error: type[Exception]
) -> None:
    user = await payees.ready()
    stripe.chooser = lambda *_: fault
    with pytest.raises(error):
        await connect.refresh(deps, user.id)


async def test_state_is_ours_and_ends_after_an_hour(deps: Deps, clock: FakeClock) -> None:
    state = connect_state.sign(deps, 7)
    assert connect_state.read(deps, state) == connect_state.State(7, is_old=False)
    clock.advance(3600)
    assert connect_state.read(deps, state).is_old
    for forged in ("", "7", state[:-1], "8" + state[1:], state.replace(".", "."[:0], 1), f"{state}0"):
        with pytest.raises(BadToken):
            connect_state.read(deps, forged)


async def test_state_is_read_when_the_secret_was_changed(deps: Deps) -> None:
    state = connect_state.sign(deps, 7)
    secrets = ("a fresh secret of 32 bytes or even more", *deps.settings.jwt_secrets)
    changed = dataclasses.replace(deps, settings=dataclasses.replace(deps.settings, jwt_secrets=secrets))
    assert connect_state.read(changed, state).ambassador_id == 7
    assert connect_state.sign(changed, 7) != state
