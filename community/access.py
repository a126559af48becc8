"""The gates: each loads what a request names, checks that the actor may, and gives it or raises.

Every 403 and 404 about content is born here and nowhere else, so no operation can forget the group.
"""

from community.actor import Actor
from community.errors import Forbidden, NoGroup, NotFound
from community.permissions import can_delete, is_member, is_moderator
from config.deps import Deps
from store.records import Announcement, Comment, Post


def own_community(actor: Actor) -> int:
    """Give the id of the actor's group. Raises ``NoGroup`` for a trainee without a trainer."""
    if actor.community_id is None:
        raise NoGroup
    return actor.community_id


async def readable_post(deps: Deps, actor: Actor, post_id: int) -> Post:
    """Give a post of the actor's group. Raises ``NotFound``, or ``Forbidden`` for another group's."""
    post = await deps.store.posts.get(post_id)
    if post is None:
        raise NotFound("Post not found.")
    if not is_member(actor, post.community_id):
        raise Forbidden
    return post


async def deletable_post(deps: Deps, actor: Actor, post_id: int) -> Post:
    """Give a post that the actor may delete. Raises ``NotFound`` or ``Forbidden``."""
    post = await readable_post(deps, actor, post_id)
    if not can_delete(actor, post):
        raise Forbidden
    return post


async def deletable_comment(deps: Deps, actor: Actor, post_id: int, comment_id: int) -> Comment:
    """Give a comment of that post that the actor may delete. Raises ``NotFound`` or ``Forbidden``."""
    await readable_post(deps, actor, post_id)
    comment = await deps.store.comments.get(post_id, comment_id)
    if comment is None:
        raise NotFound("Comment not found.")
    if not can_delete(actor, comment):
        raise Forbidden
    return comment


async def own_announcement(deps: Deps, actor: Actor, announcement_id: int) -> Announcement:
    """Give an announcement of the actor's own. Raises ``NotFound``, or ``Forbidden`` for another trainer's."""
    announcement = await deps.store.announcements.get(announcement_id)
    if announcement is None:
        raise NotFound("Announcement not found.")
    if not is_moderator(actor, announcement.community_id):
        raise Forbidden
    return announcement
