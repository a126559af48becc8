"""Announcements: a trainer's own, and what a trainee is told."""

from community import announcements, present
from handlers.base import ApiHandler
from handlers.endpoint import TRAINEES, TRAINERS, Endpoint, endpoint
from handlers.paging import listed, page_request
from handlers.schemas import announcements as schemas
from handlers.schemas.lists import PageQuery, page_of

TAG = "Announcements"


class OwnAnnouncementsHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="One's own announcements, pinned first, then newest.",
            roles=TRAINERS,
            tag=TAG,
            query=PageQuery(),
            answers={200: page_of(schemas.Announcement)},
            cached=True,
        )
    )
    async def get(self) -> None:
        request = page_request(self)
        page = await announcements.list_own(self.deps, self.actor, request)
        self.reply(listed(self, page.map(present.announcement), request))

    @endpoint(
        Endpoint(
            summary="Announce something to one's group.",
            roles=TRAINERS,
            tag=TAG,
            body=schemas.NewAnnouncement(),
            answers={201: schemas.Announcement()},
            creates=True,
        )
    )
    async def post(self) -> None:
        fields = self.load()

        async def make(reserved_id: int | None) -> present.Json:
            made = await announcements.create_announcement(
                self.deps, self.actor, **fields, reserved_id=reserved_id
            )
            return present.announcement(made)

        await self.create(make)


class OwnAnnouncementHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="Replace an announcement; an optional field that is left out gets its default.",
            roles=TRAINERS,
            tag=TAG,
            body=schemas.NewAnnouncement(),
            answers={200: schemas.Announcement()},
        )
    )
    async def put(self, announcement_id: str) -> None:
        await self._update(announcement_id)

    @endpoint(
        Endpoint(
            summary="Change an announcement; fields that are left out stay. It does not become unread again.",
            roles=TRAINERS,
            tag=TAG,
            body=schemas.AnnouncementChanges(),
            answers={200: schemas.Announcement()},
        )
    )
    async def patch(self, announcement_id: str) -> None:
        await self._update(announcement_id)

    @endpoint(Endpoint(summary="Delete an announcement.", roles=TRAINERS, tag=TAG, answers={204: None}))
    async def delete(self, announcement_id: str) -> None:
        number = self.id_of(announcement_id, "Announcement")
        await announcements.delete_announcement(self.deps, self.actor, number)
        self.reply_empty()

    async def _update(self, announcement_id: str) -> None:
        number = self.id_of(announcement_id, "Announcement")
        changed = await announcements.update_announcement(self.deps, self.actor, number, changes=self.load())
        self.reply(present.announcement(changed))


class ReceivedAnnouncementsHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="What one's trainer announced, pinned first, then newest.",
            roles=TRAINEES,
            tag=TAG,
            query=PageQuery(),
            answers={200: page_of(schemas.ReceivedAnnouncement)},
            cached=True,
        )
    )
    async def get(self) -> None:
        request = page_request(self)
        page = await announcements.list_received(self.deps, self.actor, request)
        self.reply(listed(self, page, request))


class UnreadCountHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="How many announcements one has not read.",
            roles=TRAINEES,
            tag=TAG,
            answers={200: schemas.UnreadCount()},
            cached=True,
        )
    )
    async def get(self) -> None:
        self.reply({"unread_count": await announcements.unread_count(self.deps, self.actor)})


class MarkReadHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="Mark all announcements up to now as read; gives how many are unread then.",
            roles=TRAINEES,
            tag=TAG,
            answers={200: schemas.UnreadCount()},
        )
    )
    async def post(self) -> None:
        self.reply({"unread_count": await announcements.mark_read(self.deps, self.actor)})
