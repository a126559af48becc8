"""Referrals: what becomes of a code that a trainer registered with, and of what they pay.

A code never stops anybody: it is kept with the account, in the same write, and judged after it; what a crash left
unjudged is judged by whoever comes next.
"""

import logging

from community.invites import normalised
from config.deps import Deps
from payments.derivation import judge
from store.billing_records import Known, Referral, Verdict
from store.errors import StoreUnavailable
from store.pages import Page, PageRequest
from store.records import TRAINER, User
from store.referrals import Claimant
from store.users import email_key

log = logging.getLogger("cohort.referrals")

# How many codes that were left over are judged in one go.
AT_ONCE = 100


async def judge_code(deps: Deps, user: User, referral_code: str | None) -> None:
    """Judge the code that somebody has just registered with. Never fails: what is left is judged later."""
    if referral_code is None or user.role != TRAINER:
        return
    try:
        await _judge(deps, Claimant(user.id, user.email, referral_code, user.created_at))
    except StoreUnavailable as error:
        log.warning("the referral code of user %d is judged later: %s", user.id, error)


async def judge_waiting_codes(deps: Deps) -> None:
    """Judge the codes that nobody has judged: of accounts whose registration was cut off after its write."""
    for claimant in await deps.store.referrals.claimants(AT_ONCE):
        await _judge(deps, claimant)


async def _judge(deps: Deps, claimant: Claimant) -> None:
    ambassador = await deps.store.ambassadors.by_code(normalised(claimant.referral_code))
    person = await deps.store.users.get(ambassador.id) if ambassador is not None else None
    why = None
    if ambassador is None or person is None:
        why = "nobody has this code"
    elif not (ambassador.is_active and person.is_active):
        why = "the ambassador is not active"
    elif email_key(person.email) == email_key(claimant.email):
        why = "it is their own"
    else:
        referral = await deps.store.referrals.add(claimant, ambassador.id)
        if referral.ambassador_id != ambassador.id:
            why = "there is a referral already, and the first one wins"
        # What they pay may have become known first.
        await settle(deps, claimant.trainer_id)
    if why is not None:
        log.warning("referral code %r of user %d: %s", claimant.referral_code, claimant.trainer_id, why)
    # Last: until now somebody else would have taken it up where we had died.
    await deps.store.referrals.forget_code(claimant.trainer_id)


async def settle(deps: Deps, trainer_id: int) -> Referral | None:
    """Make a trainer's referral and its commissions what they should be by now. Atomic, any number of times."""
    tiers = {tier.price_id: tier.name for tier in deps.settings.subscription_tiers}

    def decide(known: Known) -> Verdict:
        return judge(known, currency=deps.settings.currency, tiers=tiers)

    return await deps.store.referrals.settle(trainer_id, decide)


async def list_referrals(
    deps: Deps, ambassador_id: int, request: PageRequest, *, status: str | None
) -> Page[tuple[Referral, User | None, int]]:
    """Give a page of an ambassador's referrals, newest first, each with its trainer and the cents it earned."""
    page = await deps.store.referrals.page(ambassador_id, request, status=status)
    people = await deps.store.users.some([each.trainer_id for each in page.items])
    earned = await deps.store.commissions.earned_by_referral([each.id for each in page.items])
    return page.map(lambda each: (each, people.get(each.trainer_id), earned.get(each.id, 0)))
