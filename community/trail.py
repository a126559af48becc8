"""The audit trail as operations see it: what a refused password leaves there, and how admins read it.

What was done to an account or a log-in is noted in the transaction of its cause, by those who cause it.
"""

import hashlib
import hmac
from datetime import datetime

from config.deps import Deps
from store.audit import AuditDraft, AuditEntry, Initiator, user_subject
from store.pages import Page, PageRequest
from store.records import User
from store.users import email_key

# Addresses that nobody has share so many lines a minute: guesses at random names cannot fill the disk. An account has a
# line of its own, so that they cannot hide guesses at it either.
SLOTS = 64


async def note_refused_log_in(deps: Deps, user: User | None, *, email: str, origin: str) -> None:
    """Note a refused log-in, the first of a minute for each account; the work is the same where there is none."""
    # Keyed: without the server's secret nobody can try addresses against it.
    secret = deps.settings.jwt_secrets[0].encode()
    digest = hmac.new(secret, email_key(email).encode(), hashlib.sha256).hexdigest()[:16]
    subject = user_subject(user.id) if user is not None else f"email:{digest}"
    slot = subject if user is not None else f"email:{int(digest, 16) % SLOTS}"
    await _note_refusal(deps, AuditDraft(Initiator(None, origin), "refused.log_in", subject), slot)


async def note_refused_password(deps: Deps, user_id: int, *, origin: str) -> None:
    """Note that somebody who is logged in did not know the password, the first time of a minute."""
    by = Initiator(user_id, origin)
    subject = user_subject(user_id)
    await _note_refusal(deps, AuditDraft(by, "refused.password", subject), subject)


async def _note_refusal(deps: Deps, draft: AuditDraft, slot: str) -> None:
    minute = int(deps.clock.now().timestamp()) // 60
    await deps.store.audit.add_once(draft, f"{draft.action}/{minute}/{slot}")


async def list_entries(
    deps: Deps,
    request: PageRequest,
    *,
    actor: int | None,
    what: str | None,
    about: str | None,
    before: datetime | None,
) -> Page[AuditEntry]:
    """Give a page of the trail, newest first: by whom, which deed, about what, before when. All None: everything."""
    return await deps.store.audit.page(request, user_id=actor, action=what, subject=about, before=before)
