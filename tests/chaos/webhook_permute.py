"""Stripe's events in any order and more than once: what follows from them is the same as in order.

Hypothesis makes up histories with refunds, disputes, upgrades, churn and return, and shuffles them; most run against
books in memory with the real rules, every so many against a real database as well.
"""

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as some

from config.deps import Deps
from config.settings import load_settings
from payments.inbox import apply
from payments.stripe_events import event_of
from server import open_deps
from store.billing_records import Referral, Verdict
from store.embedded import EmbeddedMongo
from store.money_records import Commission, Terms
from store.records import AMBASSADOR, TRAINER
from store.referrals import Claimant
from tests.chaos.frame import Options, Report, Scenario
from tests.support.commission_books import Books, effective
from tests.support.stripe_events import NEWER, OLDER, TIERS, charge, dispute, event, invoice, subscription

Event = dict[str, Any]

BEGIN = datetime(2026, 1, 10, 12, tzinfo=UTC)
PRICES = {"price_pro": 12_900, "price_team": 29_901}
RATES = ("0.20", "0.3333", "0.05")
OUTCOMES = ("needs_response", "under_review", "won", "lost", "warning_closed")
# One example in so many runs against the database, too: it takes a hundred times as long.
DATABASE_EVERY = 100


@dataclass(frozen=True)
class Example:
    """A history in order, the same events as they come, and after which of those a payout is made."""

    terms: tuple[Terms, ...]
    in_order: Sequence[Event]
    shuffled: Sequence[Event]
    payouts: frozenset[int]


