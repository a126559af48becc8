"""The product's own delivery without the rest of it: the hub and its connections on Tornado, the log in memory.
What is measured is the way from a published fact to the sockets, with `--redis` those of other instances, too; tokens,
rules and the database are not here.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from tornado.httpserver import HTTPServer
from tornado.web import Application
from tornado.websocket import WebSocketHandler

from config.metrics import Metrics
from realtime.broker import FactEnvelope, LocalBroker
from realtime.connection import Connection
from realtime.events import Control, Fact, Position, PostCreated, ReactionsChanged
from realtime.history import Replay
from realtime.hub import Hub
from realtime.redis_broker import RedisBroker
from tests.benchmarks.peers import common

COMMUNITY_ID = 1
EPOCH = "k3x9"


class EmptyLog:
    """A log that knows how far the room is and has kept nothing of it."""

    def __init__(self) -> None:
        self.seq = 0

    def hear(self, message: object) -> None:
        """Learns of another instance's facts how far the room is."""
        if isinstance(message, FactEnvelope):
            self.seq = message.position.seq

    async def head(self, community_id: int) -> Position:
        return Position(EPOCH, self.seq)

    async def heads(self, community_ids: Sequence[int]) -> dict[int, Position]:
        return dict.fromkeys(community_ids, Position(EPOCH, self.seq))

    async def facts_after(self, community_id: int, seq: int, limit: int) -> Replay:
        return Replay(facts=(), through=Position(EPOCH, self.seq), since_at=None, complete=False)

    async def levels_since(
        self, community_id: int, at: datetime, limit: int
    ) -> tuple[ReactionsChanged, ...] | None:
        return ()

    async def levels_of(
        self, community_ids: Sequence[int], at: datetime, limit: int
    ) -> tuple[ReactionsChanged, ...]:
        return ()

    async def controls_since(self, at: datetime) -> tuple[Control, ...]:
        return ()


class Socket(WebSocketHandler):
    def initialize(self, hub: Hub) -> None:
        self.hub = hub

    async def open(self) -> None:
        self.connection = Connection(
            self.ws_connection.stream,
            user_id=id(self),
            session_id=str(id(self)),
            expires_at=time.time() + 3_600,
            close=self.close,
            ping=self.ping,
            community_id=COMMUNITY_ID,
        )
        self.hub.register(self.connection)
        await self.hub.join(self.connection, None, asked=False)

    def on_pong(self, data: bytes) -> None:
        self.connection.on_pong()

    def on_close(self) -> None:
        self.hub.leave(self.connection)


def fact(seq: int) -> Fact:
    said = common.event(seq)
    return PostCreated(
        community_id=COMMUNITY_ID,
        position=Position(EPOCH, seq),
        at=datetime.now(UTC),
        post_id=seq,
        author_id=17,
        post={**said["post"], "sent_ns": said["sent_ns"]},
    )


async def main() -> None:
    options = common.arguments()
    listener = common.listening_socket(options.port)
    log = EmptyLog()
    hub = Hub(RedisBroker(options.redis, metrics=Metrics()) if options.redis else LocalBroker(), log)
    hub.listen(log.hear)
    await hub.start()

    def publish(seq: int) -> None:
        log.seq = seq
        hub.publish(fact(seq))

    HTTPServer(Application([(r"/ws", Socket, {"hub": hub})])).add_socket(listener)
    common.publish_on_request(asyncio.get_running_loop(), publish)
    common.announce(listener)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
