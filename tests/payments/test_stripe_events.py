"""Reading Stripe's events: both shapes say the same, and nonsense is refused rather than guessed at."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from payments.stripe_events import event_of, facts_of
from store.billing_records import Fact
from tests.support.stripe_events import NEWER, OLDER, charge, event, invoice, seconds, subscription

AT = datetime(2026, 11, 5, 10, tzinfo=UTC)
HOME = {"line1": "1 Main  Street", "postal_code": "12345", "city": "Linz", "country": "AT"}


def facts(kind: str, found: dict[str, Any], **more: Any) -> list[Fact]:
    return list(facts_of(event_of(event(kind, found, AT, **more))))


def test_both_shapes_of_an_invoice_say_the_same() -> None:
    older, newer = (
        facts("invoice.paid", invoice("in_1", 500, AT, shape=shape, user_id=7))[0] for shape in (OLDER, NEWER)
    )
    assert older.least == newer.least == {"paid_at": AT, "period_start": AT}
    assert older.most == newer.most
    assert newer.most["subscription"] == "sub_1"
    assert newer.most["user_id"] == 7
    assert set(newer.refs) == {"in_1", "pi_in_1"}
    assert set(older.refs) == {"in_1", "pi_in_1", "ch_in_1"}


@pytest.mark.parametrize("shape", [OLDER, NEWER])
def test_subscription_is_found_on_the_lines(shape: str) -> None:
    found = invoice("in_1", 500, AT, shape=shape)
    found.pop("subscription", None)
    found.pop("parent", None)
    assert facts("invoice.paid", found)[0].most["subscription"] == "sub_1"


def test_prorated_lines_do_not_move_the_period() -> None:
    found = invoice("in_1", 500, AT)
    early = {"start": seconds(AT - timedelta(days=20)), "end": seconds(AT)}
    item = {"proration": True, "subscription": "sub_1"}
    found["lines"]["data"].append({"period": early, "parent": {"subscription_item_details": item}})
    assert facts("invoice.paid", found)[0].least["period_start"] == AT


def test_invoice_without_lines_has_its_own_period_and_the_time_of_the_event() -> None:
    found = {**invoice("in_1", 500, AT), "lines": None, "status_transitions": None, "parent": None}
    fact = facts("invoice.paid", found)[0]
    assert fact.least == {"paid_at": AT, "period_start": AT - timedelta(days=30)}
    assert "subscription" not in fact.most


def test_payment_of_an_invoice_is_known_by_its_own_event() -> None:
    paid_by = {"invoice": "in_1", "payment": {"type": "payment_intent", "payment_intent": {"id": "pi_9"}}}
    assert facts("invoice_payment.paid", paid_by)[0].refs == ["in_1", "pi_9"]
    assert facts("invoice_payment.paid", {"invoice": "in_1"})[0].refs == ["in_1"]


def test_checkout_links_a_subscription_to_its_trainer() -> None:
    session = {"subscription": "sub_1", "customer": "cus_1", "metadata": {"user_id": "7"}}
    assert facts("checkout.session.completed", session)[0].most == {"customer": "cus_1", "user_id": 7}
    assert facts("checkout.session.completed", {"mode": "payment"}) == []


@pytest.mark.parametrize("written", ["0", "-1", "x", "9" * 16, 7, None, "٣"])
def test_user_id_that_is_none_of_ours_is_ignored(written: object) -> None:
    found = {**subscription(), "metadata": {"user_id": written}}
    assert "user_id" not in facts("customer.subscription.updated", found)[0].most


def test_end_of_a_subscription_is_its_own_time_or_the_events() -> None:
    for ended_at in (AT - timedelta(days=1), None):
        found = facts("customer.subscription.deleted", subscription(ended_at=ended_at))[0]
        assert found.least == {"ended_at": ended_at or AT}


def test_subscription_without_items_has_the_older_fields() -> None:
    found = {
        **subscription(),
        "items": {"data": []},
        "plan": {"id": "price_old"},
        "current_period_end": seconds(AT),
    }
    state = facts("customer.subscription.updated", found)[0].most["state"]
    assert isinstance(state, dict)
    assert (state["price"], state["period_end"]) == ("price_old", AT)


def test_same_address_has_the_same_mark_however_it_is_written() -> None:
    spelt = {**HOME, "line1": "1 main street"}
    one = facts("invoice.paid", invoice("in_1", 500, AT, address=HOME))[0]
    other = facts("charge.succeeded", charge("in_1", card="fp_1", address=spelt))[0]
    account = {
        "id": "acct_1",
        "individual": {"address": HOME},
        "external_accounts": {"data": [{"fingerprint": "fp_1"}]},
    }
    third = facts("account.updated", account, account="acct_1")[0]
    assert set(one.marks) < set(other.marks)
    assert set(other.marks) == set(third.marks)


def test_s38_what_happens_in_somebody_elses_account_is_not_about_our_invoices() -> None:
    assert facts("invoice.paid", invoice("in_1", 500, AT, user_id=7), account="acct_1") == []


@pytest.mark.parametrize("kind", ["customer.created", "charge.refund.updated", "payment_intent.succeeded"])
def test_other_events_say_nothing(kind: str) -> None:
    assert facts(kind, {"id": "x", "object": "refund"}) == []


@pytest.mark.parametrize(
    "found",
    [
        None,
        [],
        {},
        {"id": "evt_1"},
        {"id": "evt_1", "data": {"object": []}},
        {"id": "evt_1", "type": "x", "created": True, "data": {"object": {}}},
        {"id": "", "type": "x", "created": 1, "data": {"object": {}}},
        {"id": "evt_1", "type": "x", "created": 10**10, "data": {"object": {}}},
        {"id": "evt_1", "type": "x", "created": 1, "account": 7, "data": {"object": {}}},
    ],
)
def test_what_is_no_event_is_refused(found: object) -> None:
    with pytest.raises(ValueError, match=r"no|not"):
        event_of(found)


@pytest.mark.parametrize("cents", [None, -1, 1.5, "5", True])
def test_amount_that_is_none_is_refused(cents: object) -> None:
    found = {**invoice("in_1", 500, AT), "amount_paid": cents}
    with pytest.raises(ValueError, match="cents"):
        facts("invoice.paid", found)
