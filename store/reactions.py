"""Reactions, and the counts of them that their post carries.

Both change in one transaction; writers of one post wait for each other inside an instance. Reactions are
levels, not facts: they raise the post's own version and not the room's number.
"""

from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

from config.clock import Clock
from store.database import Database, Session
from store.errors import Duplicate, Gone
from store.ids import IdSource
from store.notices import NoticeDraft, Notices
from store.pages import Page, PageRequest, read_page
from store.records import Post, Reaction


class Reactions:
    def __init__(self, database: Database, notices: Notices, ids: IdSource, clock: Clock) -> None:
        self._database = database
        self._notices = notices
        self._ids = ids
        self._clock = clock
        self._posts = database.table("posts")
        self._reactions = database.table("reactions")

    async def toggle(
        self, post: Post, user_id: int, reaction_type: str, notice: NoticeDraft | None = None
    ) -> tuple[bool, Post, list[str]]:
        """Turn one reaction of a user on or off: is it on now, the post as it is now, the user's own types.

        Atomic: the reaction, the post's count and its version, and the notice of one that is turned on. Two toggles
        at once are two toggles. Raises ``Gone`` when the post has been deleted meanwhile.
        """

        async def write(session: Session) -> tuple[bool, Post, list[str]]:
            mine = await self._reactions.find(
                {"user_id": user_id, "post_id": post.id}, fields=["reaction_type"], session=session
            )
            own = {each["reaction_type"]: each["_id"] for each in mine}
            active = reaction_type not in own
            if active:
                fresh = self._document(post, user_id, reaction_type)
                await self._reactions.insert(fresh, session=session)
                if notice is not None:
                    pending = self._notices.document(notice, cause="reactions", cause_id=fresh["_id"])
                    await self._notices.add(pending, session=session)
                own[reaction_type] = 0
            else:
                await self._reactions.delete({"_id": own.pop(reaction_type)}, session=session)
            changed = await self._posts.change(
                {"_id": post.id},
                {
                    "$inc": {f"reactions.{reaction_type}": 1 if active else -1, "reactions_version": 1},
                    "$set": {"reactions_at": self._clock.now()},
                },
                session=session,
            )
            if changed is None:
                raise Gone("post")
            return active, Post.of(changed), list(own)

        async with self._database.queues.turn(("post", post.id)):
            while True:
                try:
                    return await self._database.transact(write)
                except Duplicate:
                    continue  # the same reaction came through another instance, or two ids met: look again

    def _document(self, post: Post, user_id: int, reaction_type: str) -> dict[str, Any]:
        return {
            "_id": self._ids.new(),
            "user_id": user_id,
            "post_id": post.id,
            "community_id": post.community_id,
            "reaction_type": reaction_type,
            "created_at": self._clock.now(),
        }

    async def own(self, user_id: int, post_ids: Sequence[int]) -> dict[int, list[str]]:
        """Give the user's own reaction types by post, for the posts of a page, by one covered query."""
        documents = await self._reactions.find(
            {"user_id": user_id, "post_id": {"$in": list(post_ids)}}, fields=_OWN_FIELDS
        )
        found: dict[int, list[str]] = {}
        for document in documents:
            found.setdefault(document["post_id"], []).append(document["reaction_type"])
        return found

    async def page(self, post_id: int, request: PageRequest) -> Page[Reaction]:
        """Give a page of a post's reactions, newest first, by one indexed query."""
        where = {"post_id": post_id}
        return await read_page(
            self._reactions, where, request, newest_first=True, record=Reaction.of, id_of=attrgetter("id")
        )

    async def changed_since(
        self, community_id: int, since: datetime, *, limit: int
    ) -> list[tuple[Post, datetime]]:
        """Give the room's posts whose reactions changed at ``since`` or later, and when, newest first."""
        documents = await self._posts.find(
            {"community_id": community_id, "reactions_at": {"$gte": since}},
            sort=[("reactions_at", -1)],
            limit=limit,
        )
        return [(Post.of(document), document["reactions_at"]) for document in documents]

    async def changed_in(
        self, community_ids: Sequence[int], since: datetime, *, limit: int
    ) -> list[tuple[Post, datetime]]:
        """Give the posts of many rooms whose reactions changed at ``since`` or later, and when, oldest first."""
        documents = await self._posts.find(
            {"community_id": {"$in": list(community_ids)}, "reactions_at": {"$gte": since}},
            sort=[("reactions_at", 1)],
            limit=limit,
        )
        return [(Post.of(document), document["reactions_at"]) for document in documents]


# Without `_id` the index alone answers: no document is read.
_OWN_FIELDS = {"_id": 0, "post_id": 1, "reaction_type": 1}
