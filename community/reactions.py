"""Reactions: toggling one's own, and who reacted to a post."""

from datetime import UTC, datetime

from community import away, present
from community.access import readable_post
from community.actor import Actor
from community.errors import NotFound
from config.deps import Deps
from push import notices
from realtime.events import ReactionsChanged
from store.errors import Gone
from store.pages import Page, PageRequest
from store.records import REACTION_TYPES, Post


def changed(post: Post, at: datetime) -> ReactionsChanged:
    """The live event that tells a post's counts as they are in ``post``."""
    return ReactionsChanged(
        community_id=post.community_id,
        post_id=post.id,
        reactions=post.reactions,
        version=post.reactions_version,
        at=at.astimezone(UTC),
    )


def in_order(reaction_types: list[str]) -> list[str]:
    """The contract's order of types, whatever order they were found in."""
    return [kind for kind in REACTION_TYPES if kind in reaction_types]


async def toggle_reaction(deps: Deps, actor: Actor, *, post_id: int, reaction_type: str) -> present.Json:
    """Turn one's own reaction on or off and give the post's counts. Raises ``NotFound``, ``Forbidden``."""
    post = await readable_post(deps, actor, post_id)
    notice = notices.reacted(
        post_id=post.id, author_id=post.author_id, name=away.name_of(actor.user), content=post.content
    )
    told = away.to_author(deps, actor, post, notice)
    try:
        active, post, own = await deps.store.reactions.toggle(post, actor.id, reaction_type, told)
    except Gone as error:
        raise NotFound("Post not found.") from error
    deps.realtime.publish(changed(post, deps.clock.now()))
    if active:
        away.accept(deps, told)
    return {
        "reaction_type": reaction_type,
        "active": active,
        "reactions": post.reactions,
        "user_reactions": in_order(own),
    }


async def list_reactions(
    deps: Deps, actor: Actor, *, post_id: int, request: PageRequest
) -> Page[present.Json]:
    """Give who reacted to a post, newest first. Raises ``NotFound``, ``Forbidden``."""
    await readable_post(deps, actor, post_id)
    page = await deps.store.reactions.page(post_id, request)
    authors = await deps.people.authors(each.user_id for each in page.items)
    return page.map(lambda each: present.reaction(each, authors[each.user_id]))
