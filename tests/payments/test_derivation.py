"""What follows from facts: the state table of referrals and commissions, row by row, and in any order."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from payments.money import rate_of, share
from store.money_records import APPROVED, PAID, PENDING, REVERSED, Terms
from tests.chaos.webhook_permute import Example, histories, told
from tests.support.commission_books import Books
from tests.support.stripe_events import OLDER, charge, dispute, event, invoice, subscription

AT = datetime(2026, 11, 5, 10, tzinfo=UTC)
LATER = AT + timedelta(days=3)


def books(*terms: Terms) -> Books:
    return Books(terms or (Terms(AT - timedelta(days=9), "0.20", is_active=True),), AT)


def paid(name: str = "in_1", cents: int = 12_900, at: datetime = AT, **more: Any) -> dict[str, Any]:
    return event("invoice.paid", invoice(name, cents, at, **more), at)


def refund(cents: int, name: str = "in_1") -> dict[str, Any]:
    return event("charge.refunded", charge(name, cents), LATER)


def disputed(status: str, cents: int = 12_900, *, number: int = 1) -> dict[str, Any]:
    found = dispute("in_1", status, cents, number=number)
    return event("charge.dispute.updated", found, LATER)


def lines(found: Books) -> list[tuple[str, int, str]]:
    return [(each.kind, each.cents, each.status) for each in found.entries]


def tell(found: Books, *events: dict[str, Any]) -> Books:
    for each in events:
        found.apply(each)
    return found


@hypothesis_settings(max_examples=40)
@given(histories())
def test_order_and_repetition_change_nothing(example: Example) -> None:
    in_order = told(example.terms, example.in_order)
    assert told(example.terms, example.shuffled).end_state == in_order.end_state
    assert told(example.terms, example.shuffled, example.payouts).net() == in_order.net()


@hypothesis_settings(max_examples=40)
@given(histories())
def test_commission_is_the_share_of_what_was_paid_at_the_rate_of_that_time(example: Example) -> None:
    found = told(example.terms, example.in_order)
    for each in found.entries:
        assert (
            each.cents == share(each.base_cents, rate_of(each.commission_rate)) or each.kind != "commission"
        )


def test_paid_invoice_makes_an_approved_commission_and_an_active_referral() -> None:
    found = tell(books(), paid())
    entry = found.entries[0]
    assert (entry.cents, entry.base_cents, entry.commission_rate) == (2_580, 12_900, "0.20")
    assert (entry.status, entry.source_id) == (APPROVED, "in_1")
    assert (entry.period_start, entry.period_end) == (AT, AT + timedelta(days=30))
    assert found.verdict is not None
    assert (found.verdict.status, found.verdict.activated_at) == ("ACTIVE", AT)


def test_invoice_of_nothing_makes_nothing() -> None:
    found = tell(books(), paid(cents=0))
    assert found.entries == []
    assert found.verdict is not None
    assert found.verdict.status == "PENDING"


def test_invoice_in_another_currency_waits_for_a_person() -> None:
    found = tell(books(), paid(currency="eur"))
    assert lines(found) == [("commission", 0, PENDING)]
    assert lines(tell(found, paid(currency="eur"))) == [("commission", 0, PENDING)]


def test_rate_and_activity_are_those_at_the_time_of_payment() -> None:
    terms = (
        Terms(AT - timedelta(days=1), "0.20", is_active=True),
        Terms(AT + timedelta(days=1), "0.50", is_active=True),
        Terms(AT + timedelta(days=2), "0.50", is_active=False),
    )
    found = tell(
        books(*terms),
        paid("in_3", at=AT + timedelta(days=3)),
        paid("in_2", at=AT + timedelta(days=1, hours=1)),
        paid("in_1"),
    )
    assert sorted(each.cents for each in found.entries) == [2_580, 6_450]
    assert found.verdict is not None
    assert found.verdict.status == "ACTIVE"


def test_terms_of_the_second_of_payment_count_once_and_then_stay() -> None:
    change = Terms(AT + timedelta(milliseconds=300), "0.50", is_active=True)
    first = Terms(AT - timedelta(days=1), "0.20", is_active=True)
    found = tell(books(first, change), paid())
    assert [each.cents for each in found.entries] == [6_450]
    end = Terms(AT + timedelta(milliseconds=600), "0.10", is_active=False)
    later = books(first, change, end)
    later.entries = list(found.entries)
    assert lines(tell(later, paid())) == [("commission", 6_450, APPROVED)]


def test_churned_referral_comes_back_with_the_next_paid_invoice() -> None:
    ended = subscription(status="canceled", ended_at=LATER)
    found = tell(books(), paid(), event("customer.subscription.deleted", ended, LATER))
    assert found.verdict is not None
    assert (found.verdict.status, found.verdict.churned_at) == ("CHURNED", LATER)
    tell(found, paid("in_2", at=LATER + timedelta(days=9), subscription="sub_2"))
    assert (found.verdict.status, found.verdict.churned_at) == ("ACTIVE", None)


def test_end_of_a_subscription_that_was_never_paid_is_no_churn() -> None:
    ended = subscription(status="canceled", ended_at=LATER)
    found = tell(books(), event("customer.subscription.deleted", ended, LATER))
    assert found.verdict is not None
    assert found.verdict.status == "PENDING"


def test_other_subscription_goes_on_where_one_ends() -> None:
    ended = subscription("sub_1", status="canceled", ended_at=LATER)
    found = tell(
        books(),
        paid("in_1"),
        paid("in_2", subscription="sub_2"),
        event("customer.subscription.deleted", ended, LATER),
    )
    assert found.verdict is not None
    assert found.verdict.status == "ACTIVE"


def test_latest_event_of_a_subscription_tells_its_tier() -> None:
    newer = event("customer.subscription.updated", subscription(price="price_team"), LATER)
    older = event("customer.subscription.created", subscription(price="price_pro"), AT)
    found = tell(books(), newer, older)
    assert found.verdict is not None
    assert found.verdict.subscription_tier == "team"


def test_full_refund_reverses_what_is_not_paid_out() -> None:
    assert lines(tell(books(), paid(), refund(12_900))) == [("commission", 2_580, REVERSED)]
    assert lines(tell(books(), refund(12_900), paid())) == [("commission", 2_580, REVERSED)]


def test_partial_refund_makes_a_negative_entry() -> None:
    found = tell(books(), paid(), refund(2_500))
    assert lines(found) == [("commission", 2_580, APPROVED), ("reversal", -500, APPROVED)]
    assert lines(tell(found, refund(2_500))) == lines(found)


def test_larger_refund_replaces_the_entry_of_the_smaller_one() -> None:
    found = tell(books(), paid(), refund(2_500), refund(5_000), refund(2_500))
    counting = [each for each in lines(found) if each[2] != REVERSED]
    assert counting == [("commission", 2_580, APPROVED), ("reversal", -1_000, APPROVED)]


def test_refund_of_a_paid_commission_is_a_negative_entry() -> None:
    found = tell(books(), paid())
    found.pay_out()
    tell(found, refund(12_900))
    assert lines(found) == [("commission", 2_580, PAID), ("reversal", -2_580, APPROVED)]


def test_open_dispute_holds_what_is_not_paid_out_until_it_is_won() -> None:
    found = tell(books(), paid(), refund(2_500), disputed("needs_response"))
    assert {each[2] for each in lines(found)} == {PENDING}
    tell(found, disputed("won"))
    assert lines(found) == [("commission", 2_580, APPROVED), ("reversal", -500, APPROVED)]


def test_lost_dispute_reverses_what_is_not_paid_out() -> None:
    found = tell(books(), paid(), disputed("under_review"), disputed("lost"))
    assert lines(found) == [("commission", 2_580, REVERSED)]


def test_inquiry_moves_nothing() -> None:
    found = tell(books(), paid(), disputed("warning_needs_response"))
    assert lines(found) == [("commission", 2_580, APPROVED)]


def test_dispute_of_a_paid_commission_is_owed_back_and_given_back_when_won() -> None:
    found = tell(books(), paid())
    found.pay_out()
    tell(found, disputed("needs_response"))
    assert lines(found)[1:] == [("reversal", -2_580, APPROVED)]
    tell(found, paid("in_2"))
    assert sum(cents for _, cents, status in lines(found) if status == APPROVED) == 0
    tell(found, paid("in_3"))
    found.pay_out()
    tell(found, disputed("won"))
    assert lines(found)[-1] == ("restoration", 2_580, APPROVED)
    assert found.net() == {"in_1": 2_580, "in_2": 2_580, "in_3": 2_580}


def test_refund_and_lost_dispute_together_take_no_more_than_there_was() -> None:
    found = tell(books(), paid())
    found.pay_out()
    tell(found, refund(10_000), disputed("lost"))
    assert found.net() == {"in_1": 0}


def test_dispute_won_after_all_brings_the_commission_back() -> None:
    found = tell(books(), paid(), disputed("lost"), disputed("won"))
    assert lines(found) == [("commission", 2_580, REVERSED), ("commission", 2_580, APPROVED)]


def test_refund_is_found_by_invoice_in_the_older_shape() -> None:
    found = charge("in_1", 12_900)
    del found["payment_intent"]
    older = {**found, "id": "ch_other", "invoice": "in_1"}
    told_books = tell(books(), paid(shape=OLDER), event("charge.refunded", older, LATER))
    assert lines(told_books) == [("commission", 2_580, REVERSED)]


def test_entries_of_an_invoice_that_is_not_the_trainers_any_more_are_taken_back() -> None:
    found = tell(books(), paid())
    entry = replace(found.entries[0], source_id="in_strange", id=2)
    found.entries.append(entry)
    tell(found, paid())
    assert [(each.source_id, each.status) for each in found.entries] == [
        ("in_1", APPROVED),
        ("in_strange", REVERSED),
    ]


@pytest.mark.parametrize("days", [365, 30])
def test_annual_invoice_makes_one_commission_for_its_period(days: int) -> None:
    found = tell(books(), paid(cents=120_000, days=days))
    assert [(each.cents, each.period_end - each.period_start) for each in found.entries] == [
        (24_000, timedelta(days=days))
    ]
