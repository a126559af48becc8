"""What a referral and its commissions should be, as pure functions of everything that is known.

Nothing here depends on the order in which things became known: the same facts and the same entries give the same
answer. Facts are read in ``payments.stripe_events``, and what follows is written by ``store.referrals``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from payments.money import rate_of, share
from store.billing_records import (
    ACTIVE,
    CHURNED,
    DISPUTE_LOST,
    DISPUTE_OPEN,
    REFERRED,
    Add,
    Invoice,
    Known,
    Payments,
    Reverse,
    SetStatus,
    Step,
    Subscription,
    Verdict,
)
from store.money_records import (
    APPROVED,
    COMMISSION,
    PENDING,
    RESTORATION,
    REVERSAL,
    REVERSED,
    Commission,
    CommissionDraft,
)

NO_RATE = Decimal(0)
# Stripe's times are whole seconds: something paid "at 12:00:00" was paid before 12:00:01, and terms have milliseconds.
SECOND = timedelta(milliseconds=999)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the entries of one invoice should come to.

    Of ``base_cents`` that were paid, ``taken_cents`` went back to the payer. ``is_held``: a dispute is open.
    ``is_unclear``: it cannot be computed, and a person must look.
    """

    invoice_id: str
    base_cents: int
    taken_cents: int
    rate: Decimal
    rate_text: str
    is_held: bool
    is_unclear: bool
    period_start: datetime
    period_end: datetime

    @property
    def earned_cents(self) -> int:
        return share(self.base_cents, self.rate)

    @property
    def kept_cents(self) -> int:
        """What is left of it. Never less than nothing: a share of less is never more than a share of all."""
        return self.earned_cents - share(self.taken_cents, self.rate)


@dataclass(frozen=True, slots=True)
class Line:
    """One entry as it should be: its kind, what of, and how much."""

    kind: str
    base_cents: int
    cents: int


def judge(known: Known, *, currency: str, tiers: Mapping[str, str]) -> Verdict:
    """Give what the referral should say, and the steps to what its commissions should be.

    ``tiers`` are the names of the tiers by their price at Stripe.
    """
    payments = known.payments
    paid = [each for each in payments.invoices if each.paid_at is not None and each.cents > 0]
    steps: list[Step] = []
    for wish in _wishes(known, paid, currency):
        entries = [each for each in known.entries if invoice_of(each) == wish.invoice_id]
        steps += plan(known, wish, entries)
    status, activated_at, churned_at = standing(paid, payments.subscriptions)
    latest = latest_subscription(payments.subscriptions)
    return Verdict(
        status=status,
        subscription_tier=tiers.get(latest.price or "") if latest else None,
        flags=shared_marks(known),
        activated_at=activated_at,
        churned_at=churned_at,
        steps=tuple(steps),
    )


def invoice_of(entry: Commission) -> str:
    """Give the id of the invoice that an entry is about: its source is that, and a number from the second on."""
    return entry.source_id.partition(":")[0]


# The referral


def standing(
    paid: Sequence[Invoice], subscriptions: Sequence[Subscription]
) -> tuple[str, datetime | None, datetime | None]:
    """Give a referral's status, since when it is active, and, where it is churned, since when."""
    times = [each.paid_at for each in paid if each.paid_at is not None]
    if not times:
        return REFERRED, None, None
    ends = {each.id: each.ended_at for each in subscriptions if each.ended_at is not None}
    if not ends:
        return ACTIVE, min(times), None
    last_end = max(ends.values())
    goes_on = any(each.subscription is not None and each.subscription not in ends for each in paid)
    if goes_on or max(times) > last_end:
        return ACTIVE, min(times), None
    return CHURNED, min(times), last_end


def latest_subscription(subscriptions: Sequence[Subscription]) -> Subscription | None:
    """Give the one that goes on, else the one that ended last, as far as any event spoke of it."""
    spoken_of = [each for each in subscriptions if each.said_at is not None]
    return max(spoken_of, key=lambda each: (each.ended_at is None, each.said_at, each.id), default=None)


def shared_marks(known: Known) -> tuple[str, ...]:
    """Give what the ambassador and the trainer have in common at Stripe: a card, an address."""
    payments = known.payments
    of_charges = {mark for each in payments.charges for mark in each.marks}
    of_invoices = {mark for each in payments.invoices for mark in each.marks}
    shared = (of_charges | of_invoices) & known.ambassador_marks
    return tuple(sorted({mark.partition(":")[0] for mark in shared}))


# Commissions


def _wishes(known: Known, paid: Sequence[Invoice], currency: str) -> Iterator[Wish]:
    """Give a wish for each paid invoice, oldest first, and one of nothing for entries of any other."""
    for invoice in sorted(paid, key=lambda each: (each.paid_at, each.id)):
        yield _wish(known, invoice, currency)
    strange = {invoice_of(each): each for each in known.entries}
    for invoice in paid:
        strange.pop(invoice.id, None)
    for invoice_id, entry in sorted(strange.items()):
        yield Wish(
            invoice_id=invoice_id,
            base_cents=0,
            taken_cents=0,
            rate=NO_RATE,
            rate_text=entry.commission_rate,
            is_held=False,
            is_unclear=False,
            period_start=entry.period_start,
            period_end=entry.period_end,
        )


