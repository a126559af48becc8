"""Subscriptions: Checkout, the billing portal, and the state as Stripe's events told it."""

import asyncio
from datetime import timedelta

import pytest

from config.deps import Deps
from tests.support import stripe_double as faults
from tests.support.earnings import Earners
from tests.support.groups import PASSWORD
from tests.support.stripe_double import StripeDouble
from tests.support.stripe_events import event, subscription

SUBSCRIPTION = "/api/trainer/subscription/"
CHECKOUT, PORTAL = f"{SUBSCRIPTION}checkout/", f"{SUBSCRIPTION}portal/"


async def test_checkout_names_the_trainer_everywhere(earners: Earners, stripe: StripeDouble) -> None:
    trainer = await earners.groups.trainer()
    answer = await trainer.post(CHECKOUT, {"tier": "pro"})
    assert answer.status == 200
    (session,) = stripe.book.all("checkout_session")
    assert answer.json["checkout_url"] == session["url"]
    (customer,) = stripe.book.all("customer")
    said = session["form"]
    assert customer["metadata"] == {"user_id": str(trainer.id)}
    assert said["customer"] == customer["id"]
    assert said["line_items[0][price]"] == "price_pro"
    assert said["metadata[user_id]"] == said["subscription_data[metadata][user_id]"] == str(trainer.id)


async def test_erased_trainer_leaves_no_address_behind(earners: Earners, deps: Deps) -> None:
    trainer = await earners.groups.trainer()
    await trainer.post(CHECKOUT, {"tier": "pro"})
    await trainer.delete("/api/auth/users/me/", {"current_password": PASSWORD})
    row = await deps.store.billing.customer(trainer.id)
    assert row is not None
    assert row.email == ""


async def test_two_clicks_at_once_make_one_customer(earners: Earners, stripe: StripeDouble) -> None:
    trainer = await earners.groups.trainer()
    answers = await asyncio.gather(*(trainer.post(CHECKOUT, {"tier": "pro"}) for _ in range(3)))
    assert 200 in {each.status for each in answers} <= {200, 503}
    assert (await trainer.post(CHECKOUT, {"tier": "team"})).status == 200
    assert len(stripe.book.all("customer")) == 1


@pytest.mark.parametrize("fault", [faults.RESET_AFTER, faults.RESET_BEFORE])
async def test_lost_answer_makes_no_second_customer(
    earners: Earners, stripe: StripeDouble, fault: str
) -> None:
    trainer = await earners.groups.trainer()
    stripe.faults.append(fault)
    assert (await trainer.post(CHECKOUT, {"tier": "pro"})).status == 503
    assert (await trainer.post(CHECKOUT, {"tier": "pro"})).status == 200
    assert len(stripe.book.all("customer")) == 1


async def test_refusal_is_told_in_stripes_words_and_can_be_tried_again(
    earners: Earners, stripe: StripeDouble
) -> None:
    trainer = await earners.groups.trainer()
    stripe.faults.append(faults.DECLINED)
    assert (await trainer.post(CHECKOUT, {"tier": "pro"})).status == 502
    assert (await trainer.post(CHECKOUT, {"tier": "pro"})).status == 200
    stripe.faults.append(faults.DECLINED)
    assert (await trainer.post(PORTAL)).status == 502
    stripe.faults.append(faults.RESET_AFTER)
    assert (await trainer.post(PORTAL)).status == 503


async def test_answer_without_an_address_is_no_answer(earners: Earners, stripe: StripeDouble) -> None:
    trainer = await earners.groups.trainer()
    stripe.routes.insert(0, ("POST", r"/v1/checkout/sessions", lambda *_: {"id": "cs_1"}))
    assert (await trainer.post(CHECKOUT, {"tier": "pro"})).status == 503


async def test_unknown_tier_is_refused(earners: Earners) -> None:
    trainer = await earners.groups.trainer()
    answer = await trainer.post(CHECKOUT, {"tier": "gold"})
    assert (answer.status, answer.json) == (400, {"tier": ['"gold" is not a valid choice.']})


async def test_state_is_what_the_events_told(earners: Earners, deps: Deps) -> None:
    trainer, now = await earners.groups.trainer(), deps.clock.now()
    assert (await trainer.get(SUBSCRIPTION)).json == {
        "status": "none",
        "tier": None,
        "amount": None,
        "current_period_end": None,
        "cancel_at_period_end": False,
    }
    end = now + timedelta(days=30)
    name, customer = f"sub_{trainer.id}", f"cus_{trainer.id}"
    going = subscription(name, customer=customer, user_id=trainer.id, period_end=end, is_ending=True)
    await earners.tell(event("customer.subscription.updated", going, now))
    found = (await trainer.get(SUBSCRIPTION)).json
    assert (found["status"], found["tier"], found["amount"]) == ("active", "pro", "129.00")
    assert found["cancel_at_period_end"] is True
    assert found["current_period_end"][:19] == end.isoformat()[:19]
    again = await trainer.post(CHECKOUT, {"tier": "pro"})
    assert (again.status, again.json["code"]) == (409, "already_subscribed")
    over = subscription(name, customer=customer, status="canceled", ended_at=now)
    await earners.tell(event("customer.subscription.deleted", over, now))
    assert (await trainer.get(SUBSCRIPTION)).json["status"] == "canceled"
    assert (await trainer.post(CHECKOUT, {"tier": "pro"})).status == 200


async def test_portal_is_for_those_who_have_been_at_checkout(earners: Earners) -> None:
    trainer = await earners.groups.trainer()
    answer = await trainer.post(PORTAL)
    assert (answer.status, answer.json["code"]) == (400, "no_subscription")
    await trainer.post(CHECKOUT, {"tier": "pro"})
    assert (await trainer.post(PORTAL)).json["portal_url"].startswith("https://billing.stripe.example/")


async def test_payment_of_our_customer_is_the_trainers_whatever_else_it_says(
    earners: Earners, deps: Deps, stripe: StripeDouble
) -> None:
    trainer, other = await earners.groups.trainer(), await earners.groups.trainer()
    await trainer.post(CHECKOUT, {"tier": "pro"})
    (customer,) = stripe.book.all("customer")
    found = subscription(f"sub_{trainer.id}", customer=customer["id"], user_id=other.id)
    await earners.tell(event("customer.subscription.updated", found, deps.clock.now()))
    assert (await trainer.get(SUBSCRIPTION)).json["status"] == "active"
    assert (await other.get(SUBSCRIPTION)).json["status"] == "none"
