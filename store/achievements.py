"""Achievements: which there are, who earned which and when, and whose progress has still to be looked at.

An award and its entry in the feed are one transaction, and the index lets nobody earn one twice. What has to be done
for one, and what an entry says, is decided elsewhere.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from config.clock import Clock
from store.daily_logs import Outdated
from store.database import Database, Session
from store.errors import Duplicate, Gone
from store.events import Events
from store.ids import IdSource
from store.notices import NoticeDraft, Notices
from store.posts import ACHIEVEMENT, POST_CREATED, Posts
from store.records import Document, FactDraft, FactRecord, Post, User
from store.training import TrainingSummary

# Gives the text of the entry that an award makes in the feed of the person's group, or None for no entry.
Entry = Callable[[User], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Achievement:
    """Something to earn: by so much (``threshold``) of what ``metric`` names."""

    id: int
    metric: str
    threshold: int
    name: str
    description: str

    @classmethod
    def of(cls, document: Document) -> "Achievement":
        return cls(
            id=document["_id"],
            metric=document["metric"],
            threshold=document["threshold"],
            name=document["name"],
            description=document["description"],
        )

    def document(self) -> dict[str, object]:
        return {
            "_id": self.id,
            "metric": self.metric,
            "threshold": self.threshold,
            "name": self.name,
            "description": self.description,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Award:
    """That somebody earned an achievement, and when."""

    achievement_id: int
    earned_at: datetime

    @classmethod
    def of(cls, document: Document) -> "Award":
        return cls(achievement_id=document["achievement_id"], earned_at=document["earned_at"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Awarded:
    """An award that was made just now, with its entry and the room's fact where it made one."""

    award: Award
    post: Post | None = None
    fact: FactRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """All that decides what somebody has earned. ``due`` names the last change that nobody has looked at, if any."""

    user: User
    training: TrainingSummary
    due: str | None

    @classmethod
    def of(cls, document: Document) -> "Standing":
        return cls(
            user=User.of(document),
            training=TrainingSummary.of(document),
            due=document.get("achievements_due"),
        )


