"""Comments, and the count of them that their post carries.

The count is changed by ``$inc`` in the transaction that inserts or deletes the comment, so it always equals a
recount. Who may comment is decided elsewhere.
"""

from dataclasses import replace
from operator import attrgetter

from config.clock import Clock
from store.changes_due import look_due
from store.database import Database, Session
from store.errors import Duplicate, Gone
from store.events import Events
from store.ids import IdSource
from store.notices import NoticeDraft, Notices
from store.pages import Page, PageRequest, read_page
from store.records import Comment, FactDraft, FactRecord

COMMENT_ADDED, COMMENT_DELETED = "new_comment", "comment_deleted"


class Comments:
    def __init__(
        self, database: Database, events: Events, notices: Notices, ids: IdSource, clock: Clock
    ) -> None:
        self._events = events
        self._notices = notices
        self._ids = ids
        self._clock = clock
        self._posts = database.table("posts")
        self._comments = database.table("comments")
        self._users = database.table("users")

    async def get(self, post_id: int, comment_id: int) -> Comment | None:
        """Give the comment if it belongs to that post."""
        document = await self._comments.get({"_id": comment_id, "post_id": post_id})
        return None if document is None else Comment.of(document)

    async def some(self, comment_ids: list[int]) -> dict[int, Comment]:
        """Give those of the named comments that exist, by id, in one query."""
        documents = await self._comments.find({"_id": {"$in": comment_ids}})
        return {document["_id"]: Comment.of(document) for document in documents}

    async def page(self, post_id: int, request: PageRequest) -> Page[Comment]:
        """Give a page of the post's comments, oldest first, by one indexed query."""
        where = {"post_id": post_id}
        return await read_page(
            self._comments, where, request, newest_first=False, record=Comment.of, id_of=attrgetter("id")
        )

    async def add(
        self,
        *,
        community_id: int,
        post_id: int,
        author_id: int,
        content: str,
        comment_id: int | None = None,
        is_first: bool = False,
        notice: NoticeDraft | None = None,
    ) -> tuple[Comment, FactRecord | None]:
        """Add a comment, raise its post's count, number the fact and keep the notice about it. Atomic.

        With ``is_first`` it is noted that its author has commented.
        ``comment_id`` is an id reserved by an earlier try: what that try wrote is given, without a fact.
        Raises ``Gone`` when the post has been deleted meanwhile.
        """

        async def write(session: Session) -> tuple[Comment, FactDraft]:
            document = {
                "_id": comment_id if comment_id is not None else self._ids.new(),
                "post_id": post_id,
                "community_id": community_id,
                "author_id": author_id,
                "content": content,
                "created_at": self._clock.now(),
            }
            await self._comments.insert(document, session=session)
            count = await self._count(post_id, 1, session)
            if is_first:
                noted = {"$set": {"has_commented": True, **look_due()}}
                await self._users.update({"_id": author_id, "is_active": True}, noted, session=session)
            comment = Comment.of(document)
            draft = _draft(COMMENT_ADDED, comment, count)
            if notice is None:
                return comment, draft
            pending = self._notices.document(notice, cause="comments", cause_id=comment.id)
            return comment, replace(draft, notice=pending)

        while True:
            try:
                return await self._events.record(community_id, write)
            except Duplicate:
                # A reserved id means that an earlier try came this far; else two processes met on one id.
                if comment_id is None:
                    continue
                written = await self.get(post_id, comment_id)
                if written is None:
                    raise
                return written, None

    async def delete(self, comment: Comment) -> FactRecord:
        """Delete a comment and lower its post's count. Atomic; raises ``Gone`` when another was faster."""

        async def write(session: Session) -> tuple[None, FactDraft]:
            if not await self._comments.delete({"_id": comment.id}, session=session):
                raise Gone("comment")
            count = await self._count(comment.post_id, -1, session)
            return None, _draft(COMMENT_DELETED, comment, count)

        _, fact = await self._events.record(comment.community_id, write)
        return fact

    async def _count(self, post_id: int, change: int, session: Session) -> int:
        post = await self._posts.change(
            {"_id": post_id}, {"$inc": {"comment_count": change}}, fields=["comment_count"], session=session
        )
        if post is None:
            raise Gone("post")
        return int(post["comment_count"])


def _draft(kind: str, comment: Comment, count: int) -> FactDraft:
    return FactDraft(
        kind=kind,
        post_id=comment.post_id,
        author_id=comment.author_id,
        comment_id=comment.id,
        comment_count=count,
    )
