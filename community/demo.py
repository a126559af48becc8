"""The demo: fills an empty database with two groups that look as if they had been there for three weeks.

Who says what when is planned in ``community.demo_plan``; here the plan goes through the real operations, each
under a clock that stands at its planned time, so that counts, facts, ids and times are those of a real group.

A fill that dies in the middle is finished by the next one. The first thing written is a marker with the time
that the plan ends at, and the plan is a function of that time alone, ids included: what is there already is
found by its id, what is missing is written, and only then the marker says done. After that nothing is ever
touched again, whatever people delete.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from community.accounts import register
from community.achievements import check
from community.actor import Actor
from community.announcements import create_announcement, mark_read
from community.comments import create_comment
from community.demo_pictures import landscape
from community.demo_plan import (
    GroupPlan,
    Person,
    PlannedAnnouncement,
    PlannedComment,
    PlannedPost,
    PlannedReaction,
    make_plan,
)
from community.demo_training import PlannedLog, plan_training, write_log
from community.demo_words import address_of, load_words
from community.invites import create_invite
from community.passwords import Hashing
from community.pictures import set_profile_image
from community.posts import create_post
from community.reactions import toggle_reaction
from config.clock import Clock
from config.deps import Deps
from store.markers import Markers
from store.records import User
from store.store import Store

PASSWORD = "lift-laugh-repeat"  # noqa: S105 - printed for everybody: the demo is not for production
MARKER = "demo"
# Posts of a group whose reactions are written beside its posts. More would make those wait: the whole fill takes
# 6.9 s with the reactions after the posts, 5.0 s with 2 to 4 at once beside them.
AT_ONCE = 3
# Of a group's posts, the newest but one and every so-manieth before it has a picture.
PICTURE_EVERY, PICTURES = 9, 4
# Log-ins shown of each group, after its trainer's.
SHOWN = 2


class PastClock:
    """Stands at a time of day in the past until it is set forward; seconds pass as they do for everybody."""

    def __init__(self, at: datetime, real: Clock) -> None:
        self._at = at
        self._real = real

    def forward_to(self, at: datetime) -> None:
        self._at = max(self._at, at)

    def now(self) -> datetime:
        return self._at

    def monotonic(self) -> float:
        return self._real.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._real.sleep(seconds)


class HashOnce(Hashing):
    """Hashes the one password of the demo once: by itself each of 32 hashes takes 20 ms or more."""

    def __init__(self, real: Hashing) -> None:
        self._real = real
        self._encoded: str | None = None

    async def hash(self, password: str) -> str:
        """Give the hash of the first password for every password. Raises ``Busy``."""
        if self._encoded is None:
            self._encoded = await self._real.hash(password)
        return self._encoded


async def fill_if_empty(deps: Deps, *, say: Callable[[str], object]) -> bool:
    """Fill an empty database, or finish a fill that was interrupted; tell by ``say`` what is being done.

    False, and nothing is changed, where there are people already or the demo is complete. Two fills at once
    are harmless: both write the same.
    """
    markers = Markers(deps.store.database, deps.clock)
    if await deps.store.users.is_empty():
        marker = await markers.begin(MARKER)
        say("Writing demo data into the empty database ...")
    else:
        # Looked at after the people: a fill that has written somebody had its marker before.
        found = await markers.get(MARKER)
        if found is None or found.done_at is not None:
            return False
        marker = found
        say("Finishing the demo data that an interrupted start left half done ...")
    groups = make_plan(marker.begun_at)
    deps = replace(deps, hashing=HashOnce(deps.hashing))
    logs = [
        plan_training(group, cast.trainees, marker.begun_at)
        for group, cast in zip(groups, load_words().casts, strict=True)
    ]
    await _all([_fill(deps, *each) for each in zip(groups, logs, strict=True)])
    await markers.finish(MARKER)
    people = sum(len(group.trainees) for group in groups)
    posts = sum(isinstance(entry, PlannedPost) for group in groups for entry in group.entries)
    say(f"Demo data is there: {len(groups)} trainers, {people} trainees, {posts} posts.")
    return True


def accounts() -> dict[str, list[str]]:
    """Give the addresses of each group by its trainer's, the most active trainee first."""
    casts = load_words().casts
    return {address_of(cast.trainer): [address_of(name) for name in cast.trainees] for cast in casts}


def log_ins() -> list[str]:
    """Give lines that tell how to log in to the demo."""
    lines = [f"demo log-ins (password of everybody: {PASSWORD})"]
    for trainer, trainees in accounts().items():
        lines.append(f"  trainer {trainer:<18}  trainees {', '.join(trainees[:SHOWN])}, ...")
    return lines