class Achievements:
    def __init__(
        self,
        database: Database,
        *,
        events: Events,
        posts: Posts,
        notices: Notices,
        ids: IdSource,
        clock: Clock,
    ) -> None:
        self._database = database
        self._events = events
        self._posts = posts
        self._notices = notices
        self._ids = ids
        self._clock = clock
        self._achievements = database.table("achievements")
        self._awards = database.table("awards")
        self._users = database.table("users")

    # What there is to earn

    async def all(self) -> list[Achievement]:
        """Give all achievements, in the order in which they were made."""
        documents = await self._achievements.find({}, sort=[("_id", 1)])
        return [Achievement.of(document) for document in documents]

    async def seed(self, achievements: Sequence[Achievement]) -> None:
        """Add those whose ids are not there yet, and leave the others as they are; harmless when done twice at once."""
        known = {achievement.id for achievement in await self.all()}
        for achievement in achievements:
            if achievement.id not in known:
                try:
                    await self._achievements.insert(achievement.document())
                except Duplicate:
                    pass  # another instance starts at the same time

    async def add(self, *, metric: str, threshold: int, name: str, description: str) -> Achievement:
        """Add an achievement. Atomic."""
        while True:
            made = Achievement(
                id=self._ids.new(), metric=metric, threshold=threshold, name=name, description=description
            )
            try:
                await self._achievements.insert(made.document())
                return made
            except Duplicate:
                continue  # two ids met

    async def get(self, achievement_id: int) -> Achievement | None:
        document = await self._achievements.get({"_id": achievement_id})
        return None if document is None else Achievement.of(document)

    async def update(self, achievement_id: int, changes: Mapping[str, object]) -> Achievement | None:
        """Set some fields and give it as it is now; None where there is none of that id. Awards stay."""
        document = await self._achievements.change({"_id": achievement_id}, {"$set": dict(changes)})
        return None if document is None else Achievement.of(document)

    # Who has earned what

    async def awards(self, user_id: int) -> list[Award]:
        """Give a person's awards, the latest first, by one indexed query."""
        documents = await self._awards.find({"user_id": user_id})
        documents.sort(key=lambda document: int(document["_id"]), reverse=True)
        return [Award.of(document) for document in documents]

    async def award(
        self, user_id: int, achievement_id: int, entry: Entry, notice: NoticeDraft | None = None
    ) -> Awarded | None:
        """Award an achievement, with an entry in the feed of the person's group if ``entry`` gives a text. Atomic.

        ``notice`` is kept with it for the person's phones.

        None where they have it: of many at once, on several instances, one makes it. Raises ``Gone`` for an account
        that is not active.
        """
        async with self._database.queues.turn(("awards", user_id)):
            while True:
                try:
                    return await self._award(user_id, achievement_id, entry, notice)
                except Outdated:
                    continue  # the person joined or left a group meanwhile, or changed their mind: look again
                except Duplicate as error:
                    if error.key != "_id":
                        return None
                    # Two ids met: once more, with others.

    async def _award(
        self, user_id: int, achievement_id: int, entry: Entry, notice: NoticeDraft | None
    ) -> Awarded | None:
        if await self._awards.get({"user_id": user_id, "achievement_id": achievement_id}) is not None:
            return None
        person = await self._users.get({"_id": user_id, "is_active": True})
        if person is None:
            raise Gone("user")
        user = User.of(person)
        text = entry(user)
        write = partial(self._write, user_id, achievement_id, entry, notice=notice)
        if text is None or user.community_id is None:
            award, _ = await self._database.transact(partial(write, None))
            return Awarded(award=award)
        (award, post), fact = await self._events.record(
            user.community_id, partial(self._write_fact, write, user.community_id)
        )
        return Awarded(award=award, post=post, fact=fact)

    async def _write_fact(
        self,
        write: Callable[[int, Session], Awaitable[tuple[Award, Post | None]]],
        room: int,
        session: Session,
    ) -> tuple[tuple[Award, Post], FactDraft]:
        award, post = await write(room, session)
        if post is None:
            raise Outdated("room")
        return (award, post), FactDraft(kind=POST_CREATED, post_id=post.id, author_id=post.author_id)

    async def _write(
        self,
        user_id: int,
        achievement_id: int,
        entry: Entry,
        room: int | None,
        session: Session,
        *,
        notice: NoticeDraft | None,
    ) -> tuple[Award, Post | None]:
        # Counted up, so that it is a change in any case: whoever erases this person at once must wait.
        person = await self._users.change(
            {"_id": user_id, "is_active": True}, {"$inc": {"achievements_earned": 1}}, session=session
        )
        if person is None:
            raise Gone("user")
        user = User.of(person)
        text = entry(user)
        if room != (None if text is None else user.community_id):
            raise Outdated("room")
        award: Document = {
            "_id": self._ids.new(),
            "user_id": user_id,
            "achievement_id": achievement_id,
            "earned_at": self._clock.now(),
        }
        await self._awards.insert(dict(award), session=session)
        if notice is not None:
            pending = self._notices.document(notice, cause="awards", cause_id=award["_id"])
            await self._notices.add(pending, session=session)
        if text is None or room is None:
            return Award.of(award), None
        post = await self._posts.insert(
            community_id=room, author_id=user_id, content=text, post_type=ACHIEVEMENT, session=session
        )
        return Award.of(award), post

    # Whose progress is to be looked at

    async def standing(self, user_id: int) -> Standing | None:
        """Give all that decides what a person has earned; None for an account that is not active."""
        document = await self._users.get({"_id": user_id, "is_active": True})
        return None if document is None else Standing.of(document)

    async def looked_at(self, user_id: int, due: str) -> None:
        """Say that all up to the change ``due`` has been looked at; a later change is still to be."""
        await self._users.update(
            {"_id": user_id, "achievements_due": due}, {"$unset": {"achievements_due": ""}}
        )

    async def due(self, *, limit: int) -> list[int]:
        """Give people with changes that nobody has looked at, by one indexed query."""
        documents = await self._users.find(
            {"achievements_due": {"$gt": ""}}, sort=[("achievements_due", 1)], limit=limit, fields=["_id"]
        )
        return [document["_id"] for document in documents]
