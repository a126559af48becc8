"""Posts: the group's feed, one post, writing and deleting."""

from community import achievements, pictures, present
from community.access import deletable_post, own_community, readable_post
from community.actor import Actor
from community.errors import NotFound
from community.facts import post_created, post_deleted
from community.feed_pages import NOWHERE, FeedView
from community.image_worker import Upload
from community.reactions import in_order
from config.deps import Deps
from store.errors import Duplicate, Gone
from store.pages import Page, PageRequest
from store.records import Post


async def list_posts(deps: Deps, actor: Actor, request: PageRequest) -> FeedView:
    """Give a page of the actor's group's feed, newest first, and the room's position read before it.

    Somebody without a group gets an empty page and a position that leads nowhere. What is the same for all members,
    and on the first page the actor's own part too, comes from memory while nothing changes.
    """
    if actor.community_id is None:
        return FeedView(NOWHERE, Page((), None, None))
    group_page = await deps.feed_pages.group_page(actor.community_id, request)
    view = group_page.views.get(actor.id)
    if view is None:
        posts = group_page.posts
        own = (
            await deps.store.reactions.own(actor.id, [post.id for post in posts.items]) if posts.items else {}
        )
        shown = posts.map(
            lambda post: present.post(
                post, group_page.authors[post.author_id], in_order(own.get(post.id, []))
            )
        )
        view = FeedView(group_page.position, shown)
        group_page.views[actor.id] = view
    return view


async def get_post(deps: Deps, actor: Actor, post_id: int) -> present.Json:
    """Give one post of the actor's group. Raises ``NotFound``, ``Forbidden``."""
    return await _shown(deps, actor, await readable_post(deps, actor, post_id))


async def create_post(
    deps: Deps,
    actor: Actor,
    *,
    content: str,
    content_format: str,
    image: Upload | None = None,
    reserved_id: int | None = None,
) -> present.Json:
    """Write a post and give it; the group's open feeds show it at once.

    Raises ``NoGroup``; ``Invalid`` and ``Busy`` for its image.
    """
    community_id = own_community(actor)
    by = await deps.people.author(actor.id)
    is_first = not actor.user.has_posted
    kept = None if image is None else await pictures.keep(deps, image, pictures.OF_POST)
    try:
        post, fact = await deps.store.posts.add(
            community_id=community_id,
            author_id=actor.id,
            content=content,
            content_format=content_format,
            image=kept,
            post_id=reserved_id,
            is_first=is_first,
        )
    except (Gone, Duplicate):
        # After any other error it may have been written: then its image must stay.
        await pictures.discard(deps, kept)
        raise
    if fact is None:
        if post.image != kept:
            await pictures.discard(deps, kept)
        return await _shown(deps, actor, post)
    shown = present.post(post, by, ())
    deps.realtime.publish(post_created(fact, shown))
    if is_first:
        await achievements.check(deps, actor.id)
    return shown


async def delete_post(deps: Deps, actor: Actor, post_id: int) -> None:
    """Delete a post with all that hangs on it; of two at once one succeeds. Raises ``NotFound``, ``Forbidden``."""
    post = await deletable_post(deps, actor, post_id)
    try:
        fact = await deps.store.posts.delete(post)
    except Gone as error:
        raise NotFound("Post not found.") from error
    deps.realtime.publish(post_deleted(fact))
    await pictures.discard(deps, post.image)


async def _shown(deps: Deps, actor: Actor, post: Post) -> present.Json:
    own = await deps.store.reactions.own(actor.id, [post.id])
    by = await deps.people.author(post.author_id)
    return present.post(post, by, in_order(own.get(post.id, [])))
