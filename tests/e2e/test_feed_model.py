"""The feed model over the real store, operations and hub: whatever a phone does, state + events = fresh state.

A seeded random walk: members of several groups write, comment, react and delete side by side while phones
connect, lose their network (also in the middle of a replay) and come back. Only the socket is an object of ours.
More steps: ``FEED_STEPS=1000000 FEED_SEED=7 pytest tests/e2e/test_feed_model.py``.
"""

import asyncio
import itertools
import os
import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from community import comments, posts, reactions
from community.actor import Actor
from community.errors import Forbidden, NotFound
from config.deps import Deps
from realtime.connection import Connection
from realtime.events import Position
from store.pages import MAX_PAGE_SIZE, PageRequest
from tests.realtime.fakes import FakeStream
from tests.support.feed_client import FeedClient, Shown, payloads
from tests.support.groups import Groups

STEPS = int(os.environ.get("FEED_STEPS", "1500"))
SEED = int(os.environ.get("FEED_SEED", "0")) or random.SystemRandom().randrange(1, 10**9)
GROUPS, MEMBERS = 4, 3
# What one does overtakes what the other does.
WALKERS_A_GROUP = 8
# Small enough that a fresh load is a page, large enough that everything happens to everything.
MOST_POSTS = 12
ALL = PageRequest(MAX_PAGE_SIZE)
# How often a phone comes back with a position that the server does not know, so that it has to reload.
FORGED_EVERY = 10


@dataclass
class Phone:
    """A member's phone, and its socket while it has one."""

    actor: Actor
    client: FeedClient = field(default_factory=FeedClient)
    stream: FakeStream | None = None
    connection: Connection | None = None
    read: int = 0
    busy: bool = False

    def receive(self) -> None:
        """Take all whole frames that arrived."""
        if self.stream is not None and self.stream.socket is not None:
            self._take(bytes(self.stream.socket.received))

    def _take(self, received: bytes) -> None:
        found, taken = payloads(received[self.read :])
        self.read += taken
        for frame in found:
            self.client.take(frame)


class Walk:
    def __init__(self, deps: Deps, chance: random.Random, people: list[Actor]) -> None:
        self.deps = deps
        self.chance = chance
        self.people = people
        self.phones = [Phone(actor) for actor in people]
        self.room = people[0].id
        self.posts: dict[int, list[int]] = {}
        self.connections = itertools.count(1)
        self.recoveries = 0
        self.resyncs = 0

    # What members do

    async def act(self) -> None:
        """Do one random thing; what another was faster to delete is no failure."""
        actor = self.chance.choice(self.people)
        try:
            await self._act(actor)
        except (NotFound, Forbidden):
            pass

    async def _act(self, actor: Actor) -> None:
        chosen = self.chance.random()
        if not self.posts or (chosen < 0.12 and len(self.posts) < MOST_POSTS):
            made = await posts.create_post(self.deps, actor, content="A post", content_format="plain")
            self.posts[int(str(made["id"]))] = []
            return
        post_id = self.chance.choice(list(self.posts))
        if chosen < 0.4:
            made = await comments.create_comment(self.deps, actor, post_id=post_id, content="A comment")
            if post_id in self.posts:
                self.posts[post_id].append(int(str(made["id"])))
        elif chosen < 0.75:
            kind = self.chance.choice(("fire", "thumbs_up", "heart"))
            await reactions.toggle_reaction(self.deps, actor, post_id=post_id, reaction_type=kind)
        elif self.posts[post_id] and chosen < 0.93:
            comment_id = self.posts[post_id].pop(self.chance.randrange(len(self.posts[post_id])))
            trainer = self.people[0]
            await comments.delete_comment(self.deps, trainer, post_id=post_id, comment_id=comment_id)
        elif len(self.posts) > MOST_POSTS // 2 or len(self.posts[post_id]) > 20:
            self.posts.pop(post_id)
            await posts.delete_post(self.deps, self.people[0], post_id)

    # What phones do

    async def connect(self, phone: Phone) -> None:
        """Come back with the last position seen, or load afresh and connect from there, or just connect."""
        chosen = self.chance.random()
        if phone.client.position == "" or phone.client.wants_reload or chosen < 0.1:
            await self.load(phone)
        since = Position.parse(phone.client.position)
        if next(self.connections) % FORGED_EVERY == 0:
            since = Position("forged", 3)
        phone.stream, phone.read = FakeStream(), 0
        phone.connection = Connection(
            phone.stream,
            user_id=phone.actor.id,
            session_id="s",
            expires_at=4e12,
            close=lambda *_: None,
            ping=lambda: None,
            community_id=self.room,
        )
        self.deps.realtime.register(phone.connection)
        await self.deps.realtime.join(phone.connection, since, asked=True)
        phone.receive()
        if phone.client.wants_reload:
            self.resyncs += 1
            await self.load(phone)
        elif phone.client.recovered:
            self.recoveries += 1

    def disconnect(self, phone: Phone) -> None:
        """Lose the network: of what was on its way, only a part arrives, perhaps half a frame."""
        stream, connection = phone.stream, phone.connection
        assert stream is not None
        assert connection is not None
        received = bytes(stream.socket.received)
        phone._take(received[: self.chance.randint(phone.read, len(received))])
        stream.close()
        self.deps.realtime.leave(connection)
        phone.stream = phone.connection = None

    async def load(self, phone: Phone) -> None:
        """Load by REST while others write and frames go on arriving."""
        phone.client.begin_load()
        shown, position = await fresh(self.deps, phone.actor)
        phone.receive()
        phone.client.load(shown, position)

    async def step(self) -> None:
        phone = self.chance.choice(self.phones)
        chosen = self.chance.random()
        if chosen < 0.05 and not phone.busy:
            phone.busy = True
            if phone.connection is None:
                await self.connect(phone)
            else:
                self.disconnect(phone)
            phone.busy = False
        elif chosen < 0.55:
            await self.act()
            phone.receive()
        else:
            phone.receive()
            await asyncio.sleep(0)

    # What must be true

    async def settle(self) -> None:
        """With nobody writing, every phone that is connected soon shows what a fresh load shows."""
        for phone in self.phones:
            if phone.connection is None:
                await self.connect(phone)
        head = await self.deps.store.events.head(self.room)
        assert head is not None
        shown, _ = await fresh(self.deps, self.people[0])
        for phone in self.phones:
            await self._shows(phone, comparable(shown))
            await self._missed_nothing(phone, head.seq)

    async def _shows(self, phone: Phone, expected: dict[int, Any]) -> None:
        try:
            async with asyncio.timeout(5):
                while comparable(phone.client.posts) != expected:
                    await asyncio.sleep(0.01)
                    phone.receive()
        except TimeoutError:
            shown = comparable(phone.client.posts)
            wrong = [
                number
                for number in shown.keys() | expected.keys()
                if shown.get(number) != expected.get(number)
            ]
            differences = [(shown.get(number), "instead of", expected.get(number)) for number in wrong]
            pytest.fail(f"seed {SEED}: {differences}, position {phone.client.position}")

    async def _missed_nothing(self, phone: Phone, head: int) -> None:
        client = phone.client
        missing = set(range(client.start + 1, head + 1)) - client.seqs
        if not missing:
            return
        room = await self.deps.store.events.head(self.room)
        assert room is not None
        logged = await self.deps.store.events.after(room, min(missing), limit=100_000)
        hidden = [record for record in logged if record.seq in missing]
        assert {record.seq for record in hidden} == missing, f"seed {SEED}: not in the log"
        assert {record.kind for record in hidden} <= {"new_post", "new_comment"}, f"seed {SEED}"
        alive = await self.deps.store.posts.some([each.post_id for each in hidden if each.kind == "new_post"])
        told = await self.deps.store.comments.some([each.comment_id or 0 for each in hidden])
        assert not alive, f"seed {SEED}: posts {list(alive)} were never told"
        assert not told, f"seed {SEED}: comments {list(told)} were never told"


