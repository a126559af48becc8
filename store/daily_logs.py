"""Training logs: one document a person and day, and with each change the person's summary and their entry in the feed.

A log, the summary, the entry and its fact are one transaction. Who may log which day, and what an entry says, is
decided elsewhere.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import partial

from config.clock import Clock
from store.changes_due import look_due
from store.database import Database, Session
from store.errors import Duplicate, Gone
from store.events import Events
from store.pages import Page, PageRequest, bounds, cut
from store.posts import POST_CREATED, POST_DELETED, WORKOUT_COMPLETED, Posts
from store.records import Document, FactDraft, FactRecord, Post, User
from store.training import TrainingSummary

# What somebody wrote into a page of logs, together: 50 logs may hold 6.4 MB, and a phone on the road wants none of it.
PAGE_BYTES = 1024 * 1024
# The day after the last one that there is.
NEVER = date.max.toordinal() + 1

# Gives the text of the entry that a person's workout makes in their group's feed, or None for no entry.
Entry = Callable[[User], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyLog:
    """What a person logged for one day. ``workout_data`` and ``nutrition_data`` are JSON text."""

    user_id: int
    on: date
    workout_data: str | None
    nutrition_data: str | None
    weight_kg: float | None
    # The entry in the feed that the workout made. It stays when somebody deleted the entry, so that none follows.
    post_id: int | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, document: Document) -> "DailyLog":
        get = document.get
        return cls(
            user_id=document["_id"]["user_id"],
            on=date.fromisoformat(document["_id"]["date"]),
            workout_data=get("workout_data"),
            nutrition_data=get("nutrition_data"),
            weight_kg=get("weight_kg"),
            post_id=get("post_id"),
            created_at=document["created_at"],
            updated_at=document["updated_at"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogWritten:
    """A log as it is now, and what came of it: whether it is new, its entry where one appeared, and the room's fact."""

    log: DailyLog
    is_new: bool
    post: Post | None = None
    fact: FactRecord | None = None


class Outdated(Gone):
    """What a change was planned upon has changed meanwhile: nothing was written, plan again."""


@dataclass(frozen=True, slots=True)
class _Change:
    """What somebody wants: these fields of this day's log, and an entry if it comes to one."""

    user_id: int
    on: date
    fields: Mapping[str, object]
    entry: Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """A change as it would be now: what is there, and what becomes of the entry."""

    user: User
    summary: TrainingSummary
    before: Document | None
    # The text of the entry to add, or the entry to take away.
    adds: str | None = None
    removes: Post | None = None

    @property
    def room(self) -> int | None:
        """The room whose feed changes, if any does."""
        if self.removes is not None:
            return self.removes.community_id
        return self.user.community_id if self.adds is not None else None


