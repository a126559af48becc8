"""Accounts: registration, one's own profile, passwords, and leaving for good.

Logging in and tokens are the business of ``community.sessions``; who is in which group that of ``trainees``.
"""

import secrets
from collections.abc import Mapping
from datetime import timedelta

from community import passwords
from community.actor import Actor
from community.controls import author_changed, carry_out, group_closed, session_closed, user_closed
from community.erasure import try_to_finish
from community.errors import Invalid, NotFound
from community.invites import normalised
from community.tokens import digest
from community.trail import note_refused_password
from config.deps import Deps
from push import letters
from realtime.close_codes import BAD_TOKEN, NO_GROUP
from store.audit import AuditDraft, Initiator, user_subject
from store.database import Session
from store.errors import Duplicate, Gone
from store.records import ADMIN, TRAINER, User

RESET_FOR = timedelta(hours=1)
TAKEN = {"email": ["Email already in use."]}
WRONG_PASSWORD = {"current_password": ["Invalid password."]}
BAD_LINK = {"token": ["This link is invalid or expired."]}


def new_epoch() -> str:
    """Give a name for a room's numbering; another one means that positions of before are worth nothing."""
    return secrets.token_hex(4)


async def register(
    deps: Deps,
    *,
    email: str,
    password: str,
    first_name: str,
    last_name: str,
    role: str,
    timezone: str,
    origin: str,
    invite_code: str | None = None,
    referral_code: str | None = None,
    reserved_id: int | None = None,
) -> User:
    """Make an account; a trainer's group comes with it, a trainee's invite is used up with it. Atomic.

    ``referral_code`` is remembered as it came and never stops anybody. Raises ``Invalid`` for a weak password,
    a taken address, and an invite that cannot be used.
    """
    wrong = passwords.problems(password, personal=(email, first_name, last_name))
    if wrong:
        raise Invalid({"password": wrong})
    if await deps.store.users.by_email(email) is not None and reserved_id is None:
        raise Invalid(TAKEN)
    password_hash = await deps.hashing.hash(password)

    async def also(user: User, session: Session) -> None:
        # Nobody registers as an admin: that comes from a terminal, and is kept for good.
        by, action = (
            (Initiator(None, origin), "admin.created")
            if role == ADMIN
            else (Initiator(user.id, origin), "account.registered")
        )
        details = {"role": user.role, "trainer_id": user.parent_trainer}
        await deps.store.audit.add(AuditDraft(by, action, user_subject(user.id), details), session=session)

    try:
        return await deps.store.users.add(
            email=email,
            password_hash=password_hash,
            first_name=first_name,
            last_name=last_name,
            role=role,
            timezone=timezone,
            epoch=new_epoch(),
            invite_code=normalised(invite_code) if invite_code else None,
            referral_code=referral_code,
            user_id=reserved_id,
            also=also,
        )
    except (Duplicate, Gone) as error:
        # With a reserved id it may be an earlier try of this very request that took the address or the invite.
        written = await deps.store.users.get(reserved_id) if reserved_id is not None else None
        if written is not None:
            return written
        if isinstance(error, Duplicate):
            raise Invalid(TAKEN) from error
        raise Invalid({"invite_code": ["Invalid or expired invite code."]}) from error


async def create_admin(
    deps: Deps, *, email: str, password: str, first_name: str, last_name: str, origin: str
) -> User:
    """Make an administrator's account, which nobody can register for. Atomic.

    For scripts: there is no actor yet who could be asked for permission. Raises ``Invalid`` for a weak password
    and for an address that anybody has, in whatever role.
    """
    return await register(
        deps,
        email=email,
        password=password,
        first_name=first_name,
        last_name=last_name,
        role=ADMIN,
        timezone="UTC",
        origin=origin,
    )


async def update_account(deps: Deps, actor: Actor, *, changes: Mapping[str, object]) -> User:
    """Change one's own profile and give it; others see a new name at once."""
    if not changes:
        return actor.user
    try:
        user, controls = await deps.store.users.update(actor.id, changes, author_changed(actor.id))
    except Gone as error:
        raise NotFound from error
    carry_out(deps, controls)
    return user


