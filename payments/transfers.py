"""What Stripe's events say about transfers, applied to payouts.

Events come late, twice and in any order; what is applied here may be, too.
"""

import re

from config.deps import Deps
from payments.gateway import Transfer
from payments.payouts import note_reversal, settle
from store.audit import Initiator
from store.ids import MAX_ID
from store.money_records import Payout

STRIPE = Initiator(None, "stripe")
GROUP = re.compile(r"payout-([0-9]{1,16})", re.ASCII)


async def apply_transfer(deps: Deps, transfer: Transfer) -> Payout | None:
    """Make the payout of a transfer say what the transfer does: paid, and how much came back.

    None for a transfer that is none of ours.
    """
    match = GROUP.fullmatch(transfer.group or "")
    if match is None or int(match[1]) > MAX_ID:
        return None
    payout = await deps.store.payouts.get(int(match[1]))
    if payout is None:
        return None
    if payout.transfer_id == transfer.id:
        return await note_reversal(deps, payout, transfer.reversed_cents, by=STRIPE)
    return await settle(deps, payout, [transfer], by=STRIPE)
