"""What an admin, or a script, asks for: pay this ambassador what they are owed. And what has been paid so far.

The steps of a payout are in ``payments.payouts``; here is who may begin one, and what is said about it.
"""

from datetime import timedelta

from community.actor import Actor
from community.errors import DomainError, NotFound
from config.deps import Deps
from payments.connect import payable_account
from payments.errors import NothingToPay, PaymentRefused, PayoutLimitReached, ReauthenticationRequired
from payments.money import amount_text
from payments.payouts import claim, new_lease, reread, send
from payments.reconcile import reconcile
from push import letters
from store.audit import AuditDraft, Initiator
from store.errors import Duplicate
from store.money_records import CLAIMED, FAILED, UNKNOWN, Payout
from store.pages import Page, PageRequest
from store.records import ADMIN, AMBASSADOR, User

# A log-in older than this does not move money: whoever holds the phone proves who they are once more.
LOGGED_IN_FOR = timedelta(minutes=15)


async def known_ambassador(deps: Deps, ambassador_id: int) -> User:
    """Give the person. Raises ``NotFound``."""
    user = await deps.store.users.get(ambassador_id)
    if user is None or user.role != AMBASSADOR:
        raise NotFound("Ambassador not found.")
    return user


async def pay_out_as_admin(
    deps: Deps,
    actor: Actor,
    ambassador_id: int,
    *,
    origin: str,
    expected_cents: int | None = None,
    reserved_id: int | None = None,
) -> Payout:
    """As ``pay_out``, for somebody who is logged in. Raises ``ReauthenticationRequired`` if that was too long ago."""
    by = Initiator(actor.id, origin)
    session = await deps.store.sessions.get(actor.session_id)
    if session is None or deps.clock.now() - session.created_at > LOGGED_IN_FOR:
        refusal = ReauthenticationRequired()
        await _note_refusal(deps, by, ambassador_id, refusal)
        raise refusal
    return await pay_out(deps, by, ambassador_id, expected_cents=expected_cents, reserved_id=reserved_id)


async def pay_out(
    deps: Deps,
    by: Initiator,
    ambassador_id: int,
    *,
    expected_cents: int | None = None,
    reserved_id: int | None = None,
) -> Payout:
    """Pay an ambassador all approved commissions, and give the payout: completed, or open where nobody knows yet.

    An open payout of theirs is reconciled instead. With ``reserved_id``, the id of an earlier try of this very
    request, that try's payout is. Raises ``NotFound``, ``NothingToPay``, ``AccountRestricted``, ``TotalChanged``,
    ``PayoutLimitReached``, ``PaymentRefused``, ``PaymentsUnavailable`` and ``PaymentsNotConfigured``.
    """
    user = await known_ambassador(deps, ambassador_id)
    await deps.gateway()
    earlier = await deps.store.payouts.get(reserved_id) if reserved_id is not None else None
    begun = earlier or await deps.store.payouts.open_of(ambassador_id)
    if begun is not None:
        settled = await _settle_begun(deps, begun, by)
        # A claim that nobody sent in time is nothing that was tried: this is the time to try.
        if settled.state != FAILED or begun.state != CLAIMED:
            return _paid(settled)
        reserved_id = None
    destination = await payable_account(deps, ambassador_id)
    lease = new_lease(deps)
    try:
        payout = await claim(
            deps,
            by,
            ambassador_id=ambassador_id,
            destination=destination,
            expected_cents=expected_cents,
            lease=lease,
            payout_id=reserved_id,
        )
    except Duplicate as error:
        # Somebody else's payout was opened since we looked.
        raise NothingToPay from error
    except PayoutLimitReached as refusal:
        await _note_refusal(deps, by, ambassador_id, refusal)
        raise
    await _tell_admins(deps, payout, user, by)
    return _paid(await send(deps, payout, lease, by=by))


async def _note_refusal(deps: Deps, by: Initiator, ambassador_id: int, refusal: DomainError) -> None:
    details = {"code": refusal.code, "detail": refusal.detail}
    await deps.store.audit.add(AuditDraft(by, "payout.refused", f"ambassador:{ambassador_id}", details))


async def _settle_begun(deps: Deps, payout: Payout, by: Initiator) -> Payout:
    """Reconcile an open payout. Raises ``NothingToPay`` where somebody else is sending it at this moment."""
    if not payout.is_open:
        return payout
    lease = payout.lease_until
    if lease is not None and lease > deps.clock.now() and payout.state != UNKNOWN:
        raise NothingToPay
    return await reconcile(deps, await reread(deps, payout), by=by)


def _paid(payout: Payout) -> Payout:
    if payout.state == FAILED:
        raise PaymentRefused(payout.error_message)
    return payout


async def _tell_admins(deps: Deps, payout: Payout, ambassador: User, by: Initiator) -> None:
    """Mail every admin that money is about to leave, and who wanted it."""
    admins = await deps.store.users.with_role(ADMIN)
    names = {each.id: each.email for each in admins}
    asked_by = names.get(by.user_id or 0, by.origin)
    for admin in admins:
        deps.push.accept(
            letters.payout_begun(
                to=admin.email,
                amount=f"{amount_text(payout.cents)} {payout.currency.upper()}",
                ambassador_email=ambassador.email,
                asked_by=asked_by,
                origin=by.origin,
                payout_id=payout.id,
            )
        )


async def list_payouts(deps: Deps, ambassador_id: int, request: PageRequest) -> Page[Payout]:
    """Give a page of an ambassador's payouts, newest first. Raises ``NotFound``."""
    await known_ambassador(deps, ambassador_id)
    return await deps.store.payouts.page(ambassador_id, request)
