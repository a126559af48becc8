"""A seeded random walk through everything at once, in virtual time: two instances, a bad broker, a slow log that
fails and is cut, clients that come, stall, break off and return. What each was told must add up to the log.

How long and how often it is walked is decided by the test beside it and by the scenario `feed-model`.
"""

import asyncio
import itertools
import json
import random
import selectors
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, TypeVar

from config.clock import whole_milliseconds
from realtime.broker import Deliver, Envelope
from realtime.events import AuthorChanged, Event, Fact, Position, UserClosed
from realtime.hub import Hub
from tests.realtime.fakes import NOON, MemoryLog, Peer, frames

ROOMS = (1, 2)
CLIENTS = 10
T = TypeVar("T")


class Impatient(selectors.DefaultSelector):
    """Does not wait: it moves the loop's clock on by as long as it should have waited."""

    loop: "VirtualTime"

    def select(self, timeout: float | None = None) -> list:
        assert timeout is not None, "nothing will ever happen again"
        self.loop.now += max(0.0, timeout)
        return super().select(0)


class VirtualTime(asyncio.SelectorEventLoop):
    """A loop in which hours pass in a moment. Is a clock for the hub as well."""

    def __init__(self) -> None:
        self.now = 0.0
        selector = Impatient()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now


class LoopClock:
    def __init__(self, loop: VirtualTime) -> None:
        self._loop = loop

    def now(self) -> datetime:
        return whole_milliseconds(NOON + timedelta(seconds=self._loop.now))

    def monotonic(self) -> float:
        return self._loop.now


class Truth(MemoryLog):
    """The log of the walk, and what is true in each room by it."""

    def __init__(self, walk: random.Random, clock: LoopClock) -> None:
        super().__init__()
        self.walk, self.clock = walk, clock
        self.calm = False
        self.ids = itertools.count(1)
        self.posts: dict[int, dict[int, set[int]]] = {room: {} for room in ROOMS}
        self.epochs = dict.fromkeys(ROOMS, "e0")
        self.not_shown: dict[tuple[int, str], set[int]] = {(room, "e0"): set() for room in ROOMS}
        self.facts = {room: [] for room in ROOMS}

    async def _read(self, name: str, look: Callable[[], T]) -> T:
        self.reads.append(name)
        if not self.calm:
            await asyncio.sleep(self.walk.choice([0, 0.001, 0.005, 0.05]))
        seen = look()
        if not self.calm:
            await asyncio.sleep(self.walk.choice([0, 0.001, 0.005, 0.05]))
            if self.walk.random() < 0.03:
                raise ConnectionError("not now")
        return seen

    def gone(self, community_id: int) -> set[int]:
        return self.not_shown[community_id, self.epochs[community_id]]

    def head_of(self, community_id: int) -> Position:
        return Position(self.epochs[community_id], len(self.facts[community_id]))

    def change(self, room: int) -> Event:
        """Something happens in the room."""
        self.at, self.epoch = self.clock.now(), self.epochs[room]
        posts = self.posts[room]
        what = self.walk.random()
        if what < 0.2 or not posts:
            post_id = next(self.ids)
            posts[post_id] = set()
            return self.post(post_id, community_id=room, author_id=self.walk.randrange(3))
        post_id = self.walk.choice(list(posts))
        comments = posts[post_id]
        if what < 0.5:
            comment_id = next(self.ids)
            comments.add(comment_id)
            return self.comment(comment_id, post_id, count=len(comments), community_id=room)
        if what < 0.6 and comments:
            comment_id = self.walk.choice(sorted(comments))
            comments.remove(comment_id)
            self._hide(room, lambda fact: fact.comment_id == comment_id)
            return self.delete_comment(comment_id, post_id, count=len(comments), community_id=room)
        if what < 0.7 and len(posts) > 3:
            del posts[post_id]
            self._hide(room, lambda fact: fact.post_id == post_id)
            return self.delete_post(post_id, community_id=room)
        known = self.levels.get((room, post_id))
        version = known.version + 1 if known else 1
        return self.react(post_id, version=version, fire=version * 10, community_id=room)

    def _hide(self, room: int, concerned: Callable[[Fact], bool]) -> None:
        shown = (fact for fact in self.facts[room] if fact.wire_name in {"new_post", "new_comment"})
        self.gone(room).update(fact.position.seq for fact in shown if concerned(fact))

    def number_anew(self, room: int) -> None:
        self.epochs[room] = f"e{next(self.ids)}"
        self.not_shown[room, self.epochs[room]] = set()
        self.facts[room] = []
        self.cut_through[room] = 0

    def cut(self, room: int) -> None:
        self.cut_through[room] = max(self.cut_through.get(room, 0), len(self.facts[room]) - 15)

    def true_levels(self, room: int) -> dict[int, int]:
        return {post_id: level.version for (where, post_id), level in self.levels.items() if where == room}


