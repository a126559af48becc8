"""Who and what is in a database before a measurement: groups, members, posts, reactions, and their tokens.
It writes through the store, so that documents look as the server makes them; the many are clones of the first.
"""

import itertools
import random
import secrets
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pymongo import UpdateOne

from community.tokens import ACCESS_FOR, REFRESH_FOR, Tokens
from config.clock import SystemClock
from store.day_set import DaySet
from store.ids import first_id_at
from store.records import TRAINEE, TRAINER
from store.store import Store
from store.training import TrainingSummary

# Known to the server by its environment, so that members need not log in one by one at 20 ms a password.
JWT_SECRET = "benchmarks-only: 0123456789 abcdefghij"
PARAGRAPH = "Five by five at eighty kilos today and the last set moved better than the first one did. " * 3
CLOCK = SystemClock()
TOKENS = Tokens([JWT_SECRET], CLOCK)

BATCH = 10_000

# Cloned posts are older than anything that a run makes itself, and each group's ids end in bits of its own.
OLD_SECONDS = 3_600
GROUP_NUMBERS = itertools.count()


@dataclass(frozen=True)
class Member:
    """A person with one log-in."""

    user_id: int
    session_id: str
    community_id: int

    def token(self, good_for: timedelta = ACCESS_FOR) -> str:
        """An access token, good for the next quarter of an hour or for less."""
        now = CLOCK.now()
        issued = now - (ACCESS_FOR - good_for)
        return TOKENS.pair_of(self.session_id, self.user_id, 1, issued, now + timedelta(days=1)).access

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token()}"}


@dataclass(frozen=True, eq=False)
class Group:
    """A trainer, their trainees, and the group's posts, newest first."""

    trainer: Member
    trainees: list[Member]
    post_ids: list[int]

    @property
    def community_id(self) -> int:
        return self.trainer.community_id

    @property
    def members(self) -> list[Member]:
        return [self.trainer, *self.trainees]


async def make_group(
    store: Store,
    name: str,
    *,
    trainees: int,
    posts: int,
    password_hash: str = "",
    with_reactions: bool = True,
) -> Group:
    """A group of this size; some members have reacted to its newest posts, if wanted.

    Without a `password_hash` nobody in it can log in by a password.
    """
    trainer = await _person(store, name, role=TRAINER, password_hash=password_hash)
    invite = await store.invites.add(
        trainer_id=trainer.user_id, code=secrets.token_hex(6).upper(), expires_at=None, max_uses=None
    )
    members = []
    if trainees:
        first = await _person(
            store,
            f"{name} 0",
            role=TRAINEE,
            password_hash=password_hash,
            invite_code=invite.code,
            trainer=trainer,
        )
        members = [first, *await _like(store, first, name, trainees - 1)]
    authors = [member.user_id for member in members[:50]] or [trainer.user_id]
    post_ids = await _posts(store, trainer.community_id, authors, posts) if posts else []
    for number, member in enumerate(members[:32] if with_reactions else []):
        await _react(store, member, post_ids[number % 2 : 20 : 2])
    return Group(trainer, members, post_ids)


async def _person(
    store: Store,
    name: str,
    *,
    role: str,
    password_hash: str,
    invite_code: str | None = None,
    trainer: Member | None = None,
) -> Member:
    user = await store.users.add(
        email=_address(name),
        password_hash=password_hash,
        first_name="Ana",
        last_name="Ferreira",
        role=role,
        timezone="UTC",
        epoch=secrets.token_hex(4),
        invite_code=invite_code,
    )
    now, session_id = CLOCK.now(), secrets.token_hex(16)
    await store.sessions.add(
        session_id=session_id,
        user_id=user.id,
        refresh_digest=session_id,
        at=now,
        expires_at=now + REFRESH_FOR,
    )
    return Member(user.id, session_id, trainer.user_id if trainer else user.id)


async def _like(store: Store, pattern: Member, name: str, count: int) -> list[Member]:
    """So many other members with a log-in each: clones of one that the store has made, with addresses of their own."""
    users, sessions = store.database.table("users"), store.database.table("sessions")
    user = await users.get({"_id": pattern.user_id})
    session = await sessions.get({"_id": pattern.session_id})
    assert user is not None
    assert session is not None
    members = [Member(store.ids.new(), secrets.token_hex(16), pattern.community_id) for _ in range(count)]
    for begin in range(0, count, BATCH):
        batch = list(enumerate(members[begin : begin + BATCH], begin + 1))
        addresses = {member: _address(f"{name} {number}") for number, member in batch}
        await users.insert_many(
            [
                {**user, "_id": member.user_id, "email": address, "email_key": address}
                for member, address in addresses.items()
            ]
        )
        await sessions.insert_many(
            [
                {
                    **session,
                    "_id": each.session_id,
                    "user_id": each.user_id,
                    "refresh_digest": each.session_id,
                }
                for each in addresses
            ]
        )
    return members


def _address(name: str) -> str:
    return f"{name.replace(' ', '.')}@bench.example".casefold()


async def _posts(store: Store, community_id: int, authors: list[int], count: int) -> list[int]:
    """The room's posts: one made by the store, the others clones of it, a second apart into the past."""
    first, _ = await store.posts.add(
        community_id=community_id, author_id=authors[0], content=PARAGRAPH, content_format="plain"
    )
    table = store.database.table("posts")
    pattern = await table.get({"_id": first.id})
    assert pattern is not None
    post_ids = [first.id]
    newest_ms, bits = int(time.time() - OLD_SECONDS) * 1_000, next(GROUP_NUMBERS)
    for begin in range(1, count, BATCH):
        batch = [
            _clone(pattern, first_id_at(newest_ms - 1_000 * age) + bits, authors[age % len(authors)])
            for age in range(begin, min(count, begin + BATCH))
        ]
        await table.insert_many(batch)
        post_ids += [document["_id"] for document in batch]
    return post_ids


def _clone(pattern: dict[str, Any], post_id: int, author_id: int) -> dict[str, Any]:
    return {**pattern, "_id": post_id, "author_id": author_id}


async def _react(store: Store, member: Member, post_ids: list[int]) -> None:
    posts = await store.posts.some(post_ids)
    for post in posts.values():
        await store.reactions.toggle(post, member.user_id, "fire")


async def train(store: Store, members: list[Member]) -> None:
    """A year of training up to today for each, four days a week or so, and names to tell them by.

    Only what boards are made of: the summaries, without the logs behind them.
    """
    rng = random.Random(len(members))
    today = CLOCK.now().toordinal()
    changes = []
    for number, member in enumerate(members):
        days = {today - ago for ago in range(365) if ago < number % 40 or rng.random() < 4 / 7}
        summary = TrainingSummary(
            workouts=DaySet.of(days), nutrition=DaySet.of(days), weights=DaySet.of(days)
        )
        names = {"first_name": f"Ana {number % 200}", "last_name": f"Ferreira {number}"}
        changes.append(UpdateOne({"_id": member.user_id}, {"$set": {**summary.fields(), **names}}))
    await store.database.raw["users"].bulk_write(changes)
