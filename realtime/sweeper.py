"""What time does to connections: heartbeats, pings, tokens that end, peers that are dead or too slow.
One look at all of them a second, no timer for any of them; what happens in rooms is elsewhere.
"""

import itertools
import logging
import random
from collections.abc import Callable
from typing import Final

from config.clock import Clock
from realtime.backlog import Backlog
from realtime.close_codes import BAD_TOKEN
from realtime.connection import Connection
from realtime.joining import HEARTBEAT_SECONDS
from realtime.live_rooms import LiveRooms
from realtime.protocol import heartbeat_frame
from realtime.rooms import RoomRegistry

logger = logging.getLogger(__name__)

# How often `tick` is to be called. A look at 10,000 connections of which 100 have a beat takes some milliseconds.
SWEEP_SECONDS: Final = 0.25

# How many connections one look attends to, so that thousands of tokens that end at once do not stall the loop;
# the others are next. Beats need 100 of 10,000.
MAX_ATTENDED: Final = 500


class Sweeper:
    """Looks after all connections of the registry. `tick` is to be called every `SWEEP_SECONDS`.

    Each connection has a beat every `HEARTBEAT_SECONDS`, at a place of its own within them: a heartbeat and a
    ping. A ping that is not answered by the next beat means a dead peer, so one is found within two beats.
    """

    def __init__(
        self,
        registry: RoomRegistry,
        rooms: LiveRooms,
        *,
        clock: Clock,
        leave: Callable[[Connection], None],
    ) -> None:
        """`leave` forgets a connection."""
        self._leave = leave
        self._registry = registry
        self._rooms = rooms
        self._clock = clock
        self._backlog = Backlog()

    def watch(self, connection: Connection) -> None:
        """From now on `connection` is looked at; its first beat comes at a random time within the first 25 s."""
        now = self._clock.monotonic()
        connection.on_queued = self._backlog.grow
        connection.beat_at = now + HEARTBEAT_SECONDS * random.random()  # noqa: S311 - spreads load, hides nothing
        self._set_due(connection, now)

    def watch_backlog(self, connection: Connection) -> None:
        """Bytes wait for `connection`: it is looked at more often until they are gone."""
        self._backlog.watch(connection)

    def forget(self, connection: Connection) -> None:
        self._backlog.forget(connection)

    def tick(self) -> None:
        """Does what is due. A connection that has nothing due costs 0.15 µs."""
        now = self._clock.monotonic()
        self._backlog.look(now)
        due = (connection for connection in self._registry.everyone() if connection.due_at <= now)
        for connection in itertools.islice(due, MAX_ATTENDED):
            try:
                self._attend(connection, now)
            except Exception:
                logger.exception("a connection could not be looked after and is cut")
                connection.abort()

    def _attend(self, connection: Connection, now: float) -> None:
        if connection.closing:
            self._await_end(connection, now)
            return
        if self._clock.now().timestamp() >= connection.expires_at:
            connection.close(BAD_TOKEN, "the token has expired")
            self._await_end(connection, now)
            return
        if connection.beat_at <= now:
            connection.beat_at = now + HEARTBEAT_SECONDS
            if connection.joined:
                self._beat(connection)
        self._set_due(connection, now)

    def _await_end(self, connection: Connection, now: float) -> None:
        """A closing connection leaves by itself, unless its handler failed before it could."""
        connection.due_at = now + HEARTBEAT_SECONDS
        if connection.is_gone:
            self._leave(connection)

    def _beat(self, connection: Connection) -> None:
        if not connection.heard:
            connection.abort()
            return
        room = self._rooms.get(connection.community_id or 0)
        if room is not None:
            connection.send(heartbeat_frame(room.fanout.told(connection), at=self._clock.now()))
        connection.heard = False
        connection.ping()

    def _set_due(self, connection: Connection, now: float) -> None:
        left_seconds = connection.expires_at - self._clock.now().timestamp()
        connection.due_at = min(connection.beat_at, now + max(0.0, left_seconds))
