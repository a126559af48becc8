"""How ambassadors, referrals and commissions look to clients: records become the contract's JSON here.

A commission outside is all entries of one referral and month that are, or will be, paid together. A test holds what
is made here against the published schemas.
"""

import csv
import io
from collections.abc import Iterable, Sequence

from community.present import Json, optional_timestamp, timestamp
from payments.ambassadors import Detail, Standing
from payments.dashboard import Figures, StatementLine
from payments.derivation import invoice_of
from payments.money import amount_text
from payments.present import connect_status
from payments.subscriptions import State
from store.billing_records import Referral
from store.money_records import (
    APPROVED,
    COMMISSION,
    PAID,
    PENDING,
    RESTORATION,
    REVERSAL,
    REVERSED,
    Commission,
)
from store.records import User

ADJUSTMENT_LINE = "adjustment"
RULES = {
    COMMISSION: "{rate} of the {base} that were paid",
    REVERSAL: "{rate} of the {base} that went back, or may",
    RESTORATION: "{rate} of the {base} that did not go back in the end",
}
STATEMENT_COLUMNS = (
    "commission_id", "referral_id", "trainer_id", "invoice", "kind", "status", "commission_rate", "base_amount",
    "commission_amount", "rule", "period_start", "period_end", "created_at", "payout_record_id",
    "stripe_transfer_id",
)  # fmt: skip


def standing(found: Standing) -> Json:
    """Give an ambassador as an admin sees them in a list."""
    return {
        "id": found.user.id,
        "email": found.user.email,
        "first_name": found.user.first_name,
        "last_name": found.user.last_name,
        "referral_code": found.profile.referral_code,
        "commission_rate": found.profile.commission_rate,
        "is_active": found.profile.is_active,
        "created_at": timestamp(found.profile.created_at),
        "total_referrals": found.referrals.total,
        "active_referrals": found.referrals.active,
        "total_earnings": amount_text(found.earned.total_cents),
        "pending_earnings": amount_text(found.earned.unpaid_cents),
    }


def detail(found: Detail, referrals: Iterable[tuple[Referral, User | None, int]]) -> Json:
    """Give an ambassador as an admin sees them alone."""
    return {
        **standing(found),
        "referrals": [
            {**referral(one, trainer, cents), "flags": list(one.flags)} for one, trainer, cents in referrals
        ],
        "commissions": commissions(found.commissions),
        "payable_amount": amount_text(sum(each.cents for each in found.claimable)),
        "payable_commissions_count": len(found.claimable),
        "stripe": connect_status(found.account),
    }


def referral(found: Referral, trainer: User | None, cents: int) -> Json:
    return {
        "id": found.id,
        "trainer": _trainer(trainer, found.trainer_id),
        "status": found.status,
        "subscription_tier": found.subscription_tier,
        "commission_earned": amount_text(cents),
        "referred_at": timestamp(found.referred_at),
        "activated_at": optional_timestamp(found.activated_at),
        "churned_at": optional_timestamp(found.churned_at),
    }


def _trainer(user: User | None, user_id: int) -> Json:
    if user is None or not user.is_active:
        return {"id": user_id, "first_name": "Deleted", "last_name": "user", "email": None}
    return {"id": user.id, "first_name": user.first_name, "last_name": user.last_name, "email": user.email}


def figures(found: Figures) -> Json:
    """Give a dashboard; ``stale_since`` is a time only where the figures are old."""
    return {
        "total_referrals": found.referrals.total,
        "active_referrals": found.referrals.active,
        "total_earnings": amount_text(found.earned.total_cents),
        "pending_earnings": amount_text(found.earned.unpaid_cents),
        "monthly_earnings": [
            {"month": month, "amount": amount_text(cents)} for month, cents in found.months.items()
        ],
        "recent_referrals": [referral(*each) for each in found.recent],
        "is_active": found.is_active,
        "stale_since": optional_timestamp(found.stale_since),
    }


def commissions(entries: Sequence[Commission]) -> list[Json]:
    """Give entries, newest first, as commissions: one a referral and month, as far as they are paid together."""
    grouped: dict[tuple[object, ...], list[Commission]] = {}
    for each in entries:
        if each.status == REVERSED and each.kind != COMMISSION:
            continue  # what took something back, and was itself replaced, is nothing that anybody earned
        month = (each.period_start.year, each.period_start.month)
        key = (each.referral_id, month, each.payout_id, each.status == REVERSED)
        grouped.setdefault(key, []).append(each)
    return [_commission(sorted(group, key=lambda each: each.id)) for group in grouped.values()]


def _commission(group: Sequence[Commission]) -> Json:
    first = group[0]
    statuses = {each.status for each in group}
    status = next((each for each in (PENDING, APPROVED, PAID) if each in statuses), REVERSED)
    return {
        "id": first.id,
        "referral": first.referral_id,
        "ambassador": first.ambassador_id,
        "commission_rate": first.commission_rate,
        "base_amount": amount_text(sum(each.base_cents for each in group)),
        "commission_amount": amount_text(sum(each.cents for each in group)),
        "status": status,
        "period_start": timestamp(min(each.period_start for each in group)),
        "period_end": timestamp(max(each.period_end for each in group)),
        "payout_record_id": first.payout_id,
        "created_at": timestamp(first.created_at),
        "lines": [_line(each, is_first=each is first) for each in group],
    }


def _line(entry: Commission, *, is_first: bool) -> Json:
    return {
        "id": entry.id,
        "kind": entry.kind if is_first or entry.kind != COMMISSION else ADJUSTMENT_LINE,
        "invoice": invoice_of(entry),
        "commission_rate": entry.commission_rate,
        "base_amount": amount_text(entry.base_cents),
        "commission_amount": amount_text(entry.cents),
    }


def statement(month: str, lines: Sequence[StatementLine]) -> Json:
    kept = [each.entry.cents for each in lines if each.entry.status in {APPROVED, PAID}]
    return {
        "month": month,
        "total": amount_text(sum(kept)),
        "lines": [_statement_line(each) for each in lines],
    }


def _statement_line(line: StatementLine) -> Json:
    entry, payout = line.entry, line.payout
    rule = RULES.get(entry.kind, RULES[COMMISSION])
    return {
        "commission_id": entry.id,
        "referral_id": entry.referral_id,
        "trainer_id": entry.trainer_id,
        "invoice": invoice_of(entry),
        "kind": entry.kind,
        "status": entry.status,
        "commission_rate": entry.commission_rate,
        "base_amount": amount_text(entry.base_cents),
        "commission_amount": amount_text(entry.cents),
        "rule": rule.format(rate=entry.commission_rate, base=amount_text(abs(entry.base_cents))),
        "period_start": timestamp(entry.period_start),
        "period_end": timestamp(entry.period_end),
        "created_at": timestamp(entry.created_at),
        "payout_record_id": entry.payout_id,
        "stripe_transfer_id": payout.transfer_id if payout is not None else None,
    }


def statement_csv(lines: Sequence[StatementLine]) -> str:
    """Give a statement as a table for a spreadsheet: ids, amounts and times, and no word that anybody typed."""
    text = io.StringIO()
    writer = csv.DictWriter(text, STATEMENT_COLUMNS)
    writer.writeheader()
    writer.writerows(_statement_line(each) for each in lines)
    return text.getvalue()


def subscription(found: State) -> Json:
    return {
        "status": found.status,
        "tier": found.tier.name if found.tier is not None else None,
        "amount": amount_text(found.tier.cents) if found.tier is not None else None,
        "current_period_end": optional_timestamp(found.current_period_end),
        "cancel_at_period_end": found.cancel_at_period_end,
    }
