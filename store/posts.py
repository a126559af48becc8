"""Posts and their embedded counts.

Each change of a post is one transaction with its fact in the room's log. Who may do it is decided elsewhere.
"""

from collections.abc import AsyncIterator, Sequence
from operator import attrgetter

from config.clock import Clock
from store.changes_due import look_due
from store.database import Database, Session
from store.errors import Duplicate, Gone
from store.events import Events
from store.ids import IdSource
from store.pages import Page, PageRequest, read_page
from store.records import NO_REACTIONS, FactDraft, FactRecord, Image, Post

POST_CREATED, POST_DELETED = "new_post", "post_deleted"
TEXT, WORKOUT_COMPLETED, ACHIEVEMENT = "text", "workout_completed", "achievement"


class Posts:
    def __init__(self, database: Database, events: Events, ids: IdSource, clock: Clock) -> None:
        self._events = events
        self._ids = ids
        self._clock = clock
        self._posts = database.table("posts")
        self._comments = database.table("comments")
        self._reactions = database.table("reactions")
        self._users = database.table("users")

    async def get(self, post_id: int, *, session: Session | None = None) -> Post | None:
        document = await self._posts.get({"_id": post_id}, session=session)
        return None if document is None else Post.of(document)

    async def some(self, post_ids: list[int]) -> dict[int, Post]:
        """Give those of the named posts that exist, by id, in one query."""
        documents = await self._posts.find({"_id": {"$in": post_ids}})
        return {document["_id"]: Post.of(document) for document in documents}

    async def page(self, community_id: int, request: PageRequest) -> Page[Post]:
        """Give a page of the room's posts, newest first, by one indexed query."""
        where = {"community_id": community_id}
        return await read_page(
            self._posts, where, request, newest_first=True, record=Post.of, id_of=attrgetter("id")
        )

    async def add(
        self,
        *,
        community_id: int,
        author_id: int,
        content: str,
        content_format: str,
        image: Image | None = None,
        post_id: int | None = None,
        is_first: bool = False,
    ) -> tuple[Post, FactRecord | None]:
        """Add a post and its fact; with ``is_first`` it is noted that its author has posted. Atomic.

        With ``post_id``, an id reserved by an earlier try, a post that this try already wrote is given as it
        is, without a fact. Raises ``Gone`` where the room does not exist.
        """
        reserved = post_id is not None

        async def write(session: Session) -> tuple[Post, FactDraft]:
            post = await self.insert(
                community_id=community_id,
                author_id=author_id,
                content=content,
                content_format=content_format,
                image=image,
                post_id=post_id,
                session=session,
            )
            if is_first:
                noted = {"$set": {"has_posted": True, **look_due()}}
                await self._users.update({"_id": author_id, "is_active": True}, noted, session=session)
            return post, FactDraft(kind=POST_CREATED, post_id=post.id, author_id=author_id)

        while True:
            try:
                return await self._events.record(community_id, write)
            except Duplicate:
                # A reserved id means that an earlier try came this far; else two processes met on one id.
                written = await self.get(post_id) if post_id is not None else None
                if reserved and written is not None:
                    return written, None
                if reserved:
                    raise

    async def insert(
        self,
        *,
        community_id: int,
        author_id: int,
        content: str,
        content_format: str = "plain",
        post_type: str = TEXT,
        image: Image | None = None,
        post_id: int | None = None,
        session: Session,
    ) -> Post:
        """Write a post as part of the caller's transaction, which must number its fact. Raises ``Duplicate``."""
        document = {
            "_id": post_id if post_id is not None else self._ids.new(),
            "community_id": community_id,
            "author_id": author_id,
            "content": content,
            "content_format": content_format,
            "post_type": post_type,
            **({} if image is None else {"image": image.document}),
            "reactions": dict(NO_REACTIONS),
            "reactions_version": 0,
            "comment_count": 0,
            "created_at": self._clock.now(),
        }
        await self._posts.insert(document, session=session)
        return Post.of(document)

    async def image_keys(self, keys: Sequence[str]) -> set[str]:
        """Give those of the keys that a post's image has, by one indexed query."""
        documents = await self._posts.find({"image.key": {"$in": list(keys)}}, fields=["image.key"])
        return {document["image"]["key"] for document in documents}

    async def with_images(self) -> AsyncIterator[Post]:
        """Give every post with an image."""
        async for document in self._posts.scan({"image.key": {"$gt": ""}}):
            yield Post.of(document)

    async def delete(self, post: Post) -> FactRecord:
        """Delete a post with its comments and reactions. Atomic; raises ``Gone`` when another was faster."""

        async def write(session: Session) -> tuple[None, FactDraft]:
            await self.remove(post.id, session=session)
            return None, FactDraft(kind=POST_DELETED, post_id=post.id, author_id=post.author_id)

        _, fact = await self._events.record(post.community_id, write)
        return fact

    async def remove(self, post_id: int, *, session: Session) -> None:
        """Take a post with its comments and reactions away as part of the caller's transaction. Raises ``Gone``."""
        if not await self._posts.delete({"_id": post_id}, session=session):
            raise Gone("post")
        await self._comments.delete_many({"post_id": post_id}, session=session)
        await self._reactions.delete_many({"post_id": post_id}, session=session)
