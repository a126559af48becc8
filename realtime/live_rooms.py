"""The live rooms of this instance: opened by their first member, compared with the database, closed when left.
What happens inside a room is live_room's, and who is in it the registry's.
"""

import asyncio
from collections.abc import Collection
from typing import Final

from config.clock import Clock
from config.metrics import Metrics
from realtime.broker import Broker, FactEnvelope, LevelEnvelope
from realtime.fanout import SLICE_SENDS
from realtime.history import FactSource
from realtime.live_room import READ_SECONDS, LiveRoom

# How long a room outlives its last member, so that a storm of returning clients finds its memory. Clients come
# back within 10 s of a goodbye, phones within a minute of a lost network.
LINGER_SECONDS: Final = 60.0


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
        self._rooms: dict[int, LiveRoom] = {}
        self._opening: dict[int, asyncio.Task[LiveRoom]] = {}
        self._missed: set[int] = set()  # Rooms that a fact passed by while they were being opened.

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
        """Asks the database by one query where all rooms are, and has those that differ read their log.

        Raises what the log raised. A room may move on during the query, so only what lies behind the room
        as it was before, or ahead of it as it is now, counts as a difference.
        """
        before = {community_id: room.last for community_id, room in self._rooms.items()}
        if not before:
            return
        async with asyncio.timeout(READ_SECONDS):
            heads = await self._source.heads(list(before))
        for community_id, head in heads.items():
            room = self._rooms.get(community_id)
            known = before.get(community_id)
            if room is None or known is None:
                continue
            if not room.has_had(head) or head.seq < known.seq:
                room.catch_up()

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
        self._broker.subscribe(community_id)
        try:
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
