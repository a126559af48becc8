"""A trainer's announcements to their group, and how far each trainee has read them.

Each has a number of its group, raised in the transaction that makes it, so that "read up to here" needs no clock.
Who may announce, and who reads, is decided elsewhere.
"""

from collections.abc import Mapping, Sequence
from operator import attrgetter

from config.clock import Clock
from store.database import Database, Document, Session
from store.errors import Duplicate, Gone
from store.ids import IdSource
from store.notices import NoticeDraft, Notices
from store.pages import Page, PageRequest, read_page
from store.records import Announcement

# Added to the number of what is pinned: one key then sorts pinned first and the newest first among each. A cursor
# holds it, so it stays below 2^53.
PINNED = 2**52


class Announcements:
    """The collection ``announcements``; counters and read marks are fields of the people they belong to.

    There they go with whoever is erased or leaves the group, in the same change.
    """

    def __init__(self, database: Database, notices: Notices, ids: IdSource, clock: Clock) -> None:
        self._database = database
        self._notices = notices
        self._ids = ids
        self._clock = clock
        self._announcements = database.table("announcements")
        self._users = database.table("users")

    async def get(self, announcement_id: int) -> Announcement | None:
        document = await self._announcements.get({"_id": announcement_id})
        return None if document is None else Announcement.of(document)

    async def page(self, community_id: int, request: PageRequest) -> Page[Announcement]:
        """Give a page of the group's announcements, pinned first, then newest, by one indexed query."""
        return await read_page(
            self._announcements,
            {"community_id": community_id},
            request,
            newest_first=True,
            record=Announcement.of,
            id_of=attrgetter("rank"),
            key="rank",
        )

    async def add(
        self,
        *,
        community_id: int,
        title: str,
        body: str,
        content_format: str,
        is_pinned: bool,
        announcement_id: int | None = None,
        notice: NoticeDraft | None = None,
    ) -> Announcement:
        """Add an announcement of the trainer ``community_id`` with the group's next number, and its notice. Atomic.

        With ``announcement_id``, an id reserved by an earlier try, what that try wrote is given. Raises ``Gone``
        where the trainer's account has ended.
        """

        async def write(session: Session) -> Announcement:
            # Whoever announces at the same time waits for this one's commit: numbers appear in their order.
            trainer = await self._users.change(
                {"_id": community_id, "is_active": True},
                {"$inc": {"announcements_made": 1}},
                fields=["announcements_made"],
                session=session,
            )
            if trainer is None:
                raise Gone("user")
            number = int(trainer["announcements_made"])
            document: Document = {
                "_id": announcement_id if announcement_id is not None else self._ids.new(),
                "community_id": community_id,
                "number": number,
                "rank": _rank(number, is_pinned=is_pinned),
                "title": title,
                "body": body,
                "content_format": content_format,
                "is_pinned": is_pinned,
                "created_at": self._clock.now(),
            }
            await self._announcements.insert(document, session=session)
            if notice is not None:
                pending = self._notices.document(notice, cause="announcements", cause_id=document["_id"])
                await self._notices.add(pending, session=session)
            return Announcement.of(document)

        while True:
            try:
                return await self._database.transact(write)
            except Duplicate:
                # A reserved id means that an earlier try came this far; else two processes met on one id.
                if announcement_id is None:
                    continue
                written = await self.get(announcement_id)
                if written is None or written.community_id != community_id:
                    raise
                return written

    async def update(self, announcement: Announcement, changes: Mapping[str, object]) -> Announcement:
        """Set some fields and give it as it is now. Atomic; raises ``Gone`` where it has been deleted meanwhile.

        Number and times stay, so whoever had read it has read it.
        """
        fields = dict(changes)
        if "is_pinned" in fields:
            fields["rank"] = _rank(announcement.number, is_pinned=bool(fields["is_pinned"]))
        document = await self._announcements.change({"_id": announcement.id}, {"$set": fields})
        if document is None:
            raise Gone("announcement")
        return Announcement.of(document)

    async def delete(self, announcement_id: int) -> bool:
        """Delete an announcement; False where another was faster."""
        return await self._announcements.delete({"_id": announcement_id})

    async def read_up_to(self, user_id: int, community_id: int) -> int:
        """Give the number up to which a trainee has read this group's announcements; 0 for none of them."""
        document = await self._users.get(
            {"_id": user_id, "parent_trainer": community_id}, fields=["announcements_read"]
        )
        return 0 if document is None else int(document.get("announcements_read") or 0)

    async def unread(self, community_id: int, read_up_to: int) -> int:
        """Count the group's announcements after that number, in the index alone."""
        return await self._announcements.count({"community_id": community_id, "number": {"$gt": read_up_to}})

    async def unread_of(self, community_id: int, user_ids: Sequence[int]) -> dict[int, int]:
        """Count what each of these trainees of the group has not read, by id, in two queries."""
        trainees = await self._users.find(
            {"_id": {"$in": list(user_ids)}, "parent_trainer": community_id}, fields=["announcements_read"]
        )
        marks = {each["_id"]: int(each.get("announcements_read") or 0) for each in trainees}
        if not marks:
            return {}
        after = {"community_id": community_id, "number": {"$gt": min(marks.values())}}
        fields = {"_id": 0, "community_id": 1, "number": 1}  # the index alone
        numbers = [each["number"] for each in await self._announcements.find(after, fields=fields)]
        return {user_id: sum(number > mark for number in numbers) for user_id, mark in marks.items()}

    async def mark_read(self, user_id: int, community_id: int) -> int:
        """Mark all that the group has by now as read by a trainee of it; gives the number marked up to.

        A mark never goes back, and one that comes after the trainee has left the group changes nothing.
        """
        trainer = await self._users.get({"_id": community_id}, fields=["announcements_made"])
        made = 0 if trainer is None else int(trainer.get("announcements_made", 0))
        await self._users.update(
            {"_id": user_id, "parent_trainer": community_id}, {"$max": {"announcements_read": made}}
        )
        return made


def _rank(number: int, *, is_pinned: bool) -> int:
    return number + PINNED if is_pinned else number
