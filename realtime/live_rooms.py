"""The live rooms of this instance: opened by their first member, compared with the database, closed when left.
What happens inside a room is live_room's, and who is in it the registry's.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Final

from config.clock import Clock
from config.metrics import Metrics
from realtime.broker import Broker, FactEnvelope, LevelEnvelope
from realtime.events import Position
from realtime.fanout import SLICE_SENDS
from realtime.history import FactSource
from realtime.live_room import READ_SECONDS, LiveRoom

# How long a room outlives its last member, so that a storm of returning clients finds its memory. Clients come
# back within 10 s of a goodbye, phones within a minute of a lost network.
LINGER_SECONDS: Final = 60.0

# A level carries its writer's time. Its transaction commits up to 5 s later (the database ends older ones), and
# clocks of servers that keep time differ by less than the rest.
LEVEL_OVERLAP: Final = timedelta(seconds=15)

# Rooms that read their log at once. While Redis is away, all that are busy do every second; a request must not find
# the database's queue full of them.
READS_AT_ONCE: Final = 4

# Levels read at once when rooms are compared: about 1 MiB. In a busy room some hundred a minute change.
COMPARED_LEVELS: Final = 1_000

# Rooms whose heads are read at once. Reading and comparing a thousand held the loop for about 13 ms, ten thousand for
# 150; between two such reads others have their turn.
COMPARED_ROOMS: Final = 500


class RoomsClosed(Exception):
    """The instance stopped while the room was being opened."""


class LiveRooms:
    """Every room that has, had or is about to get members here."""

    def __init__(
        self,
        broker: Broker,
        source: FactSource,
        *,
        clock: Clock,
        metrics: Metrics,
        slice_sends: int = SLICE_SENDS,
    ) -> None:
        self._broker = broker
        self._source = source
        self._clock = clock
        self._metrics = metrics
        self._slice_sends = slice_sends
        self._turns = asyncio.Semaphore(READS_AT_ONCE)
        self._rooms: dict[int, LiveRoom] = {}
        self._opening: dict[int, asyncio.Task[LiveRoom]] = {}
        self._missed: set[int] = set()  # Rooms that a fact passed by while they were being opened.
        self._levels_compared_at = clock.now()  # Levels up to a margin before this have been compared.

    def __len__(self) -> int:
        return len(self._rooms)

    def get(self, community_id: int) -> LiveRoom | None:
        """The room, if it is live."""
        return self._rooms.get(community_id)

    async def open(self, community_id: int) -> LiveRoom:
        """The room, live from now on. Who ask at once share one read.

        Raises what the log raised, or `RoomsClosed`.
        """
        room = self._rooms.get(community_id)
        if room is not None:
            return room
        opening = self._opening.get(community_id)
        if opening is None:
            opening = self._opening[community_id] = asyncio.create_task(self._open(community_id))
            opening.add_done_callback(_look_at)
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            if opening.cancelled():  # Not the caller was cancelled but what it waits for.
                raise RoomsClosed from None
            raise

    def take(self, envelope: FactEnvelope | LevelEnvelope) -> None:
        """Hands a fact or level to its room; without members here, it is nobody's."""
        room = self._rooms.get(envelope.community_id)
        if room is None:
            if envelope.community_id in self._opening:
                self._missed.add(envelope.community_id)
        elif isinstance(envelope, FactEnvelope):
            room.take(envelope)
        else:
            room.take_level(envelope)

    def forget_author(self, user_id: int) -> None:
        for room in self._rooms.values():
            room.forget_author(user_id)

    async def compare(self) -> None:
        """Compares all rooms with the database: where they are, 500 a query, and which levels changed lately.

        Rooms that differ read their log; levels that were not heard are passed on. Raises what the log raised;
        the next time then reaches back as far.
        """
        before = {community_id: room.last for community_id, room in self._rooms.items()}
        started = self._clock.now()
        if before:
            async with asyncio.timeout(READ_SECONDS):
                rooms = list(before)
                for first in range(0, len(rooms), COMPARED_ROOMS):
                    heads = await self._source.heads(rooms[first : first + COMPARED_ROOMS])
                    self._compare_heads(before, heads)
                await self._compare_levels(rooms)
        self._levels_compared_at = started

    def _compare_heads(self, before: Mapping[int, Position], heads: Mapping[int, Position]) -> None:
        """A room may have moved on during the query: only what lies behind the room as it was before, or ahead of it
        as it is now, counts as a difference.
        """
        for community_id, head in heads.items():
            room = self._rooms.get(community_id)
            known = before.get(community_id)
            if room is None or known is None:
                continue
            if not room.has_had(head) or head.seq < known.seq:
                room.catch_up()

    async def _compare_levels(self, community_ids: Sequence[int]) -> None:
        since = self._levels_compared_at - LEVEL_OVERLAP
        while True:
            levels = await self._source.levels_of(community_ids, since, COMPARED_LEVELS)
            for level in levels:
                room = self._rooms.get(level.community_id)
                if room is not None:
                    room.mend_level(level)
            if len(levels) < COMPARED_LEVELS or levels[-1].at == since:
                return
            since = levels[-1].at

    def close_left(self, occupied: Collection[int]) -> None:
        """Closes the rooms that were not among the `occupied` for long enough; call it every second or so."""
        now = self._clock.monotonic()
        for room in list(self._rooms.values()):
            if room.community_id in occupied:
                room.empty_since = None
            elif room.empty_since is None:
                room.empty_since = now
            elif now - room.empty_since >= LINGER_SECONDS:
                self._close(room)

    def close(self) -> None:
        """Closes all rooms and gives up on those that are being opened."""
        for opening in self._opening.values():
            opening.cancel()
        for room in list(self._rooms.values()):
            self._close(room)

    def _close(self, room: LiveRoom) -> None:
        room.close()
        del self._rooms[room.community_id]
        self._broker.unsubscribe(room.community_id)

    async def _open(self, community_id: int) -> LiveRoom:
        try:
            await self._broker.subscribe(community_id)
            async with asyncio.timeout(READ_SECONDS):
                head = await self._source.head(community_id)
        except BaseException:
            self._broker.unsubscribe(community_id)
            self._missed.discard(community_id)
            raise
        finally:
            del self._opening[community_id]
        room = LiveRoom(
            community_id,
            head,
            source=self._source,
            clock=self._clock,
            metrics=self._metrics,
            turns=self._turns,
            slice_sends=self._slice_sends,
        )
        self._rooms[community_id] = room
        if community_id in self._missed:
            self._missed.discard(community_id)
            room.catch_up()
        return room


def _look_at(opening: asyncio.Task[LiveRoom]) -> None:
    """Takes note of a failure that nobody waits for any more, which asyncio would complain about."""
    if not opening.cancelled():
        opening.exception()
