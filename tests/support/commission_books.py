"""The books of one referral in memory: merges facts and takes steps as the database does, thousands of times faster.

What follows from the facts is the real code's answer. A test holds these books against the database's.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from payments.derivation import invoice_of, judge
from payments.stripe_events import event_of, facts_of
from store.billing_records import (
    CHARGE,
    DISPUTE,
    INVOICE,
    REFERRED,
    SUBSCRIPTION,
    Add,
    Charge,
    Dispute,
    Fact,
    Invoice,
    Known,
    Payments,
    Referral,
    Reverse,
    SetStatus,
    Step,
    Subscription,
    Verdict,
)
from store.money_records import (
    APPROVED,
    COMMISSION,
    PAID,
    REVERSED,
    Ambassador,
    Commission,
    CommissionDraft,
    Terms,
)

TIERS = {"price_pro": "pro", "price_team": "team"}
Effective = tuple[object, ...]


class Books:
    """What is known of one trainer, and the commissions derived from it so far."""

    def __init__(self, terms: tuple[Terms, ...], at: datetime) -> None:
        self._objects: dict[str, dict[str, Any]] = {}
        self.entries: list[Commission] = []
        self.verdict: Verdict | None = None
        self._payouts = 0
        self._ambassador = Ambassador(
            id=1,
            referral_code="ABCDEFGH",
            commission_rate=terms[-1].commission_rate,
            is_active=terms[-1].is_active,
            terms=terms,
            version=1,
            created_at=at,
        )
        self._referral = Referral(
            id=2,
            ambassador_id=1,
            trainer_id=3,
            referral_code="ABCDEFGH",
            status=REFERRED,
            subscription_tier=None,
            flags=(),
            referred_at=at,
            activated_at=None,
            churned_at=None,
            version=1,
        )

    def apply(self, event: Mapping[str, object]) -> None:
        """Deal with one event."""
        for fact in facts_of(event_of(event)):
            self._merge(fact)
        self.verdict = judge(self._known(), currency="usd", tiers=TIERS)
        for step in self.verdict.steps:
            self._take(step)

    def pay_out(self) -> None:
        """Claim and pay what can be paid, as a payout does, if that is more than nothing."""
        claimable = [each for each in self.entries if each.status == APPROVED and each.payout_id is None]
        if sum(each.cents for each in claimable) <= 0:
            return
        self._payouts += 1
        for each in claimable:
            self._put(replace(each, status=PAID, payout_id=self._payouts))

    def _merge(self, fact: Fact) -> None:
        found = self._objects.setdefault(
            fact.id, {"_id": fact.id, "kind": fact.kind, "refs": set(), "marks": set()}
        )
        for name, value in fact.least.items():
            found[name] = min(found.get(name, value), value)  # type: ignore[type-var]
        for name, value in fact.most.items():
            found[name] = max(found.get(name, value), value, key=_order)
        found["refs"].update(fact.refs)
        found["marks"].update(fact.marks)

    def _all(self, kind: str) -> list[dict[str, Any]]:
        return [each for each in self._objects.values() if each["kind"] == kind]

    def _known(self) -> Known:
        return Known(
            referral=self._referral,
            ambassador=self._ambassador,
            ambassador_marks=frozenset(),
            payments=Payments(
                invoices=tuple(map(Invoice.of, self._all(INVOICE))),
                charges=tuple(map(Charge.of, self._all(CHARGE))),
                disputes=tuple(map(Dispute.of, self._all(DISPUTE))),
                subscriptions=tuple(map(Subscription.of, self._all(SUBSCRIPTION))),
            ),
            entries=tuple(self.entries),
        )

    def _take(self, step: Step) -> None:
        match step:
            case Add(draft, is_reversed):
                self._add(draft, REVERSED if is_reversed else draft.status)
            case SetStatus(entry, status):
                self._put(replace(entry, status=status))
            case Reverse(entry):
                self._put(replace(entry, status=REVERSED))

    def _add(self, draft: CommissionDraft, status: str) -> None:
        source = (draft.kind, draft.source_id)
        assert source not in {(each.kind, each.source_id) for each in self.entries}, source
        fields = {name: getattr(draft, name) for name in CommissionDraft.__dataclass_fields__}
        number = len(self.entries) + 1
        self.entries.append(
            Commission(
                **{**fields, "status": status},
                id=number,
                payout_id=None,
                created_at=draft.period_start,
                version=1,
            )
        )

    def _put(self, entry: Commission) -> None:
        place = next(at for at, each in enumerate(self.entries) if each.id == entry.id)
        assert self.entries[place].payout_id is None, "what was paid out is never changed"
        self.entries[place] = entry

    @property
    def end_state(self) -> object:
        """What must not depend on the order: how the referral stands, and every entry that counts."""
        assert self.verdict is not None
        return replace(self.verdict, steps=()), effective(self.entries)

    def net(self) -> dict[str, int]:
        """What each invoice earned that is not held or taken back: the same whenever payouts came between."""
        found: dict[str, int] = {}
        for each in self.entries:
            cents = each.cents if each.status in {APPROVED, PAID} else 0
            found[invoice_of(each)] = found.get(invoice_of(each), 0) + cents
        return found


def effective(entries: list[Commission]) -> list[Effective]:
    """The entries that count, and for each invoice of which nothing is left, that it was taken back."""
    left = {invoice_of(each) for each in entries if each.status != REVERSED}
    counting: set[Effective] = {
        (invoice_of(each), REVERSED)
        for each in entries
        if invoice_of(each) not in left and each.kind == COMMISSION
    }
    for each in entries:
        if each.status != REVERSED:
            amounts = (each.kind, each.base_cents, each.cents, each.commission_rate)
            counting.add((invoice_of(each), each.status, *amounts, each.period_start, each.period_end))
    return sorted(counting, key=repr)


def _order(value: object) -> object:
    """How the database compares: what is embedded by its fields in order. The first two tell any two apart."""
    return (value["at"], value["event"]) if isinstance(value, dict) else value
