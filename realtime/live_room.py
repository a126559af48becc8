"""One room with members here: its facts put in order, its gaps filled from the log, its latest events remembered.
Who its members are and what a joining one is given is decided by the hub and joining.
"""

import asyncio
import logging
import random
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from config.clock import Clock
from config.metrics import Metrics
from realtime.broker import FactEnvelope, LevelEnvelope
from realtime.events import Position, PostDeleted, ReactionsChanged
from realtime.fanout import SLICE_SENDS, FanOut
from realtime.folding import Folding
from realtime.history import FactSource, LatestLevels, Replay, Ring
from realtime.protocol import resync_frame, seal_fact, seal_level

logger = logging.getLogger(__name__)

# What is filled in or replayed at most, for a gap here and for a returning client: beyond it, reloading is cheaper.
MAX_REPLAY_FACTS: Final = 500

# Facts that may wait for a missing one; what is beyond comes from the log, like the missing one.
MAX_WAITING_FACTS: Final = 1_000

# A read of the log takes milliseconds; after this it is taken for lost. The store's own limit is 5 s.
READ_SECONDS: Final = 10.0

# Pauses after reads that failed: doubled each time, as long as an unhealthy database needs to elect a primary.
FIRST_PAUSE_SECONDS: Final = 0.1
LAST_PAUSE_SECONDS: Final = 5.0


class LiveRoom:
    """The order of one room on this instance.

    The fact after `last` is delivered, an older one dropped; a gap is filled by one reader. Facts never
    overtake each other: whatever comes out of the log or the broker passes `_deliver` in order.
    """

    def __init__(
        self,
        community_id: int,
        head: Position,
        *,
        source: FactSource,
        clock: Clock,
        metrics: Metrics,
        turns: asyncio.Semaphore,
        slice_sends: int = SLICE_SENDS,
    ) -> None:
        """`turns` is shared by all rooms: who reads the log takes one."""
        self.community_id = community_id
        self.last = head
        self.ring = Ring(head.seq)
        self.levels = LatestLevels(clock.now())
        self.fanout = FanOut(head, slice_sends=slice_sends, on_sent=metrics.events_delivered.inc)
        self.empty_since: float | None = None  # Monotonic seconds, kept by the hub.
        self._folding = Folding(self._send_level)
        self._source = source
        self._turns = turns
        self._clock = clock
        self._metrics = metrics
        self._waiting: dict[Position, FactEnvelope] = {}
        self._reader: asyncio.Task[None] | None = None
        self.author_changes = (
            0  # Grows with each; what was read from the log before one is outdated after it.
        )

    def take(self, fact: FactEnvelope) -> None:
        """A fact came in, by whatever way and in whatever order."""
        position, last = fact.position, self.last
        if position.epoch == last.epoch and position.seq <= last.seq:
            return
        if position.epoch == last.epoch and position.seq == last.seq + 1:
            self._deliver(fact)
            self._deliver_waiting()
            return
        if len(self._waiting) < MAX_WAITING_FACTS:
            self._waiting[position] = fact
        self.catch_up()

    def take_level(self, level: LevelEnvelope) -> None:
        """A level came in; only a newer one is passed on."""
        if self.levels.take(level):
            self._folding.take(level)

    def mend_level(self, level: ReactionsChanged) -> None:
        """A level as it is in the database; one that was heard is only looked at."""
        if not self.levels.has(level.post_id, level.version):
            self.take_level(seal_level(level))

    def learn_levels(self, levels: Sequence[ReactionsChanged], *, since: datetime) -> None:
        """All levels of the room that changed at or after `since`, as they are in the database."""
        for level in levels:
            self.mend_level(level)
        self.levels.reach_back(since)

    def has_had(self, position: Position) -> bool:
        """Whether `position` is one of this room's numbering, and not ahead of this instance."""
        return position.epoch == self.last.epoch and position.seq <= self.last.seq

    def catch_up(self) -> asyncio.Task[None]:
        """The one reader that fills the room from the log, started if it is not at work."""
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read_log())
        return self._reader

    def forget_author(self, user_id: int) -> None:
        """What shows this user is outdated: replays of it come from the database from now on."""
        self.ring.forget_author(user_id)
        self.author_changes += 1

    def close(self) -> None:
        """Ends the reader and the timer. The room is not used again."""
        self._folding.clear()
        if self._reader is not None:
            self._reader.cancel()

    async def _read_log(self) -> None:
        """Reads until nothing waits for a missing fact; after a failure, or without progress, after a pause."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            asked = self.last
            try:
                await self._read_once(asked)
            except Exception as error:  # noqa: BLE001 - whatever the log's errors are, the next read may succeed
                logger.warning("room %d cannot read its log: %r", self.community_id, error)
            else:
                if not self._waiting:
                    return
            if self.last == asked:
                await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - spreads load, hides nothing
                pause = min(2 * pause, LAST_PAUSE_SECONDS)

    async def _read_once(self, asked: Position) -> None:
        author_changes = self.author_changes
        async with self._turns, asyncio.timeout(READ_SECONDS):
            self._metrics.event_log_reads.inc()
            replay = await self._source.facts_after(self.community_id, asked.seq, MAX_REPLAY_FACTS)
        through = replay.through
        if through.epoch != asked.epoch or through.seq < asked.seq:
            logger.warning("room %d is numbered anew: %s after %s", self.community_id, through, asked)
            self._restart(through)
        elif replay.complete:
            self._fill(replay, asked)
        elif through.seq > self.last.seq:
            self._restart(through)
        if author_changes != self.author_changes:
            self.ring.clear(self.last.seq)
        self._waiting = {at: fact for at, fact in self._waiting.items() if not self._is_past(at)}
        self._deliver_waiting()

    def _fill(self, replay: Replay, asked: Position) -> None:
        for fact in replay.facts:
            if fact.position.seq > self.last.seq:
                self._deliver(seal_fact(fact))
        if replay.through.seq > self.last.seq:  # The last ones are gone from the log.
            self.last = replay.through
            self.ring.skip_to(replay.through.seq)
            self.fanout.publish(b"", replay.through)
        if replay.since_at is not None:
            self.ring.learn(asked.seq, replay.since_at, (), through=asked.seq)

    def _is_past(self, position: Position) -> bool:
        return position.epoch != self.last.epoch or position.seq <= self.last.seq

    def _deliver_waiting(self) -> None:
        while self._waiting:
            fact = self._waiting.pop(Position(self.last.epoch, self.last.seq + 1), None)
            if fact is None:
                return
            self._deliver(fact)

    def _deliver(self, fact: FactEnvelope) -> None:
        """The only way of a fact to the members. Numbers left out before it are gone."""
        self.last = fact.position
        self.ring.append(fact)
        if fact.wire_name == PostDeleted.wire_name:
            self.levels.forget_post(fact.post_id)
            self._folding.forget_post(fact.post_id)
        self.fanout.publish(fact.frame, fact.position)
        if self.fanout.is_behind:
            logger.warning("room %d cannot keep up; its members are told to reload", self.community_id)
            self._restart(self.last)

    def _restart(self, position: Position) -> None:
        """What lies before `position` cannot be given to the members: they are told to reload."""
        self.last = position
        self.ring.clear(position.seq)
        self.levels = LatestLevels(self._clock.now())
        self._folding.clear()
        self.fanout.drop_waiting()
        self.fanout.publish(resync_frame(position, at=self._clock.now()), position)
        self.fanout.flush()
        self._metrics.resyncs.inc(len(self.fanout))

    def _send_level(self, level: LevelEnvelope) -> None:
        self.fanout.publish(level.frame)
