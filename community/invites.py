"""Invite codes: what they look like, and a trainer's own list of them.

Using one up is part of registration.
"""

import secrets
from datetime import datetime

from community.actor import Actor
from community.errors import NotFound
from config.deps import Deps
from push import letters
from store.errors import Duplicate
from store.pages import Page, PageRequest
from store.records import Invite

# 32 letters and digits without look-alikes (0/O, 1/I); 13 of them are 65 bits, beyond guessing.
ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
LENGTH = 13


def new_code() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def normalised(code: str) -> str:
    """The form in which what a person typed matches: case, spaces and dashes do not count."""
    return "".join(code.split()).replace("-", "").upper()


async def create_invite(
    deps: Deps,
    actor: Actor,
    *,
    expires_at: datetime | None,
    max_uses: int | None,
    email: str | None = None,
    reserved_id: int | None = None,
) -> Invite:
    """Make a code for the actor's group; with ``email`` it is mailed there too."""
    while True:
        try:
            invite = await deps.store.invites.add(
                trainer_id=actor.id,
                code=new_code(),
                expires_at=expires_at,
                max_uses=max_uses,
                invite_id=reserved_id,
            )
            break
        except Duplicate as error:
            if error.key != "code":
                raise
    if email is not None:
        name = f"{actor.user.first_name} {actor.user.last_name}".strip()
        letter = letters.invitation(
            to=email, trainer_name=name, code=invite.code, expires_at=invite.expires_at
        )
        deps.push.accept(letter)
    return invite


async def list_invites(deps: Deps, actor: Actor, request: PageRequest) -> Page[Invite]:
    return await deps.store.invites.page(actor.id, request)


async def revoke_invite(deps: Deps, actor: Actor, invite_id: int) -> None:
    """End a code at once; whoever joined by it stays. Raises ``NotFound`` where the actor has none of that id."""
    if not await deps.store.invites.revoke(invite_id, actor.id):
        raise NotFound("Invite not found.")
