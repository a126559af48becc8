"""Announcements: a trainer's words to the whole group, and what a trainee has read of them.

An announcement is not part of the feed: nobody answers it, and open feeds are not told.
"""

from collections.abc import Mapping

from community import away, present
from community.access import own_announcement
from community.actor import Actor
from community.errors import Forbidden, NotFound
from config.deps import Deps
from push import notices
from store.errors import Gone
from store.pages import Page, PageRequest
from store.records import Announcement

NOT_FOUND = "Announcement not found."


async def list_own(deps: Deps, actor: Actor, request: PageRequest) -> Page[Announcement]:
    """Give a page of a trainer's own announcements, pinned first, then newest."""
    return await deps.store.announcements.page(actor.id, request)


async def create_announcement(
    deps: Deps,
    actor: Actor,
    *,
    title: str,
    body: str,
    content_format: str,
    is_pinned: bool,
    reserved_id: int | None = None,
) -> Announcement:
    """Announce something to the trainer's group and give it. Raises ``Forbidden`` where the account has ended."""
    notice = notices.announced(trainer_id=actor.id, trainer_name=away.name_of(actor.user), title=title)
    told = away.to_group(deps, actor, notice)
    try:
        announcement = await deps.store.announcements.add(
            community_id=actor.id,
            title=title,
            body=body,
            content_format=content_format,
            is_pinned=is_pinned,
            announcement_id=reserved_id,
            notice=told,
        )
    except Gone as error:
        raise Forbidden from error
    away.accept(deps, told)
    return announcement


async def update_announcement(
    deps: Deps, actor: Actor, announcement_id: int, *, changes: Mapping[str, object]
) -> Announcement:
    """Change an announcement and give it; who had read it, has read it. Raises ``NotFound``, ``Forbidden``."""
    announcement = await own_announcement(deps, actor, announcement_id)
    if not changes:
        return announcement
    try:
        return await deps.store.announcements.update(announcement, changes)
    except Gone as error:
        raise NotFound(NOT_FOUND) from error


async def delete_announcement(deps: Deps, actor: Actor, announcement_id: int) -> None:
    """Delete an announcement; of two at once one succeeds. Raises ``NotFound``, ``Forbidden``."""
    announcement = await own_announcement(deps, actor, announcement_id)
    if not await deps.store.announcements.delete(announcement.id):
        raise NotFound(NOT_FOUND)


async def list_received(deps: Deps, actor: Actor, request: PageRequest) -> Page[present.Json]:
    """Give a page of what the trainee's trainer announced, pinned first, then newest; empty without a trainer.

    Whoever has just joined has read nothing yet: what was announced before is new to them.
    """
    if actor.community_id is None:
        return Page((), None, None)
    # The mark first: what is marked in between looks unread once more, and nothing looks read that was not.
    read_up_to = await deps.store.announcements.read_up_to(actor.id, actor.community_id)
    page = await deps.store.announcements.page(actor.community_id, request)
    return page.map(lambda each: present.received_announcement(each, read_up_to))


async def unread_count(deps: Deps, actor: Actor) -> int:
    """Give how many of the trainer's announcements the trainee has not read; 0 without a trainer."""
    if actor.community_id is None:
        return 0
    read_up_to = await deps.store.announcements.read_up_to(actor.id, actor.community_id)
    return await deps.store.announcements.unread(actor.community_id, read_up_to)


async def mark_read(deps: Deps, actor: Actor) -> int:
    """Mark all that is announced by now as read, and give how many are unread after that.

    That is 0, but for what was announced at this very moment.
    """
    if actor.community_id is None:
        return 0
    read_up_to = await deps.store.announcements.mark_read(actor.id, actor.community_id)
    return await deps.store.announcements.unread(actor.community_id, read_up_to)
