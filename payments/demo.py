"""The demo's money: one ambassador, who referred the demo's trainers, and what they earned in the last months.

It is told as Stripe would tell it, so the figures are those of the real rules. The groups are made in
``community.demo``.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from community import demo
from community.accounts import new_epoch
from config.deps import Deps
from payments.ambassadors import new_code
from payments.inbox import apply
from payments.stripe_events import Event
from store.database import Session
from store.markers import Markers
from store.records import AMBASSADOR, User
from store.referrals import Claimant
from store.store import Store

MARKER = "demo money"
EMAIL = "ambassador@example.com"
MONTH = timedelta(days=30)
# Cents of each invoice, oldest first; the last one was paid two days ago. For one trainer after the other.
PAID = ((12_900, 12_900, 29_900), (12_900,))


async def fill_if_empty(deps: Deps, *, say: Callable[[str], object]) -> bool:
    """Fill an empty database with the whole demo, or finish a fill that was interrupted; False where there is
    nothing to do. As ``community.demo.fill_if_empty``, which makes the groups.
    """
    markers = Markers(deps.store.database, deps.clock)
    if await deps.store.users.is_empty():
        await markers.begin(MARKER)
    filled = await demo.fill_if_empty(deps, say=say)
    marker = await markers.get(MARKER)
    if marker is None or marker.done_at is not None:
        return filled
    await _fill(deps, marker.begun_at)
    await markers.finish(MARKER)
    say("One ambassador, who referred the trainers, is there, too.")
    return True


def log_ins() -> list[str]:
    """Give lines that tell how to log in to the demo."""
    return [*demo.log_ins(), f"  ambassador {EMAIL}"]


async def _fill(deps: Deps, until: datetime) -> None:
    """Write everything that is not there yet: what is there is found again by its names."""
    begun_at = until - len(PAID[0]) * MONTH - timedelta(days=9)
    ambassador = await _ambassador(deps, begun_at)
    for number, (address, paid) in enumerate(zip(demo.accounts(), PAID, strict=True)):
        trainer = await deps.store.users.by_email(address)
        if trainer is None:
            continue  # somebody has used the half-filled demo, and deleted this account
        claimant = Claimant(trainer.id, address, "", begun_at + timedelta(days=1))
        await deps.store.referrals.add(claimant, ambassador.id)
        for back, cents in enumerate(reversed(paid)):
            at = until - timedelta(days=2) - back * MONTH
            await apply(
                deps, _invoice_paid(f"demo_{number}_{back}", trainer, cents, at, deps.settings.currency)
            )


async def _ambassador(deps: Deps, at: datetime) -> User:
    then = Store(deps.store.database, demo.PastClock(at, deps.clock))

    async def also(user: User, session: Session) -> None:
        await then.ambassadors.add(
            user.id,
            referral_code=new_code(),
            commission_rate=deps.settings.commission_rate,
            session=session,
        )

    return await deps.store.users.by_email(EMAIL) or await then.users.add(
        email=EMAIL,
        password_hash=await deps.hashing.hash(demo.PASSWORD),
        first_name="Robin",
        last_name="Vale",
        role=AMBASSADOR,
        timezone="UTC",
        epoch=new_epoch(),
        also=also,
    )


def _invoice_paid(name: str, trainer: User, cents: int, at: datetime, currency: str) -> Event:
    paid_at = int(at.timestamp())
    invoice = {
        "id": f"in_{name}",
        "amount_paid": cents,
        "currency": currency,
        "metadata": {"user_id": str(trainer.id)},
        "status_transitions": {"paid_at": paid_at},
        "period_start": paid_at,
        "period_end": int((at + MONTH).timestamp()),
    }
    return Event(
        id=f"evt_{name}", kind="invoice.paid", created=at, account=None, livemode=False, object=invoice
    )
