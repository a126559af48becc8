"""The broker between instances over Redis: channels for rooms, one for all instances, and what is ours.
The connections are in redis_node; what was lost is found again by the hub.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from config.metrics import Metrics
from realtime.broker import Deliver, Envelope, FactEnvelope, LevelEnvelope
from realtime.redis_node import RedisNode
from realtime.wire import pack, unpack

logger = logging.getLogger(__name__)

# All names begin with this, so that one Redis can serve others, too.
PREFIX: Final = "cohort:1:"
CONTROLS: Final = PREFIX + "controls"
ROOM: Final = PREFIX + "room:"

# How long a first member waits for their room to be heard; then they are let in, and what is missed is compared.
SUBSCRIBE_SECONDS: Final = 0.25

# Says that messages of its sender were lost; a frame, which is JSON, never ends like this.
ALARM: Final = b"lost\n"

# Who sent a message, in front of it, so that nobody takes their own for another's.
SENDER_BYTES: Final = 8


class RedisBroker:
    """Carries envelopes by pub/sub, which is fast and forgets; see `Broker` for what that means."""

    def __init__(self, url: str, *, metrics: Metrics) -> None:
        self._sender = secrets.token_hex(SENDER_BYTES // 2).encode()
        self._deliver: Deliver = _drop
        self._missed: Callable[[], None] = _do_nothing
        self._node = RedisNode(
            url,
            echo=f"{PREFIX}instance:{self._sender.decode()}",
            alarm=(CONTROLS, self._sender + ALARM),
            deliver=self._receive,
            missed=self._may_have_missed,
            metrics=metrics,
        )

    @property
    def is_healthy(self) -> bool:
        return self._node.is_healthy

    def hears(self, community_id: int) -> bool:
        return self._node.is_heard(_room_channel(community_id))

    async def start(self, deliver: Deliver, missed: Callable[[], None]) -> None:
        self._deliver, self._missed = deliver, missed
        self._node.want(CONTROLS)
        self._node.start()

    async def stop(self) -> None:
        await self._node.stop()
        self._deliver, self._missed = _drop, _do_nothing

    def publish(self, envelope: Envelope) -> None:
        if isinstance(envelope, FactEnvelope | LevelEnvelope):
            channel = _room_channel(envelope.community_id)
        else:
            channel = CONTROLS
        self._node.publish(channel, self._sender + pack(envelope))

    async def subscribe(self, community_id: int) -> None:
        channel = _room_channel(community_id)
        self._node.want(channel)
        if self._node.is_healthy:
            with suppress(TimeoutError):
                async with asyncio.timeout(SUBSCRIBE_SECONDS):
                    await self._node.heard(channel)

    def unsubscribe(self, community_id: int) -> None:
        self._node.forget(_room_channel(community_id))

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


def _room_channel(community_id: int) -> str:
    return f"{ROOM}{community_id}"


def _drop(_envelope: Envelope) -> None:
    """Before the start and after the end nobody listens."""


def _do_nothing() -> None:
    """As long as nobody wants to know."""
