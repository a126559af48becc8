"""How a connection comes into a room without missing or doubling anything: greeting, replay or resync, then live.
Order and memory are the room's; whether the user may be in it was decided before.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from config.clock import Clock
from config.metrics import Metrics
from realtime.connection import MAX_QUEUED_BYTES, Connection
from realtime.events import Position
from realtime.history import LEVEL_POSTS, FactSource, LatestLevels
from realtime.live_room import MAX_REPLAY_FACTS, READ_SECONDS, LiveRoom
from realtime.protocol import connected_frame, encode_event, resync_frame, seal_fact
from realtime.rooms import room_name

# What a returning client is given at most: as much as may wait for it, less the greeting, so that a replay by
# itself never cuts a client off.
MAX_REPLAY_BYTES: Final = MAX_QUEUED_BYTES - 4_096

# Levels are asked for from this long before the client's last fact: the two times may come from two machines.
# Too many levels do no harm, for their versions tell.
LEVEL_MARGIN: Final = timedelta(seconds=60)

# How often every connection hears a heartbeat; phones' networks forget silent connections after 30 s and more.
HEARTBEAT_SECONDS: Final = 25


class Overtaken(Exception):
    """While the log was read, more happened in the room than it remembers: the client has to come again."""


@dataclass(frozen=True, slots=True)
class _Past:
    """What the log gave for one position, shared by all who asked for it at once."""

    facts: tuple[tuple[int, bytes], ...]
    through: int
    levels: tuple[bytes, ...]
    memory: LatestLevels  # The room's memory of levels when the read began, and the place in it:
    mark: int  # what arrived after it may be newer than what was read.


class Joining:
    """Lets connections in."""

    def __init__(self, source: FactSource, *, clock: Clock, metrics: Metrics) -> None:
        self._source = source
        self._clock = clock
        self._metrics = metrics
        self._reads: dict[tuple[int, Position], asyncio.Task[_Past | None]] = {}

    async def admit(
        self, room: LiveRoom, connection: Connection, since: Position | None, *, asked: bool
    ) -> None:
        """Greets the connection, gives it what it missed, and makes it a member, unless it closed meanwhile.

        `asked` says that it came with a position, be it one that cannot be read (then `since` is None).
        Raises Overtaken, or what the log raised; then nothing was sent. Between the last read and membership
        nothing is awaited: that is what makes it whole.
        """
        past = None if since is None else await self._past(room, since)
        if connection.closing:
            return
        started = room.fanout.started
        recovered = past is not None if asked or since is not None else None
        # The replay may break off: then the client has to come back with what it had, not with where it would be.
        position = since if recovered and since is not None else started
        now = self._clock.now()
        frames = [
            connected_frame(
                room_name(room.community_id),
                position,
                recovered=recovered,
                heartbeat_seconds=HEARTBEAT_SECONDS,
                at=now,
            ),
            *(past or ()),
        ]
        if recovered is False:
            frames.append(resync_frame(started, at=now))
            self._metrics.replays["none"].inc()
            self._metrics.resyncs.inc()
        connection.send(b"".join(frames))
        connection.joined = True
        room.fanout.add(connection)

    async def _past(self, room: LiveRoom, since: Position) -> Sequence[bytes] | None:
        """The frames of the facts in (since, `room.fanout.started`] and of the levels; None if not to be had."""
        for _ in range(2):
            # Twice, for a read that was under way already may not have seen `since`; the next one has.
            if room.has_had(since):
                break
            await asyncio.wait((room.catch_up(),), timeout=READ_SECONDS)
        if not room.has_had(since):
            return None
        if since.seq > room.fanout.started.seq:
            room.fanout.flush()
        frames = self._from_memory(room, since)
        source = "ring"
        if frames is None:
            frames = await self._from_log(room, since)
            source = "log"
        if frames is not None and sum(map(len, frames)) <= MAX_REPLAY_BYTES:
            self._metrics.replays[source].inc()
            return frames
        return None

    def _from_memory(self, room: LiveRoom, since: Position) -> list[bytes] | None:
        at = room.ring.time_of(since.seq)
        facts = room.ring.after(since.seq, through=room.fanout.started.seq)
        if at is None or facts is None:
            return None
        levels = room.levels.since(at - LEVEL_MARGIN)
        if levels is None:
            return None
        return [fact.frame for fact in facts] + [level.frame for level in levels]

    async def _from_log(self, room: LiveRoom, since: Position) -> list[bytes] | None:
        past = await self._shared_read(room, since)
        if past is None:
            return None
        started = room.fanout.started.seq
        facts = [frame for seq, frame in past.facts if seq <= started]
        newer = room.ring.after(past.through, through=started) if past.through < started else []
        newer_levels = past.memory.arrived_after(past.mark)
        if newer is None or newer_levels is None or past.memory is not room.levels:
            raise Overtaken
        if len(facts) + len(newer) > MAX_REPLAY_FACTS:
            return None
        facts += [fact.frame for fact in newer]
        return [*facts, *past.levels, *(level.frame for level in newer_levels)]

    async def _shared_read(self, room: LiveRoom, since: Position) -> _Past | None:
        """One read for all who ask for the same at once; a storm of clients has mostly the same position."""
        key = (room.community_id, since)
        read = self._reads.get(key)
        if read is None:
            read = self._reads[key] = asyncio.create_task(self._read(room, since))
            read.add_done_callback(lambda done: self._end_read(key, done))
        return await asyncio.shield(read)

    def _end_read(self, key: tuple[int, Position], read: asyncio.Task[_Past | None]) -> None:
        del self._reads[key]
        if not read.cancelled():
            read.exception()  # Taken note of, should nobody wait for it any more.

    async def _read(self, room: LiveRoom, since: Position) -> _Past | None:
        memory, mark = room.levels, room.levels.mark
        author_changes = room.author_changes
        self._metrics.event_log_reads.inc()
        async with asyncio.timeout(READ_SECONDS):
            replay = await self._source.facts_after(room.community_id, since.seq, MAX_REPLAY_FACTS)
            if replay.through.epoch != since.epoch or not replay.complete or replay.since_at is None:
                return None
            levels = await self._source.levels_since(
                room.community_id, replay.since_at - LEVEL_MARGIN, LEVEL_POSTS
            )
        if levels is None:
            return None
        facts = [seal_fact(fact) for fact in replay.facts]
        found = [encode_event(level) for level in levels]
        newer = memory.arrived_after(mark)
        if memory is room.levels and newer is not None:
            # Who comes next with this position or a later one is served from memory.
            if author_changes == room.author_changes:
                room.ring.learn(since.seq, replay.since_at, facts, through=replay.through.seq)
            room.learn_levels(levels, since=replay.since_at - LEVEL_MARGIN)
            found += [level.frame for level in newer]
            mark = memory.mark
        return _Past(
            facts=tuple((fact.position.seq, fact.frame) for fact in facts),
            through=replay.through.seq,
            levels=tuple(found),
            memory=memory,
            mark=mark,
        )
