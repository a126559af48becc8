"""The facts of a room as live events: built right after a change, or again from the log for a replay.

A fact in the log refers to its post or comment; what has been deleted or erased since is not shown again.
How events become frames is not known here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson

from community import present
from community.controls import control_of
from community.people import People
from community.reactions import changed
from realtime.broker import FactEnvelope
from realtime.events import (
    CommentAdded,
    CommentDeleted,
    Control,
    Event,
    Fact,
    Position,
    PostCreated,
    PostDeleted,
    ReactionsChanged,
)
from realtime.history import Replay
from store.comments import COMMENT_ADDED, COMMENT_DELETED
from store.posts import POST_CREATED, POST_DELETED
from store.records import Comment, FactRecord, Post
from store.store import Store

KNOWN = frozenset({POST_CREATED, POST_DELETED, COMMENT_ADDED, COMMENT_DELETED})


def _common(record: FactRecord) -> dict[str, Any]:
    return {
        "community_id": record.community_id,
        "position": Position(epoch=record.epoch, seq=record.seq),
        "at": record.at,
        "post_id": record.post_id,
        "comment_id": record.comment_id,
        "author_id": record.author_id,
    }


def post_created(record: FactRecord, shown: present.Json) -> PostCreated:
    return PostCreated(**_common(record), post=shown)


def post_deleted(record: FactRecord) -> PostDeleted:
    return PostDeleted(**_common(record))


def comment_added(record: FactRecord, shown: present.Json) -> CommentAdded:
    return CommentAdded(**_common(record), comment=shown, comment_count=record.comment_count or 0)


def comment_deleted(record: FactRecord) -> CommentDeleted:
    return CommentDeleted(**_common(record), comment_count=record.comment_count or 0)


class StoredFacts:
    """The event log as ``realtime.history.FactSource`` wants it: every read that live delivery falls back on."""

    def __init__(self, store: Store, people: People, base_url: str) -> None:
        """``base_url`` is where addresses in events start: there is no request that would say it."""
        self._store = store
        self._people = people
        self._base_url = base_url

    def hear(self, message: object) -> None:
        """Learn from a fact that another instance wrote where its room is."""
        if isinstance(message, FactEnvelope):
            position = message.position
            self._store.events.saw(message.community_id, epoch=position.epoch, seq=position.seq)

    def addressed(self, event: Event) -> Event:
        """Give the event as it goes out, with whole addresses (see ``present.addressed``)."""
        match event:
            case PostCreated():
                return replace(event, post=self._whole(event.post))
            case CommentAdded():
                return replace(event, comment=self._whole(event.comment))
        return event

    def _whole(self, shown: Mapping[str, Any]) -> present.Json:
        body = orjson.dumps(shown)
        whole = present.addressed(body, self._base_url)
        # Most have no picture, and are what they were.
        return dict(shown) if whole is body else dict(orjson.loads(whole))

    async def head(self, community_id: int) -> Position:
        """Give the position of the room's last fact. Raises ``LookupError`` where there is no such room."""
        room = await self._store.events.head(community_id)
        if room is None:
            raise LookupError(f"no community {community_id}")
        return Position(epoch=room.epoch, seq=room.seq)

    async def heads(self, community_ids: Sequence[int]) -> dict[int, Position]:
        rooms = await self._store.events.heads(community_ids)
        return {room.id: Position(epoch=room.epoch, seq=room.seq) for room in rooms}

    async def facts_after(self, community_id: int, seq: int, limit: int) -> Replay:
        """Give the facts after ``seq`` by at most five queries, however many there are.

        Not complete where one is of a kind that is not known here: an instance of a newer release wrote it.
        """
        room = await self._store.events.head(community_id)
        if room is None:
            raise LookupError(f"no community {community_id}")
        through = Position(epoch=room.epoch, seq=room.seq)
        if room.seq - seq > limit or seq > room.seq:
            return Replay(facts=(), through=through, since_at=None, complete=False)
        # From `seq` itself on: its time bounds the levels, and that it is there shows the log was not cut.
        records = await self._store.events.after(room, seq, limit=limit + 1)
        since_at: datetime | None = room.created_at if seq == 0 else None
        if seq > 0 and records and records[0].seq == seq:
            since_at = records[0].at
            records = records[1:]
        whole = since_at is not None and len(records) == room.seq - seq
        whole = whole and KNOWN.issuperset(each.kind for each in records)
        return Replay(
            facts=tuple(await self._shown(records)) if whole else (),
            through=through,
            since_at=since_at,
            complete=whole,
        )

    async def _shown(self, records: list[FactRecord]) -> list[Fact]:
        posts = await self._posts([each.post_id for each in records if each.kind == POST_CREATED])
        comments = await self._comments(
            [
                each.comment_id
                for each in records
                if each.kind == COMMENT_ADDED and each.comment_id is not None
            ]
        )
        written: list[Post | Comment] = [*posts.values(), *comments.values()]
        authors = await self._people.authors(each.author_id for each in written)
        shown = (self._event(record, posts, comments, authors) for record in records)
        return [event for event in shown if event is not None]

    async def _posts(self, post_ids: list[int]) -> dict[int, Post]:
        return await self._store.posts.some(post_ids) if post_ids else {}

    async def _comments(self, comment_ids: list[int]) -> dict[int, Comment]:
        return await self._store.comments.some(comment_ids) if comment_ids else {}

    def _event(
        self,
        record: FactRecord,
        posts: Mapping[int, Post],
        comments: Mapping[int, Comment],
        authors: Mapping[int, present.Author],
    ) -> Fact | None:
        if record.kind == POST_DELETED:
            return post_deleted(record)
        if record.kind == COMMENT_DELETED:
            return comment_deleted(record)
        if record.kind == POST_CREATED:
            post = posts.get(record.post_id)
            if post is None:
                return None
            return post_created(record, self._whole(present.post(post, authors[post.author_id], ())))
        comment = comments.get(record.comment_id or 0)
        if comment is None:
            return None
        return comment_added(record, self._whole(present.comment(comment, authors[comment.author_id])))

    async def levels_since(
        self, community_id: int, at: datetime, limit: int
    ) -> tuple[ReactionsChanged, ...] | None:
        """Give the latest level of each post whose reactions changed at ``at`` or later; None for over ``limit``."""
        posts = await self._store.reactions.changed_since(community_id, at, limit=limit + 1)
        if len(posts) > limit:
            return None
        return tuple(changed(post, changed_at) for post, changed_at in reversed(posts))

    async def levels_of(
        self, community_ids: Sequence[int], at: datetime, limit: int
    ) -> tuple[ReactionsChanged, ...]:
        """Give the first ``limit`` levels of all these rooms that changed at ``at`` or later, oldest first."""
        posts = await self._store.reactions.changed_in(community_ids, at, limit=limit)
        return tuple(changed(post, changed_at) for post, changed_at in posts)

    async def controls_since(self, at: datetime) -> tuple[Control, ...]:
        """Give the controls written at ``at`` or later, in order."""
        records = await self._store.controls.since(at)
        return tuple(message for record in records if (message := control_of(record)) is not None)
