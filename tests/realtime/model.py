"""A seeded random walk through everything at once, in virtual time: two instances, a bad broker, a slow log that
fails and is cut, clients that come, stall, break off and return. What each was told must add up to the log.

How long and how often it is walked is decided by the test beside it and by the scenario `feed-model`.
"""

import asyncio
import random
from collections.abc import Callable

from realtime.broker import Deliver, Envelope
from realtime.events import AuthorChanged, UserClosed
from realtime.hub import Hub
from tests.realtime.model_client import Client
from tests.realtime.model_log import ROOMS, Truth
from tests.realtime.virtual_time import LoopClock, VirtualTime

CLIENTS = 10


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