async def delete_account(deps: Deps, actor: Actor, *, current_password: str, origin: str) -> None:
    """End one's own account: log-ins, sockets and personal data at once and atomically, then pictures and files.

    Posts and comments stay as "Deleted user". A trainer's group dissolves. A crash in between is made up for, see
    ``community.erasure``. Raises ``Invalid`` for a wrong password.
    """
    user = await confirm_password(deps, actor, current_password, origin)
    controls = [user_closed(actor.id, BAD_TOKEN), author_changed(actor.id)]
    if actor.role == TRAINER:
        controls.append(group_closed(actor.id, NO_GROUP))
    note = _note("account.deleted", user, Initiator(actor.id, origin))
    carry_out(deps, await deps.store.erasures.begin(user, controls, note))
    await try_to_finish(deps, actor.id)


async def set_password(
    deps: Deps, actor: Actor, *, current_password: str, new_password: str, origin: str
) -> None:
    """Change one's own password; all other sessions end. Raises ``Invalid``."""
    await confirm_password(deps, actor, current_password, origin)
    note = _note("password.changed", actor.user, Initiator(actor.id, origin))
    await _change_password(deps, actor.user, new_password, note=note, spare_session=actor.session_id)


async def request_reset(deps: Deps, *, email: str, public_url: str) -> None:
    """Mail a link to set a new password, if that address has an account; returns the same way in any case.

    The link starts with ``public_url``, is good for an hour and once, and only its digest is stored.
    """
    user = await deps.store.users.by_email(email)
    token = secrets.token_urlsafe(32)
    # An unknown address costs the same write, so that time does not tell who has an account.
    await deps.store.password_resets.add(
        digest=digest(token), user_id=user.id if user else 0, expires_at=deps.clock.now() + RESET_FOR
    )
    if user is not None:
        link, minutes = reset_link(user, token, public_url), int(RESET_FOR.total_seconds() // 60)
        deps.push.accept(
            letters.password_reset(
                to=user.email, first_name=user.first_name, link=link, valid_minutes=minutes
            )
        )


def reset_link(user: User, token: str, public_url: str) -> str:
    """Give the address of the page where a new password is set."""
    return f"{public_url}/password/reset/confirm?uid={user.id}&token={token}"


def user_id_of(uid: str) -> int:
    """Give the id in a mailed link; 0, which nobody has, for what is none."""
    return int(uid) if uid.isascii() and uid.isdigit() and len(uid) <= 16 else 0


async def confirm_reset(deps: Deps, *, uid: str, token: str, new_password: str, origin: str) -> None:
    """Set a new password by a mailed link and end all sessions; of two at once, one succeeds.

    Raises ``Invalid`` for a link that is not (any more) good, and for a weak password, which leaves it good.
    """
    user_id = user_id_of(uid)
    user = await deps.store.users.get(user_id)
    good = await deps.store.password_resets.exists(digest=digest(token), user_id=user_id)
    if user is None or not good:
        raise Invalid(BAD_LINK)
    # Whoever has the link is somebody who reads the owner's mail, and nobody who is logged in.
    note = _note("password.reset", user, Initiator(None, origin))
    try:
        await _change_password(deps, user, new_password, note=note, reset_digest=digest(token))
    except Gone as error:
        raise Invalid(BAD_LINK) from error


def _note(action: str, user: User, by: Initiator) -> AuditDraft:
    return AuditDraft(by, action, user_subject(user.id), {"role": user.role})


async def confirm_password(deps: Deps, actor: Actor, current_password: str, origin: str) -> User:
    """Give the actor's account as it is now. Raises ``Invalid`` where that is not its password."""
    # The actor may be a second old, the hash must not be.
    user = await deps.store.users.get(actor.id)
    if user is None or not await deps.hashing.verify(user.password_hash, current_password):
        await note_refused_password(deps, actor.id, origin=origin)
        raise Invalid(WRONG_PASSWORD)
    return user


async def _change_password(
    deps: Deps,
    user: User,
    password: str,
    *,
    note: AuditDraft,
    spare_session: str | None = None,
    reset_digest: str | None = None,
) -> None:
    wrong = passwords.problems(password, personal=(user.email, user.first_name, user.last_name))
    if wrong:
        raise Invalid({"new_password": wrong})
    password_hash = await deps.hashing.hash(password)
    controls = await deps.store.users.set_password(
        user.id,
        password_hash,
        spare_session=spare_session,
        reset_digest=reset_digest,
        control=session_closed,
        note=note,
    )
    carry_out(deps, controls)
    deps.push.accept(letters.password_changed(to=user.email, first_name=user.first_name))
