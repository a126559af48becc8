"""Ambassadors: making, listing and changing them, as admins do, and their referral codes.

What they earn is derived in ``payments.derivation`` and paid in ``payments.payouts``.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from community.accounts import TAKEN, new_epoch
from community.actor import Actor
from community.errors import Invalid, NotFound
from community.invites import ALPHABET
from community.tokens import digest
from config.deps import Deps
from payments.errors import AlreadyChanged
from payments.pay_out import known_ambassador
from push import letters
from store.audit import AuditDraft, Initiator
from store.commissions import NOTHING_EARNED, Earned
from store.database import Session
from store.errors import Duplicate
from store.money_records import Ambassador, Commission, ConnectAccount
from store.pages import Page, PageRequest
from store.records import AMBASSADOR, User
from store.referrals import NO_REFERRALS, ReferralCounts

# 32^8 codes: among a million ambassadors, one guess in a million finds one, and all that is won is their referral.
CODE_LENGTH = 8
# How long the first link works. Who was invited over a weekend still finds it good; after it, "Forgot password" does.
INVITED_FOR = timedelta(hours=72)
# Two admins who change the same ambassador at the same moment.
TRIES = 8
# Of the history that an admin sees beside the pay-out button; a statement has all of a month.
SHOWN = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An ambassador as an admin sees them in a list."""

    user: User
    profile: Ambassador
    referrals: ReferralCounts
    earned: Earned


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail(Standing):
    """… and alone, with all that the pay-out button needs; the newest entries come first."""

    commissions: Sequence[Commission]
    claimable: Sequence[Commission]
    account: ConnectAccount | None


def new_code() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))


async def create_ambassador(
    deps: Deps,
    actor: Actor,
    *,
    email: str,
    first_name: str,
    last_name: str,
    commission_rate: str | None,
    origin: str,
    public_url: str,
    reserved_id: int | None = None,
) -> Standing:
    """Make an account with its profile, and mail a link to set a password. Atomic but for the mail.

    Raises ``Invalid`` where anybody has the address.
    """
    rate = commission_rate or deps.settings.commission_rate
    token = secrets.token_urlsafe(32)
    # Nobody knows it: until they have set one of their own, no password is right.
    password_hash = await deps.hashing.hash(secrets.token_urlsafe(32))
    by = Initiator(actor.id, origin)

    async def also(user: User, session: Session) -> None:
        await deps.store.ambassadors.add(user.id, referral_code=code, commission_rate=rate, session=session)
        await deps.store.password_resets.add(
            digest=digest(token),
            user_id=user.id,
            expires_at=deps.clock.now() + INVITED_FOR,
            session=session,
        )
        details = {"role": AMBASSADOR, "commission_rate": rate}
        draft = AuditDraft(by, "ambassador.created", subject_of(user.id), details)
        await deps.store.audit.add(draft, session=session)

    while True:
        code = new_code()
        try:
            user = await deps.store.users.add(
                email=email,
                password_hash=password_hash,
                first_name=first_name,
                last_name=last_name,
                role=AMBASSADOR,
                timezone="UTC",
                epoch=new_epoch(),
                user_id=reserved_id,
                also=also,
            )
            break
        except Duplicate as error:
            if error.key == "referral_code":
                continue
            written = await deps.store.users.get(reserved_id) if reserved_id is not None else None
            if written is None:
                raise Invalid(TAKEN) from error
            return await _standing(deps, written)
    link = f"{public_url}/password/reset/confirm?uid={user.id}&token={token}"
    hours = int(INVITED_FOR.total_seconds() // 3600)
    deps.push.accept(
        letters.ambassador_welcome(to=user.email, first_name=user.first_name, link=link, valid_hours=hours)
    )
    return await _standing(deps, user)


async def list_ambassadors(
    deps: Deps, request: PageRequest, *, search: str, is_active: bool | None
) -> Page[Standing]:
    """Give a page of ambassadors, newest first: those whose address or name has all words of ``search``."""
    # Without a profile somebody of this role is none: then there are no terms, and nothing is earned.
    ids = await deps.store.ambassadors.ids(is_active=is_active)
    people = await deps.store.users.search(AMBASSADOR, request, words=search, ids=ids)
    found = {each.user.id: each for each in await _standings(deps, people.items)}
    return people.map(lambda user: found[user.id])


async def get_ambassador(deps: Deps, ambassador_id: int) -> Detail:
    """Give one ambassador with all that the pay-out button needs. Raises ``NotFound``."""
    standing = await _standing(deps, await known_ambassador(deps, ambassador_id))
    account = await deps.store.connect_accounts.get(ambassador_id)
    return Detail(
        user=standing.user,
        profile=standing.profile,
        referrals=standing.referrals,
        earned=standing.earned,
        commissions=await deps.store.commissions.newest(ambassador_id, SHOWN),
        claimable=await deps.store.commissions.claimable(ambassador_id),
        account=account,
    )


async def change_ambassador(
    deps: Deps,
    actor: Actor,
    ambassador_id: int,
    *,
    origin: str,
    commission_rate: str | None = None,
    is_active: bool | None = None,
) -> Standing:
    """Change what an ambassador is promised from now on, with a line in the audit trail. Atomic.

    What was earned stays. Raises ``NotFound``.
    """
    user = await known_ambassador(deps, ambassador_id)
    for _ in range(TRIES):
        profile = await profile_of(deps, ambassador_id)
        wanted = (
            profile.commission_rate if commission_rate is None else commission_rate,
            profile.is_active if is_active is None else is_active,
        )
        if wanted == (profile.commission_rate, profile.is_active):
            return await _standing(deps, user)
        if await _set_terms(deps, Initiator(actor.id, origin), profile, *wanted):
            return await _standing(deps, user)
    raise AlreadyChanged


async def _set_terms(
    deps: Deps,
    by: Initiator,
    profile: Ambassador,
    commission_rate: str,
    is_active: bool,  # noqa: FBT001 - a pair with the rate
) -> bool:
    details = {
        "commission_rate": [profile.commission_rate, commission_rate],
        "is_active": [profile.is_active, is_active],
    }

    async def write(session: Session) -> bool:
        changed = await deps.store.ambassadors.set_terms(
            profile, commission_rate=commission_rate, is_active=is_active, session=session
        )
        if changed is None:
            return False
        draft = AuditDraft(by, "ambassador.changed", subject_of(profile.id), details)
        await deps.store.audit.add(draft, session=session)
        return True

    return await deps.store.database.transact_anew(write)


async def profile_of(deps: Deps, ambassador_id: int) -> Ambassador:
    """Give the profile. Raises ``NotFound``."""
    profile = await deps.store.ambassadors.get(ambassador_id)
    if profile is None:
        raise NotFound("Ambassador not found.")
    return profile


def subject_of(ambassador_id: int) -> str:
    """Its name in the audit trail."""
    return f"ambassador:{ambassador_id}"


async def _standing(deps: Deps, user: User) -> Standing:
    found = await _standings(deps, [user])
    if not found:
        raise NotFound("Ambassador not found.")
    return found[0]


async def _standings(deps: Deps, people: Sequence[User]) -> list[Standing]:
    ids = [each.id for each in people]
    profiles = await deps.store.ambassadors.some(ids)
    referrals = await deps.store.referrals.counts(ids)
    earned = await deps.store.commissions.earned(ids)
    return [
        Standing(
            user=each,
            profile=profiles[each.id],
            referrals=referrals.get(each.id, NO_REFERRALS),
            earned=earned.get(each.id, NOTHING_EARNED),
        )
        for each in people
        if each.id in profiles
    ]