class DailyLogs:
    """``_id`` is the pair of person and date, so a day has one log and a person's logs lie in the order of days."""

    def __init__(self, database: Database, events: Events, posts: Posts, clock: Clock) -> None:
        self._database = database
        self._events = events
        self._posts = posts
        self._clock = clock
        self._logs = database.table("daily_logs")
        self._users = database.table("users")

    async def get(self, user_id: int, on: date) -> DailyLog | None:
        document = await self._logs.get({"_id": log_key(user_id, on)})
        return None if document is None else DailyLog.of(document)

    async def put(self, user_id: int, on: date, changes: Mapping[str, object], entry: Entry) -> LogWritten:
        """Set these fields of that day's log; fields that are left out stay. Atomic, and the same when done twice.

        A workout where there was none makes an entry in the feed of the person's group if ``entry`` gives a text and
        this day's workout made none yet; a workout taken away takes its entry along. Two writers of one person
        follow one another, on several instances, too. Raises ``Gone`` for an account that is not active.
        """
        change = _Change(user_id, on, changes, entry)
        async with self._database.queues.turn(("daily_logs", user_id)):
            while True:
                try:
                    return await self._put(change)
                except (Duplicate, Outdated):
                    continue  # another instance wrote meanwhile, or two ids met: look again

    async def _put(self, change: _Change) -> LogWritten:
        """Change it if the feed is then touched as planned before the transaction. Raises ``Outdated`` if not."""
        room = (await self._plan(change)).room if "workout_data" in change.fields else None
        if room is None:
            written, _ = await self._database.transact(partial(self._write, change, None))
            return written
        written, fact = await self._events.record(room, partial(self._write_fact, change, room))
        return replace(written, fact=fact)

    async def _plan(self, change: _Change, session: Session | None = None) -> _Plan:
        person = await self._users.get({"_id": change.user_id, "is_active": True}, session=session)
        if person is None:
            raise Gone("user")
        before = await self._logs.get({"_id": log_key(change.user_id, change.on)}, session=session)
        plan = _Plan(user=User.of(person), summary=TrainingSummary.of(person), before=before)
        if "workout_data" not in change.fields:
            return plan
        trains = change.fields["workout_data"] is not None
        trained = before is not None and before.get("workout_data") is not None
        entered = before.get("post_id") if before is not None else None
        if trains and not trained and entered is None and plan.user.community_id is not None:
            return replace(plan, adds=change.entry(plan.user))
        if trained and not trains and entered is not None:
            return replace(plan, removes=await self._posts.get(entered, session=session))
        return plan

    async def _write_fact(self, change: _Change, room: int, session: Session) -> tuple[LogWritten, FactDraft]:
        written, draft = await self._write(change, room, session)
        if draft is None:
            raise Outdated("room")
        return written, draft

    async def _write(
        self, change: _Change, room: int | None, session: Session
    ) -> tuple[LogWritten, FactDraft | None]:
        plan = await self._plan(change, session)
        if plan.room != room:
            raise Outdated("room")
        post, draft, linked = await self._enter(plan, session)
        now = self._clock.now()
        fresh = {**change.fields, **linked, "updated_at": now}
        key = log_key(change.user_id, change.on)
        if plan.before is None:
            document = {"_id": key, **fresh, "created_at": now}
            await self._logs.insert(document, session=session)
        else:
            document = {**plan.before, **fresh}
            await self._logs.update({"_id": key}, {"$set": fresh}, session=session)
        log = DailyLog.of(document)
        summary = await self._summed(plan.summary, log, session)
        # Counted up, so that it is a change in any case: whoever writes or erases this person at once must wait.
        await self._users.update(
            {"_id": change.user_id},
            {"$set": {**summary.fields(), **look_due()}, "$inc": {"training.version": 1}},
            session=session,
        )
        return LogWritten(log=log, is_new=plan.before is None, post=post), draft

    async def _enter(
        self, plan: _Plan, session: Session
    ) -> tuple[Post | None, FactDraft | None, dict[str, int | None]]:
        """Add or take away the entry: the new one, the fact's draft, and what the log says of it from now on."""
        user, removed = plan.user, plan.removes
        if removed is not None:
            await self._posts.remove(removed.id, session=session)
            draft = FactDraft(kind=POST_DELETED, post_id=removed.id, author_id=user.id)
            return None, draft, {"post_id": None}
        if plan.adds is None or user.community_id is None:
            return None, None, {}
        post = await self._posts.insert(
            community_id=user.community_id,
            author_id=user.id,
            content=plan.adds,
            post_type=WORKOUT_COMPLETED,
            session=session,
        )
        draft = FactDraft(kind=POST_CREATED, post_id=post.id, author_id=user.id)
        return post, draft, {"post_id": post.id}

    async def _summed(self, summary: TrainingSummary, log: DailyLog, session: Session) -> TrainingSummary:
        """Give the summary with this log in it."""
        day = log.on.toordinal()
        weights = summary.weights.changed(day, present=log.weight_kg is not None)

        async def weight_on(other: int | None, known: int | None, known_kg: float | None) -> float | None:
            if other is None or other == day:
                return log.weight_kg if other == day else None
            if other == known:
                return known_kg
            found = await self._logs.get(
                {"_id": log_key(log.user_id, date.fromordinal(other))}, fields=["weight_kg"], session=session
            )
            return None if found is None else found["weight_kg"]

        return TrainingSummary(
            workouts=summary.workouts.changed(day, present=log.workout_data is not None),
            nutrition=summary.nutrition.changed(day, present=log.nutrition_data is not None),
            weights=weights,
            first_weight_kg=await weight_on(
                weights.earliest, summary.weights.earliest, summary.first_weight_kg
            ),
            latest_weight_kg=await weight_on(
                weights.latest, summary.weights.latest, summary.latest_weight_kg
            ),
        )

    async def page(self, user_id: int, since: date, until: date, request: PageRequest) -> Page[DailyLog]:
        """Give a page of a person's logs of these days (both included), the latest day first, by one indexed query.

        A page ends early, but never empty, where its texts together exceed 1 MiB. The ids of its cursors are days.
        """
        condition, direction = bounds(request, newest_first=True)
        earliest = max(since.toordinal(), condition.get("$gt", 0) + 1)
        latest = min(until.toordinal(), condition.get("$lt", NEVER) - 1)
        if earliest > latest:
            return Page((), None, None)
        first, last = date.fromordinal(earliest), date.fromordinal(latest)
        documents = await self._logs.find(
            {"_id": {"$gte": log_key(user_id, first), "$lte": log_key(user_id, last)}},
            sort=[("_id", direction)],
            limit=request.size + 1,
        )
        logs = [DailyLog.of(document) for document in documents]
        return cut(logs, replace(request, size=_fitting(logs, request.size)), lambda log: log.on.toordinal())


def log_key(user_id: int, on: date) -> dict[str, object]:
    """The ``_id`` of a log. The order of the fields is part of it: MongoDB compares sub-documents by field."""
    return {"user_id": user_id, "date": on.isoformat()}


def logs_of(user_id: int) -> dict[str, object]:
    """The condition for all logs of a person."""
    return {"_id": {"$gte": log_key(user_id, date.min), "$lte": log_key(user_id, date.max)}}


def _fitting(logs: list[DailyLog], size: int) -> int:
    """Give how many of the first ``size`` logs fit into a page; one does in any case."""
    total = 0
    for number, log in enumerate(logs[:size]):
        total += len(log.workout_data or "") + len(log.nutrition_data or "")
        if number and total > PAGE_BYTES:
            return number
    return size