class Network:
    """Carries envelopes between the instances, badly."""

    def __init__(self, walk: random.Random, *, is_lossless: bool) -> None:
        self.walk, self.is_lossless = walk, is_lossless
        self.calm = False
        self.ends: list[End] = []

    def carry(self, envelope: Envelope, origin: "End") -> None:
        loop = asyncio.get_running_loop()
        for end in self.ends:
            if end is origin and self.walk.random() > 0.05:
                continue
            lost = not self.is_lossless and not self.calm and self.walk.random() < 0.15
            for _ in range(0 if lost else self.walk.choice([1, 1, 1, 2])):
                loop.call_later(self.walk.choice([0, 0, 0.001, 0.01, 0.3]), end.receive, envelope)


class End:
    """One instance's broker."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.deliver: Deliver | None = None
        network.ends.append(self)

    @property
    def is_healthy(self) -> bool:
        return self.network.walk.random() < 0.5

    def hears(self, community_id: int) -> bool:
        return False

    async def start(self, deliver: Deliver, missed: Callable[[], None]) -> None:
        self.deliver = deliver

    async def stop(self) -> None:
        self.deliver = None
        if self in self.network.ends:
            self.network.ends.remove(self)

    def publish(self, envelope: Envelope) -> None:
        self.network.carry(envelope, self)

    async def subscribe(self, community_id: int) -> None: ...

    def unsubscribe(self, community_id: int) -> None: ...

    def receive(self, envelope: Envelope) -> None:
        if self.deliver is not None:
            self.deliver(envelope)


class ModelPeer(Peer):
    """Answers pings at once; dead peers are no subject of this walk."""

    def _ping(self) -> None:
        super()._ping()
        self.connection.on_pong()


class Client:
    """Builds its state from what it is told, and holds what it is told against the promises."""

    def __init__(self, user_id: int, truth: Truth) -> None:
        self.user_id, self.truth = user_id, truth
        self.room = ROOMS[user_id % len(ROOMS)]
        self.position: Position | None = None
        self.posts: dict[int, tuple[set[int], int]] = {}
        self.levels: dict[int, int] = {}
        self.peer: ModelPeer | None = None
        self.hub: Hub | None = None
        self.since: Position | None = None
        self.expects = "connected"
        self.told: Position | None = None
        self.counts = dict.fromkeys(("connected", "recovered", "fact", "level", "resync", "heartbeat"), 0)

    def load(self) -> None:
        """What a client does by REST: the position first, then the content."""
        self.position = self.truth.head_of(self.room)
        self.reload()

    def reload(self) -> None:
        self.posts = {
            post_id: (set(comments), len(comments))
            for post_id, comments in self.truth.posts[self.room].items()
        }
        self.levels = self.truth.true_levels(self.room)

    async def connect(self, hub: Hub, clock: LoopClock) -> None:
        expires_at = clock.now().timestamp() + 900
        self.peer = ModelPeer(
            user_id=self.user_id, session_id=str(self.user_id), community_id=self.room, expires_at=expires_at
        )
        self.hub, self.since = hub, self.position
        self.expects, self.told = "connected", None
        hub.register(self.peer.connection)
        await hub.join(self.peer.connection, self.since, asked=self.since is not None)

    def disconnect(self) -> None:
        """The connection is gone; what it had not read is lost."""
        if self.peer is not None and self.hub is not None:
            self.hub.leave(self.peer.connection)
        self.peer = self.hub = None

    def read(self, limit: int = 1 << 30) -> None:
        """Takes in up to `limit` messages."""
        if self.peer is None:
            return
        received, consumed = self.peer.socket.received, 0
        for opcode, payload, end in itertools.islice(whole_frames(received), limit):
            if opcode == 1:
                self.hear(json.loads(payload))
            consumed = end
        del received[:consumed]

    def hear(self, message: dict[str, Any]) -> None:
        what = message["type"]
        if self.expects != "anything":
            assert what == self.expects, f"{what} instead of {self.expects}"
            self.expects = "anything"
        position = Position.parse(message.get("position", ""))
        if what == "connected":
            self.hear_greeting(message["recovered"], position)
        elif what == "resync":
            self.counts["resync"] += 1
            self.told = position
            self.load()
        elif what == "heartbeat":
            self.counts["heartbeat"] += 1
            self.moves_to(position)
        elif what == "reaction_update":
            self.counts["level"] += 1
            post_id, version = message["post_id"], message["version"]
            assert message["reactions"]["fire"] == version * 10
            self.levels[post_id] = max(version, self.levels.get(post_id, 0))
        else:
            self.hear_fact(message, position)

    def hear_greeting(self, recovered: bool | None, position: Position) -> None:
        self.counts["connected"] += 1
        self.told = position
        if self.since is None:
            assert recovered is None
            self.load()
        elif recovered:
            self.counts["recovered"] += 1
            assert position == self.since
        else:
            self.expects = "resync"

    def hear_fact(self, message: dict[str, Any], position: Position) -> None:
        self.counts["fact"] += 1
        assert message["seq"] == position.seq > self.told.seq, "doubled or overtaken"
        self.moves_to(position, but=position.seq)
        if self.position.epoch == position.epoch and position.seq <= self.position.seq:
            return
        self.position = position
        if message["type"] == "new_post":
            self.posts.setdefault(message["post"]["id"], (set(), 0))
        elif message["type"] == "post_deleted":
            self.posts.pop(message["post_id"], None)
            self.levels.pop(message["post_id"], None)
        elif message["post_id"] in self.posts:
            comments, _ = self.posts[message["post_id"]]
            if message["type"] == "new_comment":
                comments.add(message["comment"]["id"])
            else:
                comments.discard(message["comment_id"])
            self.posts[message["post_id"]] = (comments, message["comment_count"])

    def moves_to(self, position: Position, *, but: int | None = None) -> None:
        """It is told to be at `position`: whatever lies between must have been deleted."""
        assert position.epoch == self.told.epoch
        between = set(range(self.told.seq + 1, position.seq + 1)) - {but}
        assert between <= self.truth.not_shown[self.room, position.epoch], "missed"
        assert position.seq >= self.told.seq
        self.told = position

    def check(self) -> None:
        wanted = {
            post_id: (comments, len(comments)) for post_id, comments in self.truth.posts[self.room].items()
        }
        assert self.posts == wanted
        mine = {post_id: version for post_id, version in self.levels.items() if post_id in wanted}
        assert mine == self.truth.true_levels(self.room)


def whole_frames(received: bytearray) -> Iterator[tuple[int, bytes, int]]:
    """The frames that have arrived whole, each with where it ends."""
    at = 0
    while at + 2 <= len(received):
        size, start = received[at + 1], at + 2
        if size == 126:
            size, start = int.from_bytes(received[at + 2 : at + 4]), at + 4
        if start + size > len(received):
            return
        [(opcode, payload)] = frames(bytes(received[at : start + size]))
        at = start + size
        yield opcode, payload, at


class Walk:
    def __init__(self, seed: int, loop: VirtualTime, *, is_lossless: bool) -> None:
        self.random = random.Random(seed)
        random.seed(seed)  # The jitter of the hubs.
        self.clock = LoopClock(loop)
        self.truth = Truth(self.random, self.clock)
        self.network = Network(self.random, is_lossless=is_lossless)
        self.hubs: list[Hub] = []
        self.clients = [Client(user_id, self.truth) for user_id in range(CLIENTS)]
        self.joining: set[asyncio.Task[None]] = set()

    async def run(self, steps: int) -> None:
        for _ in range(2):
            self.hubs.append(await self.new_hub())
        for _ in range(steps):
            await self.step()
        await self.settle()
        for client in self.clients:
            client.check()
        for client in self.clients:
            client.disconnect()
        await self.settle()
        for client in self.clients:
            client.check()
            client.disconnect()
        for hub in self.hubs:
            await hub.stop(0)

    async def new_hub(self) -> Hub:
        hub = Hub(End(self.network), self.truth, clock=self.clock, slice_size=1)
        await hub.start()
        return hub

    async def step(self) -> None:
        what = self.random.random()
        if what < 0.3:
            for _ in range(self.random.choice([1, 1, 2, 5])):
                self.change()
        elif what < 0.9:
            self.move(self.random.choice(self.clients))
        elif what < 0.95:
            self.beat(self.random.choice(self.clients))
        else:
            await self.disturb()
        self.bury()
        if self.random.random() < 0.7:
            pauses = [0, 0, 0.001, 0.02, 0.1, 0.4] + ([5.0, 30.0] if self.random.random() < 0.05 else [])
            await asyncio.sleep(self.random.choice(pauses))

    async def disturb(self) -> None:
        """What is rare in life, less rare."""
        what = self.random.random()
        if what < 0.1:
            self.truth.cut(self.random.choice(ROOMS))
        elif what < 0.15:
            self.truth.number_anew(self.random.choice(ROOMS))
        elif what < 0.25:
            self.random.choice(self.hubs).control(
                UserClosed(user_id=self.random.randrange(CLIENTS), code=4001)
            )
        elif what < 0.35:
            self.random.choice(self.hubs).control(AuthorChanged(user_id=self.random.randrange(3)))
        elif what < 0.37:
            place = self.random.randrange(2)
            await self.hubs[place].stop(0)
            self.hubs[place] = await self.new_hub()

    def beat(self, client: Client) -> None:
        """A heartbeat is due in the middle of whatever is going on."""
        if client.peer is not None and client.hub is not None:
            client.peer.connection.beat_at = client.peer.connection.due_at = 0
            client.hub._sweeper.tick()

    def change(self) -> None:
        """Something happens somewhere; an instance may die before it tells, or tell late."""
        hub = self.random.choice(self.hubs)
        event = self.truth.change(self.random.choice(ROOMS))
        fate = self.random.random()
        if fate < 0.9:
            hub.publish(event)
        elif fate < 0.97:
            asyncio.get_running_loop().call_later(self.random.random() / 10, hub.publish, event)

    def move(self, client: Client) -> None:
        """A client does something."""
        what = self.random.random()
        if client.peer is None:
            self.come(client, what)
        elif what < 0.6:
            client.read()
        elif what < 0.7:
            client.read(self.random.randrange(4))
            client.disconnect()
        elif what < 0.8:
            client.peer.socket.room = self.random.choice([0, 1, 100, 1000])
        elif not client.peer.stream.closed():
            client.peer.socket.room = None
            client.peer.stream.flush()

    def come(self, client: Client, what: float) -> None:
        if what < 0.1:
            client.load()
        elif what < 0.15 and client.position is not None:
            client.reload()
        elif what < 0.6:
            if what > 0.58:
                client.position = None
            task = asyncio.create_task(client.connect(self.random.choice(self.hubs), self.clock))
            self.joining.add(task)
            task.add_done_callback(self.joining.discard)

    def bury(self) -> None:
        """What the handlers do when sockets are closed."""
        for client in self.clients:
            if client.peer is not None and (client.peer.stream.closed() or client.peer.connection.closing):
                client.read(self.random.randrange(4))
                client.disconnect()

    async def settle(self) -> None:
        """The storm is over: everyone comes back, and time passes."""
        self.network.calm = self.truth.calm = True
        for _ in range(40):
            for client in self.clients:
                if client.peer is None:
                    await client.connect(self.random.choice(self.hubs), self.clock)
                elif not client.peer.stream.closed():
                    client.peer.socket.room = None
                    client.peer.stream.flush()
            self.bury()
            await asyncio.sleep(1)
        for client in self.clients:
            assert client.peer is not None
            client.read()


def walk(seed: int, steps: int, *, is_lossless: bool) -> dict[str, int]:
    """Takes so many random steps and checks everything; how often the clients were told what.

    Raises AssertionError for a promise that was not kept. Blocks; for a thread without a running loop.
    """
    with asyncio.Runner(loop_factory=VirtualTime) as runner:
        walked = Walk(seed, runner.get_loop(), is_lossless=is_lossless)
        runner.run(walked.run(steps))
    clients = walked.clients
    return {what: sum(client.counts[what] for client in clients) for what in clients[0].counts}