def _wish(known: Known, invoice: Invoice, currency: str) -> Wish:
    paid_at = invoice.paid_at or known.referral.referred_at
    rate_text, is_active = _promised(known, invoice, paid_at)
    is_clear = invoice.currency == currency
    is_earned = is_active and is_clear
    refunded, is_held = taken_back(invoice, known.payments)
    return Wish(
        invoice_id=invoice.id,
        base_cents=invoice.cents if is_earned else 0,
        taken_cents=min(invoice.cents, refunded) if is_earned else 0,
        rate=rate_of(rate_text),
        rate_text=rate_text,
        is_held=is_held and is_earned,
        is_unclear=is_active and not is_clear,
        period_start=invoice.period_start or paid_at,
        period_end=invoice.period_end or paid_at,
    )


def _promised(known: Known, invoice: Invoice, paid_at: datetime) -> tuple[str, bool]:
    """Give the rate of an invoice, and whether anything is earned by it: by the terms when it was paid.

    Once written it stays, whatever changes within that very second.
    """
    for each in known.entries:
        if each.kind == COMMISSION and each.base_cents and invoice_of(each) == invoice.id:
            return each.commission_rate, True
    terms = known.ambassador.terms_at(paid_at + SECOND)
    return terms.commission_rate, terms.is_active


def taken_back(invoice: Invoice, payments: Payments) -> tuple[int, bool]:
    """Give how many cents of an invoice went back for good, and whether a dispute about it is open."""
    charges = [each for each in payments.charges if each.refs & invoice.refs]
    refs = invoice.refs.union(*(each.refs for each in charges))
    disputes = [each for each in payments.disputes if each.refs & refs]
    refunded = sum(each.refunded_cents for each in charges)
    lost = sum(each.cents for each in disputes if each.rank == DISPUTE_LOST)
    return refunded + lost, any(each.rank == DISPUTE_OPEN for each in disputes)


def plan(known: Known, wish: Wish, entries: Sequence[Commission]) -> Iterator[Step]:
    """Give the steps that make an invoice's entries what they should be; none where they are.

    What a payout has claimed or paid stays as it is, and what is wrong with it is made up for by one entry more.
    Anything else is taken back where it is not (any more) what it should be, held while a dispute is open, or
    written.
    """
    free = [each for each in entries if each.payout_id is None and each.status != REVERSED]
    settled = [each for each in entries if each.payout_id is not None]
    status = APPROVED if settled or not (wish.is_held or wish.is_unclear) else PENDING
    missing: list[Line] = []
    for line in _amends(wish, settled) if settled else _lines(wish):
        entry = next((each for each in free if _is(each, line, wish)), None)
        if entry is None:
            missing.append(line)
            continue
        free.remove(entry)
        if entry.status != status:
            yield SetStatus(entry, status)
    for entry in free:
        yield Reverse(entry)
    count = len(entries)
    if not entries and not missing and wish.base_cents > 0:
        # All of it went back before anything was written: then that is to be seen, too.
        yield Add(
            _draft(known, wish, Line(COMMISSION, wish.base_cents, wish.earned_cents), 0, APPROVED), True
        )
    for number, line in enumerate(missing, count):
        yield Add(_draft(known, wish, line, number, status))


def _lines(wish: Wish) -> list[Line]:
    """The entries of an invoice of which nothing was paid out: the commission, and what of it went back."""
    if wish.is_unclear:
        return [Line(COMMISSION, 0, 0)]
    if wish.base_cents <= wish.taken_cents:
        return []
    lines = [Line(COMMISSION, wish.base_cents, wish.earned_cents)]
    if wish.taken_cents:
        lines.append(Line(REVERSAL, -wish.taken_cents, wish.kept_cents - wish.earned_cents))
    return lines


def _amends(wish: Wish, settled: Sequence[Commission]) -> list[Line]:
    """What makes up for the difference to what was paid out. While a dispute is open, all of it is owed back."""
    base, cents = wish.base_cents - wish.taken_cents, wish.kept_cents
    if wish.is_held:
        base, cents = 0, 0
    base -= sum(each.base_cents for each in settled)
    cents -= sum(each.cents for each in settled)
    if cents == 0:
        return []
    return [Line(REVERSAL if cents < 0 else RESTORATION, base, cents)]


def _is(entry: Commission, line: Line, wish: Wish) -> bool:
    same = (entry.kind, entry.base_cents, entry.cents) == (line.kind, line.base_cents, line.cents)
    return same and entry.commission_rate == wish.rate_text


def _draft(known: Known, wish: Wish, line: Line, number: int, status: str) -> CommissionDraft:
    # A period without an end would be no period.
    period_end = max(wish.period_end, wish.period_start + timedelta(milliseconds=1))
    return CommissionDraft(
        referral_id=known.referral.id,
        ambassador_id=known.referral.ambassador_id,
        trainer_id=known.referral.trainer_id,
        kind=line.kind,
        source_id=f"{wish.invoice_id}:{number}" if number else wish.invoice_id,
        commission_rate=wish.rate_text,
        base_cents=line.base_cents,
        cents=line.cents,
        status=status,
        period_start=wish.period_start,
        period_end=period_end,
    )