@some.composite
def histories(draw: some.DrawFn) -> Example:
    """Some months of a trainer's subscription: paid, refunded, disputed, upgraded, ended and begun again."""
    events: list[Event] = []
    at, price, sub = BEGIN, "price_pro", 1

    def tell(kind: str, found: Event, when: datetime) -> None:
        # Each has a name of its own, and none of them depends on chance.
        events.append(event(kind, found, when, name=f"evt_{len(events)}"))

    def speak(**more: Any) -> None:
        kind = "customer.subscription.deleted" if "ended_at" in more else "customer.subscription.updated"
        tell(kind, subscription(f"sub_{sub}", price=price, **more), at)

    for month in range(draw(some.integers(1, 4))):
        name, cents = f"in_{month}", PRICES[price]
        shape = draw(some.sampled_from([OLDER, NEWER]))
        paid = invoice(name, cents, at, subscription=f"sub_{sub}", shape=shape)
        tell("invoice.paid", paid, at)
        if draw(some.booleans()):
            tell("charge.succeeded", charge(name), at)
        refunded = 0
        for part in draw(some.lists(some.sampled_from([1, 100, 4_999, cents]), max_size=2)):
            refunded = min(cents, refunded + part)
            tell("charge.refunded", charge(name, refunded), at + timedelta(days=1))
        if draw(some.integers(0, 3)) == 0:
            disputed = draw(some.sampled_from([cents, cents // 2]))
            stages = ["needs_response", *draw(some.lists(some.sampled_from(OUTCOMES), max_size=2))]
            for stage in stages:
                tell("charge.dispute.updated", dispute(name, stage, disputed), at + timedelta(days=2))
        if draw(some.integers(0, 2)) == 0:
            price = draw(some.sampled_from(sorted(PRICES)))
            upgraded = invoice(f"{name}_up", 1_717, at + timedelta(days=3), subscription=f"sub_{sub}")
            tell("invoice.paid", upgraded, at + timedelta(days=3))
            speak()
        at += timedelta(days=30)
        if draw(some.integers(0, 3)) == 0:
            speak(status="canceled", ended_at=at)
            sub += 1
            at += timedelta(days=10)
    rates = draw(some.lists(some.tuples(some.integers(0, 120), some.sampled_from(RATES), some.booleans())))
    later = [
        Terms(BEGIN + timedelta(days=days, hours=1), rate, active) for days, rate, active in sorted(rates)
    ]
    again = draw(some.lists(some.sampled_from(events), max_size=4))
    shuffled = draw(some.permutations([*events, *again]))
    payouts = draw(some.sets(some.integers(0, len(shuffled) - 1), max_size=3))
    first = Terms(BEGIN - timedelta(days=1), "0.20", is_active=True)
    return Example((first, *later), tuple(events), tuple(shuffled), frozenset(payouts))


def told(terms: tuple[Terms, ...], events: Sequence[Event], payouts: frozenset[int] = frozenset()) -> Books:
    """The books after these events; after each, nothing was taken back that was not earned."""
    books = Books(terms, BEGIN)
    for number, each in enumerate(events):
        books.apply(each)
        wrong = {name: cents for name, cents in books.net().items() if cents < 0}
        assert not wrong, f"taken back more than was earned: {wrong}"
        if number in payouts:
            books.pay_out()
    return books


async def run(options: Options, report: Report) -> None:
    differing: list[str] = []
    for_database: list[Example] = []
    counts = {"examples": 0, "events": 0, "payouts": 0}

    @seed(options.seed)
    @settings(
        max_examples=options.n,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(histories())
    def permute(example: Example) -> None:
        counts["examples"] += 1
        counts["events"] += len(example.shuffled)
        counts["payouts"] += len(example.payouts)
        if counts["examples"] % DATABASE_EVERY == 1:
            for_database.append(example)
        in_order = told(example.terms, example.in_order)
        if told(example.terms, example.shuffled).end_state != in_order.end_state:
            differing.append(f"{[each['id'] for each in example.shuffled]} of {example.in_order}")
        if told(example.terms, example.shuffled, example.payouts).net() != in_order.net():
            differing.append(f"with payouts {sorted(example.payouts)}: {example.shuffled}")

    await asyncio.to_thread(permute)
    wrong = await _against_database(for_database)
    report.add("permutations", counts["examples"], least=options.n)
    report.add("events", counts["events"])
    report.add("payouts between them", counts["payouts"])
    report.none_of("end states that differ from the one in order", differing)
    report.add("of them in a real database, too", len(for_database), least=1)
    report.none_of("end states of the database that differ", wrong)


async def _against_database(examples: Sequence[Example]) -> list[str]:
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="cohort-permute-") as folder:
        mongo = await asyncio.to_thread(EmbeddedMongo.start, Path(folder))
        try:
            settings = load_settings(
                {"MONGODB_URI": mongo.uri, "DATA_DIR": folder, "SUBSCRIPTION_TIERS": TIERS}
            )
            async with open_deps(settings) as deps:
                for number, example in enumerate(examples):
                    found = await _in_database(deps, number, example)
                    if found != told(example.terms, example.in_order).end_state:
                        wrong.append(f"{example.shuffled}: {found}")
        finally:
            await asyncio.to_thread(mongo.stop)
    return wrong


async def _in_database(deps: Deps, number: int, example: Example) -> object:
    """Tell a history, two events at a time, to the real thing, and give what it came to, in the books' own form."""
    ambassador_id, trainer_id = await _people(deps, number, example.terms)
    await deps.store.referrals.add(Claimant(trainer_id, "", "CODE", BEGIN), ambassador_id)
    events = [_renamed(each, number, trainer_id) for each in example.shuffled]
    for first in range(0, len(events), 2):
        await asyncio.gather(*(apply(deps, event_of(each)) for each in events[first : first + 2]))
    referral = await deps.store.referrals.of_trainer(trainer_id)
    assert referral is not None
    entries = await deps.store.commissions.newest(ambassador_id, 0)
    return _as_books(referral, number, list(entries))


async def _people(deps: Deps, number: int, terms: tuple[Terms, ...]) -> tuple[int, int]:
    ids = []
    for role in (AMBASSADOR, TRAINER):
        user = await deps.store.users.add(
            email=f"{role}{number}@example.org", password_hash="", first_name="A", last_name="B", role=role,
            timezone="UTC", epoch="e1",
        )  # fmt: skip
        ids.append(user.id)
    await deps.store.ambassadors.add(ids[0], referral_code=f"CODE{number}", commission_rate="0.20")
    written = [
        {"since": each.since, "commission_rate": each.commission_rate, "is_active": each.is_active}
        for each in terms
    ]
    await deps.store.database.table("ambassadors").update({"_id": ids[0]}, {"$set": {"terms": written}})
    return ids[0], ids[1]


def _renamed(told_event: Any, number: int, trainer_id: int) -> Any:
    """The same event about objects of this example alone, and of this trainer."""
    if isinstance(told_event, dict):
        found = {name: _renamed(value, number, trainer_id) for name, value in told_event.items()}
        if found.get("object") in ("invoice", "subscription"):
            found["metadata"] = {"user_id": str(trainer_id)}
            found["customer"] = None
        return found
    if isinstance(told_event, list):
        return [_renamed(each, number, trainer_id) for each in told_event]
    is_name = isinstance(told_event, str) and told_event.startswith(
        ("in_", "sub_", "ch_", "pi_", "dp_", "evt_")
    )
    return f"{told_event}_of{number}" if is_name else told_event


def _as_books(referral: Referral, number: int, entries: list[Commission]) -> object:
    standing = Verdict(
        status=referral.status,
        subscription_tier=referral.subscription_tier,
        flags=referral.flags,
        activated_at=referral.activated_at,
        churned_at=referral.churned_at,
        steps=(),
    )
    named = [replace(each, source_id=each.source_id.replace(f"_of{number}", "")) for each in entries]
    return standing, effective(named)


SCENARIOS = (
    Scenario(
        name="webhook-permute",
        says="Stripe's events shuffled and repeated, with payouts between them: the same commissions as in order",
        run=run,
        counted="permutations",
        full=20_000,
        quick=60,
    ),
)
