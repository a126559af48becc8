"""Posts: the group's feed, one post, writing and deleting."""

from community import present
from community.access import deletable_post, own_community, readable_post
from community.actor import Actor
from community.errors import NotFound
from community.facts import post_created, post_deleted
from community.reactions import in_order
from config.deps import Deps
from store.errors import Gone
from store.pages import Page, PageRequest
from store.records import Post


async def list_posts(deps: Deps, actor: Actor, request: PageRequest) -> Page[present.Json]:
    """Give a page of the actor's group's feed, newest first; empty for somebody without a group.

    Two queries: the posts and the actor's own reactions. Names come from memory.
    """
    if actor.community_id is None:
        return Page((), None, None)
    page = await deps.store.posts.page(actor.community_id, request)
    if not page.items:
        return Page((), page.next, page.previous)
    own = await deps.store.reactions.own(actor.id, [post.id for post in page.items])
    authors = await deps.people.authors(post.author_id for post in page.items)
    return page.map(lambda post: present.post(post, authors[post.author_id], in_order(own.get(post.id, []))))


async def get_post(deps: Deps, actor: Actor, post_id: int) -> present.Json:
    """Give one post of the actor's group. Raises ``NotFound``, ``Forbidden``."""
    return await _shown(deps, actor, await readable_post(deps, actor, post_id))


async def create_post(
    deps: Deps, actor: Actor, *, content: str, content_format: str, reserved_id: int | None = None
) -> present.Json:
    """Write a post and give it; the group's open feeds show it at once. Raises ``NoGroup``."""
    community_id = own_community(actor)
    by = await deps.people.author(actor.id)
    post, fact = await deps.store.posts.add(
        community_id=community_id,
        author_id=actor.id,
        content=content,
        content_format=content_format,
        post_id=reserved_id,
    )
    if fact is None:
        return await _shown(deps, actor, post)
    shown = present.post(post, by, ())
    deps.realtime.publish(post_created(fact, shown))
    return shown


async def delete_post(deps: Deps, actor: Actor, post_id: int) -> None:
    """Delete a post with all that hangs on it; of two at once one succeeds. Raises ``NotFound``, ``Forbidden``."""
    post = await deletable_post(deps, actor, post_id)
    try:
        fact = await deps.store.posts.delete(post)
    except Gone as error:
        raise NotFound("Post not found.") from error
    deps.realtime.publish(post_deleted(fact))


async def _shown(deps: Deps, actor: Actor, post: Post) -> present.Json:
    own = await deps.store.reactions.own(actor.id, [post.id])
    by = await deps.people.author(post.author_id)
    return present.post(post, by, in_order(own.get(post.id, [])))
