"""A trainer's group: who is in it, and taking somebody out.

Joining is part of registration.
"""

from community.actor import Actor
from community.controls import author_changed, carry_out, user_closed
from community.errors import NotFound
from config.deps import Deps
from realtime.close_codes import NO_GROUP
from store.audit import AuditDraft, Initiator, user_subject
from store.errors import Gone
from store.pages import Page, PageRequest
from store.records import User


async def list_trainees(deps: Deps, actor: Actor, request: PageRequest) -> Page[User]:
    return await deps.store.users.trainees(actor.id, request)


async def remove_trainee(deps: Deps, actor: Actor, user_id: int, *, origin: str) -> None:
    """Take a trainee out of the actor's group; their live connections close at once.

    What they wrote stays. Raises ``NotFound`` for anybody who is not in the actor's group.
    """
    controls = [user_closed(user_id, NO_GROUP), author_changed(user_id)]
    note = AuditDraft(Initiator(actor.id, origin), "member.removed", user_subject(user_id))
    try:
        written = await deps.store.users.leave_group(user_id, actor.id, controls, note)
    except Gone as error:
        raise NotFound("Trainee not found.") from error
    carry_out(deps, written)
