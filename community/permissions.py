"""Who may do what in a group: pure predicates over records.

They are asked by the gates in ``community.access``; nothing here loads or raises.
"""

from community.actor import Actor
from store.records import Comment, Post


def is_member(actor: Actor, community_id: int) -> bool:
    """A trainer is a member of their own group, a trainee of their trainer's, nobody else of any."""
    return actor.community_id is not None and actor.community_id == community_id


def is_moderator(actor: Actor, community_id: int) -> bool:
    """A group's own trainer moderates it; the community's id is the trainer's."""
    return is_member(actor, community_id) and actor.id == community_id


def can_delete(actor: Actor, written: Post | Comment) -> bool:
    """Its author may, while a member of the group, and the group's trainer."""
    return is_member(actor, written.community_id) and (
        actor.id == written.author_id or is_moderator(actor, written.community_id)
    )
