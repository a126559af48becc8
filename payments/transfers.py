"""What Stripe's events say about transfers, applied to payouts.

Events come late, twice and in any order; what is applied here may be, too.
"""

from config.deps import Deps
from payments.gateway import Transfer
from payments.payouts import note_reversal, settle
from store.audit import Initiator
from store.money_records import Payout

STRIPE = Initiator(None, "stripe")


async def apply_transfer(deps: Deps, transfer: Transfer) -> Payout | None:
    """Make the payout of a transfer say what the transfer does: paid, and how much came back.

    None for a transfer that is none of ours.
    """
    if transfer.payout_id is None:
        return None
    payout = await deps.store.payouts.get(transfer.payout_id)
    if payout is None:
        return None
    if payout.transfer_id == transfer.id:
        return await note_reversal(deps, payout, transfer.reversed_cents, by=STRIPE)
    return await settle(deps, payout, [transfer], by=STRIPE)