async def fresh(deps: Deps, actor: Actor) -> tuple[Shown, str]:
    """Give what REST shows of the whole feed, and the position that came first."""
    view = await posts.list_posts(deps, actor, ALL)
    shown: Shown = {}
    for post in view.page.items:
        number = int(str(post["id"]))
        try:
            page, count = await comments.list_comments(deps, actor, post_id=number, request=ALL)
        except NotFound:
            continue
        listed: list[dict[str, Any]] = list(page.items)
        while page.next:
            page, _ = await comments.list_comments(
                deps, actor, post_id=number, request=PageRequest(MAX_PAGE_SIZE, page.next)
            )
            listed += page.items
        shown[number] = {**post, "comments": {each["id"]: each for each in listed}, "comment_count": count}
    return shown, str(view.position)


def comparable(shown: Shown) -> dict[int, Any]:
    """What REST and events both tell: everything but one's own reactions."""
    return {
        number: (
            post["content"],
            post["author"],
            dict(post["reactions"]),
            post["comment_count"],
            post["comments"],
        )
        for number, post in shown.items()
    }


async def walk_of(deps: Deps, groups: Groups, chance: random.Random) -> Walk:
    people = []
    for person in await groups.group(MEMBERS - 1):
        user = await deps.store.users.get(person.id)
        assert user is not None
        people.append(Actor(user, "s", 4e12))
    return Walk(deps, chance, people)


@pytest.mark.long
async def test_state_and_events_are_a_fresh_state_when_members_and_networks_do_what_they_like(
    groups: Groups, deps: Deps
) -> None:
    chance = random.Random(SEED)
    walks = [await walk_of(deps, groups, random.Random(chance.random())) for _ in range(GROUPS)]
    steps = itertools.count()

    async def run(walk: Walk, until: int) -> None:
        while next(steps) < until:
            await walk.step()

    rounds = 10
    for number in range(rounds):
        until = STEPS * (number + 1) // rounds
        await asyncio.gather(*(run(walk, until) for walk in walks for _ in range(WALKERS_A_GROUP)))
        for walk in walks:
            await walk.settle()
    assert sum(walk.recoveries for walk in walks) > STEPS / 200, "the walk hardly came back"
    assert sum(walk.resyncs for walk in walks) > 0, "the walk never had to reload"
