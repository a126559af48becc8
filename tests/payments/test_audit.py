"""The audit finds whatever is tampered with, and nothing where all is right."""

from typing import Any

import pytest

from config.deps import Deps
from payments.audit import audit
from payments.errors import PaymentRefused
from payments.gateway import transfer_of
from payments.pay_out import pay_out
from payments.transfers import apply_transfer
from store.money_records import REVERSAL, Payout
from tests.payments.test_payouts import claimed
from tests.support import stripe_double as faults
from tests.support.ambassadors import TERMINAL, Payees
from tests.support.stripe_double import StripeDouble


async def history(deps: Deps, stripe: StripeDouble) -> tuple[Payout, Payout]:
    """Payouts in every state, commissions of every kind; gives a completed payout and an open one."""
    payees = Payees(deps, stripe)
    user = await payees.ready(1_000, 500)
    paid = await pay_out(deps, TERMINAL, user.id)
    await payees.earn(user.id, -200, kind=REVERSAL)
    other = await payees.ready(700)
    stripe.faults.append(faults.DECLINED)
    with pytest.raises(PaymentRefused):
        await pay_out(deps, TERMINAL, other.id)
    taken_back = await payees.earn(other.id, 300)

    async def reverse(session: Any) -> None:
        assert await deps.store.commissions.reverse(taken_back, session=session)
        assert not await deps.store.commissions.reverse(taken_back, session=session)

    await deps.store.database.transact(reverse)
    third = await payees.ready(900)
    reversed_payout = await pay_out(deps, TERMINAL, third.id)
    transfer = transfer_of(stripe.reverse(str(reversed_payout.transfer_id), 400))
    await apply_transfer(deps, transfer)
    return paid, await claimed(deps, payees)


async def test_everything_adds_up_whatever_happened(own_deps: Deps, stripe: StripeDouble) -> None:
    await history(own_deps, stripe)
    outcome = await audit(own_deps, with_stripe=True)
    assert list(outcome.findings) == []
    assert (outcome.payouts, outcome.transfers) == (4, 2)
    assert (outcome.paid_cents, outcome.suspense_cents) == (1_500 + 900 - 400, 400)
    assert (outcome.in_flight_cents, outcome.payable_cents) == (1_000, 700 - 200)


TAMPERED = {
    "a sum": ("payouts", {"state": "COMPLETED"}, {"$inc": {"cents": 1}}, "carry its id"),
    "no transfer": ("payouts", {"state": "COMPLETED"}, {"$set": {"transfer_id": None}}, "without a transfer"),
    "a claim": ("commissions", {"status": "PAID"}, {"$set": {"payout_id": None}}, "is PAID by no payout"),
    "a status": (
        "commissions",
        {"status": "PAID"},
        {"$set": {"status": "APPROVED"}},
        "is APPROVED in payout",
    ),
    "a lost payout": ("commissions", {"status": "PAID"}, {"$set": {"payout_id": 5}}, r"in payout 5 \(none\)"),
    "cents": ("commissions", {"payout_id": None, "cents": 700}, {"$inc": {"cents": 1}}, "The ledger has"),
    "a day": ("payout_days", {}, {"$inc": {"cents": 1}}, "The sum of .* is kept as"),
    "a movement": ("movements", {"kind": "payout"}, {"$inc": {"cents": 1}}, "The ledger has .* in paid:"),
}


@pytest.mark.parametrize("what", TAMPERED)
async def test_audit_finds_what_was_tampered_with(own_deps: Deps, stripe: StripeDouble, what: str) -> None:
    await history(own_deps, stripe)
    collection, where, change, finding = TAMPERED[what]
    assert (await own_deps.store.database.raw[collection].update_one(where, change)).modified_count == 1
    outcome = await audit(own_deps, with_stripe=False)
    assert outcome.transfers is None
    with pytest.raises(AssertionError, match=finding):
        assert not outcome.findings, "\n".join(outcome.findings)


async def test_audit_finds_commissions_and_transfers_that_are_used_twice(
    own_deps: Deps, stripe: StripeDouble
) -> None:
    paid, still_open = await history(own_deps, stripe)
    raw = own_deps.store.database.raw["payouts"]
    change = {"$set": {"transfer_id": paid.transfer_id}, "$push": {"commission_ids": paid.commission_ids[0]}}
    await raw.update_one({"_id": still_open.id}, change)
    findings = "\n".join((await audit(own_deps, with_stripe=False)).findings)
    assert f"{paid.transfer_id} paid more than one payout." in findings
    assert f"Commission {paid.commission_ids[0]} is in more than one payout." in findings


async def test_audit_finds_what_only_stripe_knows(own_deps: Deps, stripe: StripeDouble) -> None:
    paid, still_open = await history(own_deps, stripe)
    (transfer,) = stripe.transfers_of(paid.group)
    (failed,) = [each async for each in own_deps.store.payouts.scan() if each.state == "FAILED"]
    for number, changes in enumerate(
        (
            {},
            {"transfer_group": "payout-77"},
            {"transfer_group": "somebody else's"},
            {"transfer_group": failed.group},
            {"transfer_group": still_open.group},
        )
    ):
        stripe.book.put("transfer", {**transfer, "id": f"tr_{number}", **changes})
    findings = "\n".join((await audit(own_deps, with_stripe=True)).findings)
    assert f"{paid.group}: Stripe has 2 transfers for it." in findings
    assert "payout-77: Stripe has tr_1 for it, and there is no such payout." in findings
    assert f"{failed.group}: it failed, and Stripe has tr_3 for it." in findings
    assert f"{still_open.group}: tr_4 is 15.00" in findings
    assert "somebody" not in findings


async def test_audit_finds_completed_payouts_that_stripe_does_not_know(
    own_deps: Deps, stripe: StripeDouble
) -> None:
    paid, _ = await history(own_deps, stripe)
    del stripe.book.objects["transfer"][str(paid.transfer_id)]
    (finding,) = (await audit(own_deps, with_stripe=True)).findings
    assert finding == f"{paid.group}: it is completed, and Stripe does not have {paid.transfer_id} for it."


async def test_audit_says_when_stripe_cannot_be_asked(own_deps: Deps, stripe: StripeDouble) -> None:
    await history(own_deps, stripe)
    stripe.chooser = lambda *_: faults.ERROR_BEFORE
    (finding,) = (await audit(own_deps, with_stripe=True)).findings
    assert finding.startswith("Stripe could not be asked:")
