"""E-mail addresses: proving that one reads one's own, changing it, and keeping it when a thief changes it.

Addresses are logged in with, so registering one is the business of ``community.accounts``. Nothing here tells
whether anybody has an address, but to whoever reads its mail.
"""

import secrets
from collections.abc import Sequence
from datetime import timedelta

from community.accounts import BAD_LINK, RESET_FOR, TAKEN, confirm_password, reset_link, user_id_of
from community.actor import Actor
from community.controls import author_changed, carry_out, session_closed
from community.errors import Invalid
from community.tokens import digest
from config.deps import Deps
from push import letters
from store.audit import AuditDraft, Initiator, user_subject
from store.email_links import EmailLinkDraft, TooManyChanges
from store.errors import Duplicate, Gone
from store.records import ControlDraft, User
from store.users import KEEP, email_key

# Who registers on a Friday verifies on a Monday; a change is waited for; an owner may be on holiday for a week.
VERIFY_FOR, CHANGE_FOR, KEEP_FOR = timedelta(days=3), timedelta(hours=24), timedelta(days=7)
# Each sends a letter to an address that somebody typed: enough for typing errors, too few to annoy strangers.
MOST_CHANGES = 5
SAME = {"new_email": ["This is your address already."]}
TOO_MANY = {"new_email": ["Too many changes. Try again in some days."]}


async def request_verification(deps: Deps, user: User, *, public_url: str) -> None:
    """Mail a link that proves that the owner reads the account's address; it ends the link before.

    Does nothing where that is known already.
    """
    if user.email_verified:
        return
    token = secrets.token_urlsafe(32)
    await deps.store.email_links.add_verification(user.id, _draft(deps, token, user.email, VERIFY_FOR))
    link = _link(public_url, "verify", user.id, token)
    deps.push.accept(
        letters.verify_email(to=user.email, first_name=user.first_name, link=link, valid_days=VERIFY_FOR.days)
    )


async def confirm_verification(deps: Deps, *, uid: str, token: str, origin: str) -> None:
    """Mark the address that the link was mailed to as verified. Raises ``Invalid`` for a link that is not good."""
    user_id = user_id_of(uid)
    note = AuditDraft(Initiator(None, origin), "email.verified", user_subject(user_id))
    try:
        await deps.store.email_links.verify(digest=digest(token), user_id=user_id, note=note)
    except Gone as error:
        raise Invalid(BAD_LINK) from error


async def request_change(
    deps: Deps, actor: Actor, *, new_email: str, current_password: str, origin: str, public_url: str
) -> None:
    """Mail a link to the new address, which changes to it, and one to the old address, which keeps that. Atomic.

    Goes the same way whether or not somebody has the new address. Raises ``Invalid``.
    """
    user = await confirm_password(deps, actor, current_password, origin)
    if email_key(new_email) == email_key(user.email):
        raise Invalid(SAME)
    change_token, keep_token = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    try:
        await deps.store.email_links.ask_change(
            user.id,
            change=_draft(deps, change_token, new_email, CHANGE_FOR),
            keep=_draft(deps, keep_token, user.email, KEEP_FOR),
            most=MOST_CHANGES,
            note=AuditDraft(Initiator(user.id, origin), "email.change_asked", user_subject(user.id)),
        )
    except TooManyChanges as error:
        raise Invalid(TOO_MANY) from error
    except Gone as error:
        # Another change was confirmed at this very moment.
        raise Invalid(SAME) from error
    confirm = _link(public_url, "change", user.id, change_token)
    hours = int(CHANGE_FOR.total_seconds() // 3600)
    deps.push.accept(letters.confirm_new_email(to=new_email, link=confirm, valid_hours=hours))
    keep = _link(public_url, "keep", user.id, keep_token)
    deps.push.accept(
        letters.email_changing(to=user.email, first_name=user.first_name, link=keep, valid_days=KEEP_FOR.days)
    )


async def confirm_change(deps: Deps, *, uid: str, token: str, origin: str) -> None:
    """Make the address that the link was mailed to the account's; log-ins go on.

    Raises ``Invalid``, also where somebody else has the address by now: who reads its mail may know.
    """
    user_id = user_id_of(uid)
    note = AuditDraft(Initiator(None, origin), "email.changed", user_subject(user_id))
    try:
        controls = await deps.store.email_links.change(
            digest=digest(token), user_id=user_id, control=author_changed(user_id), note=note
        )
    except Gone as error:
        raise Invalid(BAD_LINK) from error
    except Duplicate as error:
        raise Invalid(TAKEN) from error
    carry_out(deps, controls)


async def keep_address(deps: Deps, *, uid: str, token: str, origin: str, public_url: str) -> None:
    """Give the account the address back that the link was mailed to, or let it have it, and lock others out.

    All log-ins end, no password is right any more, and a link to set one is mailed. Raises ``Invalid`` and ``Busy``.
    """
    user_id = user_id_of(uid)
    links = deps.store.email_links
    if not await links.exists(digest=digest(token), user_id=user_id, purpose=KEEP):
        raise Invalid(BAD_LINK)
    reset_token = secrets.token_urlsafe(32)

    def controls(sessions: Sequence[str]) -> list[ControlDraft]:
        return [author_changed(user_id), *(session_closed(each) for each in sessions)]

    try:
        email, written = await links.keep(
            digest=digest(token),
            user_id=user_id,
            # Nobody knows it.
            password_hash=await deps.hashing.hash(secrets.token_urlsafe(32)),
            reset_digest=digest(reset_token),
            reset_until=deps.clock.now() + RESET_FOR,
            controls=controls,
            note=AuditDraft(Initiator(None, origin), "email.kept", user_subject(user_id)),
        )
    except Gone as error:
        raise Invalid(BAD_LINK) from error
    except Duplicate as error:
        raise Invalid(TAKEN) from error
    carry_out(deps, written)
    user = await deps.store.users.get(user_id)
    if user is not None:
        link, minutes = reset_link(user, reset_token, public_url), int(RESET_FOR.total_seconds() // 60)
        deps.push.accept(
            letters.address_kept(to=email, first_name=user.first_name, link=link, valid_minutes=minutes)
        )


def _draft(deps: Deps, token: str, email: str, good_for: timedelta) -> EmailLinkDraft:
    return EmailLinkDraft(digest=digest(token), email=email, expires_at=deps.clock.now() + good_for)


def _link(public_url: str, what: str, user_id: int, token: str) -> str:
    return f"{public_url}/email/{what}?uid={user_id}&token={token}"
