"""How money looks to clients: the one place where a record about it becomes JSON.

Amounts are text with two places. A test holds what is made here against the published schemas.
"""

from community.present import Json, timestamp
from payments.money import amount_text
from store.money_records import COMPLETED, FAILED, ConnectAccount, Payout

OUTSIDE = {COMPLETED: "completed", FAILED: "failed"}


def payout(record: Payout) -> Json:
    return {
        "id": record.id,
        "amount": amount_text(record.cents),
        "status": OUTSIDE.get(record.state, "pending"),
        "stripe_transfer_id": record.transfer_id,
        "error_message": record.error_message,
        "commissions_count": len(record.commission_ids),
        "created_at": timestamp(record.created_at),
    }


def paid(record: Payout) -> Json:
    """Give a payout as the admin who asked for it hears of it: done, or pending."""
    if record.state != COMPLETED:
        return {"status": "pending", "payout_record_id": record.id}
    return {
        "total_amount": amount_text(record.cents),
        "commissions_paid": len(record.commission_ids),
        "stripe_transfer_id": record.transfer_id,
        "payout_record_id": record.id,
    }


def connect_status(row: ConnectAccount | None) -> Json:
    if row is None or row.stripe_account_id is None:
        return {
            "has_account": False,
            "stripe_account_id": None,
            "payouts_enabled": None,
            "charges_enabled": None,
            "details_submitted": None,
            "onboarding_completed": None,
        }
    return {
        "has_account": True,
        "stripe_account_id": row.stripe_account_id,
        "payouts_enabled": row.payouts_enabled,
        "charges_enabled": row.charges_enabled,
        "details_submitted": row.details_submitted,
        "onboarding_completed": row.onboarding_completed,
    }
