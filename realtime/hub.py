"""The one door to live delivery on this instance: publish, control, register, join, leave, start, stop.
What an event means and who may join is decided by the callers; the parts behind the door have their own modules.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from config.clock import Clock, SystemClock
from config.metrics import Metrics
from realtime.broker import Broker, Envelope, FactEnvelope, LevelEnvelope
from realtime.close_codes import GOING_AWAY, SPREAD_SECONDS, TOO_MANY, TOO_SLOW, TRY_LATER, retry_after
from realtime.connection import Connection
from realtime.control_log import POLL_SECONDS, ControlLog
from realtime.events import (
    AuthorChanged,
    Control,
    Event,
    Fact,
    GroupClosed,
    Position,
    SessionClosed,
    UserClosed,
)
from realtime.fanout import SLICE_SENDS
from realtime.history import FactSource
from realtime.joining import Joining, Overtaken
from realtime.live_rooms import LiveRooms
from realtime.protocol import seal_fact, seal_level
from realtime.rooms import RoomRegistry
from realtime.sweeper import SWEEP_SECONDS, Sweeper

logger = logging.getLogger(__name__)

# A phone, a tablet, a browser, and two that were forgotten.
MAX_CONNECTIONS_OF_USER: Final = 5

# At 16 KiB each 160 MiB; one core delivers about twenty events a second to so many.
MAX_CONNECTIONS: Final = 10_000

# How often all rooms are compared with the database; the uneven beat keeps instances from asking in step.
COMPARE_SECONDS: Final = 5.0
COMPARE_UNHEALTHY_SECONDS: Final = 1.0

# When many rooms are heard again at once, or many instances say that they lost something, one comparison serves all.
GATHER_SECONDS: Final = 0.05

# How long a stopping instance waits for its clients to take the close frame; they answer within a round trip.
FLUSH_SECONDS: Final = 3.0

Heard = Event | FactEnvelope | LevelEnvelope | Control
Listener = Callable[[Heard], None]


class Hub:
    """Joins broker, log and connections. All methods belong on the event loop's thread."""

    def __init__(
        self,
        broker: Broker,
        source: FactSource,
        *,
        metrics: Metrics | None = None,
        clock: Clock | None = None,
        slice_size: int = SLICE_SENDS,
        addressed: Callable[[Event], Event] = lambda event: event,
    ) -> None:
        """`slice_size` is how many sends are done between two turns of the event loop; `addressed` makes of an event
        that is published the one that goes out.
        """
        self._broker = broker
        self._addressed = addressed
        self._clock = clock or SystemClock()
        self._metrics = metrics or Metrics()
        self._registry = RoomRegistry()
        self._rooms = LiveRooms(
            broker, source, clock=self._clock, metrics=self._metrics, slice_sends=slice_size
        )
        self._joining = Joining(source, clock=self._clock, metrics=self._metrics)
        self._sweeper = Sweeper(self._registry, self._rooms, clock=self._clock, leave=self.leave)
        self._controls = ControlLog(source, self._clock)
        self._compare_now = asyncio.Event()
        self._listeners: list[Listener] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self._everyone_left = asyncio.Event()

    @property
    def is_full(self) -> bool:
        """Whether a new connection would be turned away with 1013."""
        return len(self._registry) >= MAX_CONNECTIONS

    @property
    def is_degraded(self) -> bool:
        """Whether events reach other instances late now; nothing is lost by it."""
        return not self._broker.is_healthy

    @property
    def connection_count(self) -> int:
        return len(self._registry)

    async def start(self) -> None:
        """Begins to hear other instances and to look after connections and rooms."""
        await self._broker.start(self._hear, self._compare_now.set)
        # Whoever connects from now on is let in, or not, by what older controls left behind.
        await self._poll_controls(_do_nothing)
        self._tasks = [
            asyncio.create_task(work()) for work in (self._sweep, self._compare, self._follow_controls)
        ]

    async def stop(self, spread_seconds: float = SPREAD_SECONDS) -> None:
        """Closes all connections with 1001 and a spread-out `retry_after`, and lets go of everything.

        Takes at most `FLUSH_SECONDS` for clients that do not answer. Safe to call twice.
        """
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        for count, connection in enumerate(self._registry.everyone(), 1):
            connection.close(GOING_AWAY, retry_after(spread_seconds))
            if count % SLICE_SENDS == 0:
                await asyncio.sleep(0)
        if len(self._registry):
            with suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._everyone_left.wait()
        for connection in self._registry.everyone():
            connection.abort()
        self._rooms.close()
        await self._broker.stop()

    def listen(self, callback: Listener) -> None:
        """`callback` gets every control message, and what is told to rooms: events made on this instance, envelopes
        of those that came from another.
        """
        self._listeners.append(callback)

    def publish(self, event: Event) -> None:
        """Delivers a committed event to its room, here and on other instances. Never raises, never waits.

        A fact may be published twice, late, or not at all: the log fills what is missing.
        """
        try:
            sent = self._addressed(event)
            envelope = seal_fact(sent) if isinstance(sent, Fact) else seal_level(sent)
            self._rooms.take(envelope)
            self._broker.publish(envelope)
        except Exception:
            logger.exception("a live event was not delivered")
            if isinstance(event, Fact) and (room := self._rooms.get(event.community_id)):
                room.catch_up()
        self._metrics.events_published.inc()
        self._tell(event)

    def control(self, message: Control) -> None:
        """Does what `message` says, here before it returns, and on other instances soon. Never raises."""
        try:
            self._obey(message)
            self._broker.publish(message)
        except Exception:
            logger.exception("a control message was not carried out")

    def hears(self, community_id: int) -> bool:
        """Whether whatever happens in this room is told to listeners here, within milliseconds."""
        return self._broker.hears(community_id)

    def position(self, community_id: int) -> Position | None:
        """The latest fact of this room that came by here, None for a room that nobody here listens to."""
        room = self._rooms.get(community_id)
        return room.last if room is not None else None

    def register(self, connection: Connection) -> None:
        """Makes `connection` known, so that from now on control messages about its user and session close it.

        Call it before reading from the database what the user may hear; then look at `connection.closing`.
        Over a limit, somebody is closed: with 4009 the user's oldest, with 1013 this one.
        """
        connection.on_change = self._changed
        self._registry.add(connection)
        self._sweeper.watch(connection)
        self._metrics.connections.set(len(self._registry))
        if self._stopping:
            connection.close(GOING_AWAY, retry_after(0))
        elif len(self._registry) > MAX_CONNECTIONS:
            connection.close(TRY_LATER, "this instance is full")
        own = [each for each in self._registry.of_user(connection.user_id) if not each.closing]
        for oldest in own[:-MAX_CONNECTIONS_OF_USER]:
            oldest.close(TOO_MANY, f"more than {MAX_CONNECTIONS_OF_USER} connections")

    async def join(self, connection: Connection, since: Position | None, *, asked: bool) -> None:
        """Brings a registered connection, its `community_id` set, into its room: greeting, replay, live.

        `asked` says that the client came with a position; one that cannot be read is `since=None`. Raises
        nothing for what the client or the database do: afterwards the connection is live or closing.
        """
        if connection.closing or connection not in self._registry:
            return
        community_id = connection.community_id
        if community_id is None:
            raise ValueError("community_id must be set before joining")
        self._registry.join(connection, community_id)
        self._metrics.rooms.set(len(self._registry.rooms))
        try:
            room = await self._rooms.open(community_id)
            await self._joining.admit(room, connection, since, asked=asked)
        except Overtaken:
            connection.close(TOO_SLOW, "too much happened meanwhile")
        except Exception as error:  # noqa: BLE001 - whatever the log's errors are, another try may succeed
            logger.warning("room %d cannot be joined: %r", community_id, error)
            connection.close(TRY_LATER, "the feed cannot be read now")

    def leave(self, connection: Connection) -> None:
        """Forgets a connection whose socket is closed. Safe to call twice, and without having joined."""
        if not self._registry.remove(connection):
            return
        room = self._rooms.get(connection.community_id or 0)
        if room is not None:
            room.fanout.remove(connection)
        self._sweeper.forget(connection)
        connection.release()
        self._metrics.connections.set(len(self._registry))
        self._metrics.rooms.set(len(self._registry.rooms))
        if self._stopping and not len(self._registry):
            self._everyone_left.set()

    def _hear(self, envelope: Envelope) -> None:
        """What came from another instance."""
        if isinstance(envelope, FactEnvelope | LevelEnvelope):
            self._rooms.take(envelope)
            self._tell(envelope)
        else:
            self._obey(envelope)

    def _obey(self, message: Control) -> None:
        if self._controls.is_news(message):
            self._act(message)

    def _act(self, message: Control) -> None:
        self._tell(message)
        match message:
            case UserClosed(user_id=user_id, code=code):
                concerned = self._registry.of_user(user_id)
            case SessionClosed(session_id=session_id, code=code):
                concerned = self._registry.of_session(session_id)
            case GroupClosed(community_id=community_id, code=code):
                concerned = self._registry.of_room(community_id)
                self._send_back_undecided()
            case AuthorChanged(user_id=user_id):
                self._rooms.forget_author(user_id)
                return
        for connection in concerned:
            connection.close(code)

    def _send_back_undecided(self) -> None:
        """Whose room is being read from the database may just have been given the closed one: they ask anew."""
        for connection in self._registry.everyone():
            if connection.community_id is None:
                connection.close(GOING_AWAY, retry_after(0))

    def _tell(self, what: Heard) -> None:
        for listener in self._listeners:
            try:
                listener(what)
            except Exception:
                logger.exception("a listener of live events failed")

    def _changed(self, connection: Connection) -> None:
        """A connection's way out changed; see `Connection.on_change`."""
        room = self._rooms.get(connection.community_id or 0)
        if room is not None:
            room.fanout.reroute(connection)
        if connection.closing:
            if connection.close_code == TOO_SLOW:
                self._metrics.slow_consumers_dropped.inc()
        elif connection.backlogged:
            self._sweeper.watch_backlog(connection)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self._sweeper.tick()
            self._rooms.close_left(self._registry.rooms)

    async def _compare(self) -> None:
        while True:
            beat = COMPARE_SECONDS if self._broker.is_healthy else COMPARE_UNHEALTHY_SECONDS
            pause = beat * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, hides nothing
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._compare_now.wait()
                await asyncio.sleep(GATHER_SECONDS)
            self._compare_now.clear()
            try:
                await self._rooms.compare()
            except Exception as error:  # noqa: BLE001 - whatever the log's errors are, the next beat may succeed
                logger.warning("the rooms cannot be compared with the database: %r", error)

    async def _follow_controls(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load, hides nothing
            await self._poll_controls(self._act)

    async def _poll_controls(self, act: Callable[[Control], None]) -> None:
        try:
            await self._controls.poll(act)
        except Exception as error:  # noqa: BLE001 - whatever the log's errors are, the next beat may succeed
            logger.warning("the control log cannot be read: %r", error)


def _do_nothing(_message: Control) -> None:
    """For controls of the time before this instance."""