async def _all(work: Sequence[Awaitable[None]]) -> None:
    """Wait for all; where one fails, the others are stopped and its error is raised."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _at(deps: Deps, at: datetime) -> Deps:
    """The same dependencies, at that time."""
    return _with(deps, PastClock(at, deps.clock))


def _with(deps: Deps, clock: Clock) -> Deps:
    return replace(deps, clock=clock, store=Store(deps.store.database, clock))


async def _fill(deps: Deps, group: GroupPlan, logs: Sequence[PlannedLog]) -> None:
    """Write one group: people, announcements, posts and comments in their order, and beside them the reactions.

    Training comes after all that is planned for the feed, and last what shows there.
    """
    actors = await _join(deps, group)
    written = {post.id: asyncio.Event() for post, _ in group.reactions}
    pictured = _pictured(group)
    waiting = iter(group.reactions)

    async def write() -> None:
        # One store for all: it remembers the last number of the room.
        clock = PastClock(group.invited_at, deps.clock)
        then = _with(deps, clock)
        for entry in group.entries:
            clock.forward_to(entry.at)
            await _write(then, actors[entry.author.id], entry, pictured=entry.id in pictured)
            actors[entry.author.id] = _having_written(actors[entry.author.id], entry)
            if isinstance(entry, PlannedPost):
                written[entry.id].set()

    async def react() -> None:
        # One after the other within a post, so that its last reaction is its latest.
        for post, reactions in waiting:
            await written[post.id].wait()
            for reaction in reactions:
                await _react(_at(deps, reaction.at), actors[reaction.by.id], post, reaction)

    async def train(*, news: bool) -> None:
        clock = PastClock(group.invited_at, deps.clock)
        then = _with(deps, clock)
        for log in logs:
            if log.is_news == news:
                clock.forward_to(log.at)
                await write_log(then, actors[log.by.id], log)

    await _announce(deps, group, actors)
    await _all([write(), *(react() for _ in range(AT_ONCE))])
    await train(news=False)
    for user_id in actors:  # whom an interrupted fill had not come to look at
        await check(deps, user_id, tells=False)
    trainer = actors[group.trainer.id]
    if trainer.user.profile_image is None:
        await set_profile_image(deps, trainer, landscape(trainer.id))
    await train(news=True)


async def _join(deps: Deps, group: GroupPlan) -> dict[int, Actor]:
    """Register the trainer and, by an invite, the trainees, unless they are there; gives everybody as an actor."""
    people = [group.trainer, *group.trainees]
    users = await deps.store.users.some([person.id for person in people])
    if group.trainer.id not in users:
        users[group.trainer.id] = await _register(deps, group.trainer, invite_code=None)
    invite = await create_invite(
        _at(deps, group.invited_at),
        _actor(users[group.trainer.id]),
        expires_at=None,
        max_uses=len(group.trainees),
        reserved_id=group.invite_id,
    )
    for person in group.trainees:
        if person.id not in users:
            users[person.id] = await _register(deps, person, invite_code=invite.code)
    return {user.id: _actor(user) for user in users.values()}


async def _register(deps: Deps, person: Person, *, invite_code: str | None) -> User:
    return await register(
        _at(deps, person.joined_at),
        email=person.email,
        password=PASSWORD,
        first_name=person.first_name,
        last_name=person.last_name,
        role=person.role,
        timezone=person.timezone,
        origin="demo",
        invite_code=invite_code,
        reserved_id=person.id,
    )


def _actor(user: User) -> Actor:
    return Actor(user=user, session_id="", expires_at=0)


def _pictured(group: GroupPlan) -> set[int]:
    """Give the ids of the posts that have a picture."""
    posts = [entry.id for entry in group.entries if isinstance(entry, PlannedPost)]
    return set(posts[-2::-PICTURE_EVERY][:PICTURES])


async def _write(deps: Deps, actor: Actor, entry: PlannedPost | PlannedComment, *, pictured: bool) -> None:
    if isinstance(entry, PlannedPost):
        await create_post(
            deps,
            actor,
            content=entry.text,
            content_format=entry.saying.content_format,
            image=landscape(entry.id) if pictured else None,
            reserved_id=entry.id,
        )
    else:
        await create_comment(deps, actor, post_id=entry.post.id, content=entry.text, reserved_id=entry.id)


def _having_written(actor: Actor, entry: PlannedPost | PlannedComment) -> Actor:
    """The same actor, who needs not be looked at again for a first post or comment."""
    posted, commented = isinstance(entry, PlannedPost), isinstance(entry, PlannedComment)
    user = actor.user
    noted = replace(user, has_posted=user.has_posted or posted, has_commented=user.has_commented or commented)
    return replace(actor, user=noted)


async def _announce(deps: Deps, group: GroupPlan, actors: Mapping[int, Actor]) -> None:
    """Announce what the trainer announces. Before the last of it the trainees read all, so that one is unread."""
    *earlier, last = group.announcements
    if await deps.store.announcements.get(last.id) is not None:
        return
    for planned in earlier:
        await _announce_one(deps, actors[group.trainer.id], planned)
    for person in group.trainees:
        await mark_read(_at(deps, last.at), actors[person.id])
    await _announce_one(deps, actors[group.trainer.id], last)


async def _announce_one(deps: Deps, trainer: Actor, planned: PlannedAnnouncement) -> None:
    notice = planned.notice
    await create_announcement(
        _at(deps, planned.at),
        trainer,
        title=notice.title,
        body=notice.body,
        content_format="markdown",
        is_pinned=notice.is_pinned,
        reserved_id=planned.id,
    )


async def _react(deps: Deps, actor: Actor, post: PlannedPost, reaction: PlannedReaction) -> None:
    kind = reaction.reaction_type
    state = await toggle_reaction(deps, actor, post_id=post.id, reaction_type=kind)
    if not state["active"]:
        # An interrupted fill had written it, and this has just taken it away.
        await toggle_reaction(deps, actor, post_id=post.id, reaction_type=kind)
