"""The broker between instances over Redis: channels for rooms, one for all instances, and what is ours.
The connections are in redis_node, a cluster's shape in redis_shards; what was lost is found again by the hub.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from redis.exceptions import RedisError

from config.metrics import Metrics
from realtime.broker import Deliver, Envelope, FactEnvelope, LevelEnvelope
from realtime.redis_node import RedisNode
from realtime.redis_shards import Shard, find_shards, own_channel
from realtime.wire import pack, unpack

logger = logging.getLogger(__name__)

# All names begin with this, so that one Redis can serve others, too.
PREFIX: Final = "cohort:1:"
CONTROLS: Final = PREFIX + "controls"
ROOM: Final = PREFIX + "room:"

# How long a first member waits for their room to be heard; then they are let in, and what is missed is compared.
SUBSCRIBE_SECONDS: Final = 0.25

# How often a cluster is asked whether slots moved; until they are followed, the hub's comparing mends what is lost.
LOOK_SECONDS: Final = 5.0

# Says that messages of its sender were lost; a frame, which is JSON, never ends like this.
ALARM: Final = b"lost\n"

# Who sent a message, in front of it, so that nobody takes their own for another's.
SENDER_BYTES: Final = 8


class RedisBroker:
    """Carries envelopes by pub/sub, which is fast and forgets; see `Broker` for what that means.

    One server serves all channels. Where it turns out to belong to a cluster, each shard serves those of its slots,
    so that a message goes to one server and not to all.
    """

    def __init__(self, url: str, *, metrics: Metrics) -> None:
        self._url = url
        self._metrics = metrics
        self._sender = secrets.token_hex(SENDER_BYTES // 2).encode()
        self._deliver: Deliver = _drop
        self._missed: Callable[[], None] = _do_nothing
        self._channels = {CONTROLS}
        self._shards: list[Shard] = []
        self._nodes = [self._node(url, f"{PREFIX}instance:{self._sender.decode()}", sharded=False)]
        self._leaving: list[RedisNode] = []
        self._looking: asyncio.Task[None] | None = None

    @property
    def is_healthy(self) -> bool:
        return all(node.is_healthy for node in self._nodes)

    def hears(self, community_id: int) -> bool:
        channel = _room_channel(community_id)
        return self._node_of(channel).is_heard(channel)

    async def start(self, deliver: Deliver, missed: Callable[[], None]) -> None:
        self._deliver, self._missed = deliver, missed
        self._start_nodes()
        self._looking = asyncio.create_task(self._look())

    async def stop(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await asyncio.gather(*(node.stop() for node in [*self._nodes, *self._leaving]))
        self._deliver, self._missed = _drop, _do_nothing

    def publish(self, envelope: Envelope) -> None:
        if isinstance(envelope, FactEnvelope | LevelEnvelope):
            channel = _room_channel(envelope.community_id)
        else:
            channel = CONTROLS
        self._node_of(channel).publish(channel, self._sender + pack(envelope))

    async def subscribe(self, community_id: int) -> None:
        channel = _room_channel(community_id)
        self._channels.add(channel)
        node = self._node_of(channel)
        node.want(channel)
        if node.is_healthy:
            with suppress(TimeoutError):
                async with asyncio.timeout(SUBSCRIBE_SECONDS):
                    await node.heard(channel)

    def unsubscribe(self, community_id: int) -> None:
        channel = _room_channel(community_id)
        self._channels.discard(channel)
        self._node_of(channel).forget(channel)

    def _node(self, url: str, echo: str, *, sharded: bool) -> RedisNode:
        return RedisNode(
            url,
            echo=echo,
            deliver=self._receive,
            missed=self._may_have_missed,
            lost=self._alarm,
            metrics=self._metrics,
            sharded=sharded,
        )

    def _node_of(self, channel: str) -> RedisNode:
        for shard, node in zip(self._shards, self._nodes, strict=False):
            if shard.owns(channel):
                return node
        # One for all; or slots that nobody has just now, where it does not matter who fails.
        return self._nodes[0]

    def _start_nodes(self) -> None:
        for channel in self._channels:
            self._node_of(channel).want(channel)
        for node in self._nodes:
            node.start()

    async def _look(self) -> None:
        """Follows the shape of a cluster for as long as the server belongs to one."""
        while True:
            for url in [self._url, *(shard.url for shard in self._shards)]:
                try:
                    shards = await find_shards(url)
                except (RedisError, OSError) as error:
                    logger.debug("a redis server cannot be asked for its cluster: %r", error)
                    continue
                if not shards and not self._shards:
                    return
                if shards and shards != self._shards:
                    await self._follow(shards)
                break
            await asyncio.sleep(LOOK_SECONDS)

    async def _follow(self, shards: list[Shard]) -> None:
        logger.info("redis is a cluster of %d shards", len(shards))
        self._leaving = self._nodes
        name = f"{PREFIX}instance:{self._sender.decode()}"
        self._shards = shards
        self._nodes = [self._node(shard.url, own_channel(shard, name), sharded=True) for shard in shards]
        self._start_nodes()
        await asyncio.gather(*(node.stop() for node in self._leaving))
        self._leaving = []

    def _receive(self, _channel: bytes, message: bytes) -> None:
        if message.startswith(self._sender):
            return
        if message.endswith(ALARM):
            self._missed()
            return
        try:
            envelope = unpack(message[SENDER_BYTES:])
            if envelope is not None:
                self._deliver(envelope)
        except Exception:
            logger.exception("a message of another instance could not be taken")

    def _may_have_missed(self) -> None:
        self._missed()

    def _alarm(self) -> None:
        """The others may have missed what was to be said here."""
        self._node_of(CONTROLS).publish(CONTROLS, self._sender + ALARM)


def _room_channel(community_id: int) -> str:
    return f"{ROOM}{community_id}"


def _drop(_envelope: Envelope) -> None:
    """Before the start and after the end nobody listens."""


def _do_nothing() -> None:
    """As long as nobody wants to know."""
