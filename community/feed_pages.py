"""The first page of each group's feed, kept in the process while nothing in it changes.

Phones ask for that page again and again; most of the time the answer is the one they were given. Whatever is
written through this instance, or heard of from another, drops it at once, and a second does in any case. A group of
which nothing would be heard is read each time.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from community import present
from community.people import People
from config.clock import Clock
from realtime.broker import FactEnvelope, LevelEnvelope
from realtime.events import AuthorChanged, Fact, Position, ReactionsChanged
from realtime.hub import Hub
from store.pages import Page, PageRequest
from store.records import Post
from store.store import Store

FIRST_PAGE = PageRequest()
# Where nobody can connect from: of a room that does not exist.
NOWHERE = Position("0", 0)
# What another instance writes is seen this late at the most, should its message be lost.
KEPT_SECONDS = 1.0
# About 15 KB each.
GROUPS = 2_000


@dataclass(frozen=True, slots=True)
class FeedView:
    """A page as one member sees it. ``encoded`` is for the caller to keep what it makes of it."""

    position: Position
    page: Page[present.Json]
    encoded: dict[str, tuple[bytes, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class GroupPage:
    """The part of the page that is the same for all members, and as each who asked for it sees it, by user.

    Views go with their page: about 25 KB each, and no more than an instance can answer in the second that it is kept.
    """

    position: Position
    posts: Page[Post]
    authors: Mapping[int, present.Author]
    views: dict[int, FeedView] = field(default_factory=dict)


class FeedPages:
    def __init__(self, store: Store, people: People, realtime: Hub, clock: Clock) -> None:
        self._store = store
        self._people = people
        self._realtime = realtime
        self._clock = clock
        self._kept: OrderedDict[int, tuple[float, GroupPage]] = OrderedDict()
        self._loading: dict[int, asyncio.Task[GroupPage]] = {}

    async def group_page(self, community_id: int, request: PageRequest) -> GroupPage:
        """Give a page of a group; the first one from memory where it is known to be current."""
        if request != FIRST_PAGE or not self._realtime.hears(community_id):
            return await self._load(community_id, request)
        kept = self._kept.get(community_id)
        if kept is not None and kept[0] > self._clock.monotonic():
            return kept[1]
        # Of all who ask at once, one reads.
        task = self._loading.get(community_id)
        if task is None:
            task = asyncio.create_task(self._refresh(community_id))
            self._loading[community_id] = task
        return await asyncio.shield(task)

    async def _refresh(self, community_id: int) -> GroupPage:
        me = asyncio.current_task()
        until = self._clock.monotonic() + KEPT_SECONDS
        try:
            found = await self._load(community_id, FIRST_PAGE)
            # Something changed meanwhile: then this task was forgotten, and what it read is not kept.
            if self._loading.get(community_id) is me:
                self._kept[community_id] = (until, found)
                self._kept.move_to_end(community_id)
                self._drop_old()
            return found
        finally:
            if self._loading.get(community_id) is me:
                del self._loading[community_id]

    async def _load(self, community_id: int, request: PageRequest) -> GroupPage:
        # The position before the posts: what comes between is told twice rather than not at all.
        position = self._realtime.position(community_id)
        if position is None:
            head = await self._store.events.head(community_id)
            position = Position(head.epoch, head.seq) if head else NOWHERE
        posts = await self._store.posts.page(community_id, request)
        authors = await self._people.authors(post.author_id for post in posts.items)
        return GroupPage(position, posts, authors)

    def _drop_old(self) -> None:
        """Drop the pages that nobody will be given any more, views and all; those read longest ago come first."""
        now = self._clock.monotonic()
        while self._kept:
            until, _ = next(iter(self._kept.values()))
            if until > now and len(self._kept) <= GROUPS:
                return
            self._kept.popitem(last=False)

    def hear(self, message: object) -> None:
        """Drop what a change makes old."""
        if isinstance(message, Fact | ReactionsChanged | FactEnvelope | LevelEnvelope):
            self._kept.pop(message.community_id, None)
            self._loading.pop(message.community_id, None)
        elif isinstance(message, AuthorChanged):
            # Rare; whose pages show this person is not worth an index.
            self._kept.clear()
            self._loading.clear()
