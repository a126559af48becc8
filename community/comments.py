"""Comments of a post: reading, writing, deleting."""

from community import achievements, away, present
from community.access import deletable_comment, readable_post
from community.actor import Actor
from community.errors import NotFound
from community.facts import comment_added, comment_deleted
from config.deps import Deps
from push import notices
from store.errors import Gone
from store.pages import Page, PageRequest


async def list_comments(
    deps: Deps, actor: Actor, *, post_id: int, request: PageRequest
) -> tuple[Page[present.Json], int]:
    """Give a page of a post's comments, oldest first, and how many it has. Raises ``NotFound``, ``Forbidden``."""
    post = await readable_post(deps, actor, post_id)
    page = await deps.store.comments.page(post_id, request)
    authors = await deps.people.authors(each.author_id for each in page.items)
    return page.map(lambda each: present.comment(each, authors[each.author_id])), post.comment_count


async def create_comment(
    deps: Deps, actor: Actor, *, post_id: int, content: str, reserved_id: int | None = None
) -> present.Json:
    """Write a comment and give it; the group's open feeds show it at once. Raises ``NotFound``, ``Forbidden``."""
    post = await readable_post(deps, actor, post_id)
    by = await deps.people.author(actor.id)
    is_first = not actor.user.has_commented
    notice = notices.commented(
        post_id=post.id, author_id=post.author_id, name=away.name_of(actor.user), content=content
    )
    told = away.to_author(deps, actor, post, notice)
    try:
        comment, fact = await deps.store.comments.add(
            community_id=post.community_id,
            post_id=post.id,
            author_id=actor.id,
            content=content,
            comment_id=reserved_id,
            is_first=is_first,
            notice=told,
        )
    except Gone as error:
        raise NotFound("Post not found.") from error
    shown = present.comment(comment, by)
    if fact is not None:
        deps.realtime.publish(comment_added(fact, shown))
        away.accept(deps, told)
    if is_first:
        await achievements.check(deps, actor.id)
    return shown


async def delete_comment(deps: Deps, actor: Actor, *, post_id: int, comment_id: int) -> None:
    """Delete a comment; of two at once one succeeds. Raises ``NotFound``, ``Forbidden``."""
    comment = await deletable_comment(deps, actor, post_id, comment_id)
    try:
        fact = await deps.store.comments.delete(comment)
    except Gone as error:
        raise NotFound("Comment not found.") from error
    deps.realtime.publish(comment_deleted(fact))
