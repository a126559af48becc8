"""What a returning client can be given: the contract of the log, and the memory of a room's latest events.
Deciding what a joining client gets is in joining; reading the database is behind `FactSource`.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from realtime.broker import FactEnvelope, LevelEnvelope
from realtime.events import (
    CommentAdded,
    CommentDeleted,
    Control,
    Fact,
    Position,
    PostCreated,
    PostDeleted,
    ReactionsChanged,
)

# Facts kept in memory for each live room. At 300 facts a second, the most one room is built for, nearly a second;
# in an ordinary room, hours. About 1 KiB each.
RING_FACTS = 256

# Posts whose latest level is kept for each live room: more than a group reacts to within a reconnect storm.
LEVEL_POSTS = 512

# Times in the database have this step.
MILLISECOND = timedelta(milliseconds=1)

# The facts that show something, which a deletion takes back.
SHOWING = frozenset({PostCreated.wire_name, CommentAdded.wire_name})


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """The log's answer: the facts after a position, in order, up to and including `through`.

    Facts whose post or comment has been deleted since are left out, so there may be holes inside.
    `since_at` is the time of the fact asked from (the room's creation for 0), None when unknown.
    `complete` is False when the log no longer reaches back that far, or more than the limit lie between.
    """

    facts: tuple[Fact, ...]
    through: Position
    since_at: datetime | None
    complete: bool


class FactSource(Protocol):
    """The log as the hub reads it. Any exception means "not now": the hub tries again or turns clients away.

    A read that begins after a fact was published sees that fact.
    """

    async def head(self, community_id: int) -> Position:
        """The position of the room's latest fact; `seq` 0 for a room without one."""
        ...

    async def heads(self, community_ids: Sequence[int]) -> dict[int, Position]:
        """The heads of many rooms by one query. Rooms that no longer exist may be missing."""
        ...

    async def facts_after(self, community_id: int, seq: int, limit: int) -> Replay:
        """The facts after `seq`, at most `limit` of them."""
        ...

    async def levels_since(
        self, community_id: int, at: datetime, limit: int
    ) -> tuple[ReactionsChanged, ...] | None:
        """The latest level of each post whose reactions changed at or after `at`; None if more than `limit`."""
        ...

    async def levels_of(
        self, community_ids: Sequence[int], at: datetime, limit: int
    ) -> Sequence[ReactionsChanged]:
        """The first `limit` levels of many rooms that changed at or after `at`, oldest first, by one query."""
        ...

    async def controls_since(self, at: datetime) -> Sequence[Control]:
        """The control messages that were written at or after `at`, each with its id, by one query."""
        ...


class Ring:
    """The latest facts of one room, dense: after `base` it knows of every number, be it only that it is gone.

    A deleted fact keeps its place and loses its frame, so that a replay neither shows it nor looks cut.
    """

    def __init__(self, base: int) -> None:
        self._entries: deque[FactEnvelope | None] = deque()
        self._base = base
        self._base_at: datetime | None = None
        self._latest_of: dict[int, int] = {}  # By author: the latest fact that shows them.

    @property
    def last(self) -> int:
        """The number of the latest fact it knows of."""
        return self._base + len(self._entries)

    def append(self, fact: FactEnvelope) -> None:
        """Takes the next fact; numbers left out before it count as gone. Drops what the fact deletes."""
        self.skip_to(fact.position.seq - 1)
        self._push(fact)
        if fact.author_id is not None:
            self._latest_of[fact.author_id] = fact.position.seq
        self._drop_deleted_by(fact)

    def skip_to(self, seq: int) -> None:
        """The facts up to `seq` that it has not had are gone: they were deleted before they were read."""
        missing = seq - self.last
        if missing > RING_FACTS:
            self.clear(seq)
        else:
            for _ in range(missing):
                self._push(None)

    def clear(self, base: int) -> None:
        """Forgets everything; the next fact is `base` + 1."""
        self._entries.clear()
        self._latest_of.clear()
        self._base = base
        self._base_at = None

    def forget_author(self, user_id: int) -> None:
        """Forgets up to the latest fact that shows this user, so that replays of it come from the database."""
        outdated = self._latest_of.pop(user_id, 0)
        while self._base < outdated:
            self._pop()

    def after(self, seq: int, *, through: int) -> list[FactEnvelope] | None:
        """The facts in (seq, through] that can be shown, in order; None when it does not reach back to `seq`."""
        if seq < self._base or through > self.last:
            return None
        first, end = seq - self._base, through - self._base
        entries = list(self._entries)[first:end] if first < end else []
        return [entry for entry in entries if entry is not None and entry.frame]

    def time_of(self, seq: int) -> datetime | None:
        """When fact `seq` happened, if it still knows."""
        if seq == self._base:
            return self._base_at
        if not self._base < seq <= self.last:
            return None
        entry = self._entries[seq - self._base - 1]
        return entry.at if entry is not None else None

    def learn(self, seq: int, at: datetime, facts: Sequence[FactEnvelope], *, through: int) -> None:
        """Takes from a read of the log what lies before its first: the facts in (seq, through] that can be shown.

        `at` is when fact `seq` happened. Of no use unless that reaches from before its first up to it.
        """
        if not seq <= self._base <= through:
            return
        known = {fact.position.seq: fact for fact in facts}
        room = RING_FACTS - len(self._entries)
        older = [known.get(number) for number in range(seq + 1, self._base + 1)]
        self._base -= min(room, len(older))
        if len(older) > room:
            before = older[len(older) - room - 1]
            self._base_at = before.at if before is not None else None
        else:
            self._base_at = at
        for fact in reversed(older[len(older) - min(room, len(older)) :]):
            self._entries.appendleft(fact)
            if fact is not None and fact.author_id is not None:
                self._latest_of.setdefault(fact.author_id, fact.position.seq)
        # What was deleted while the log was read.
        for fact in [entry for entry in self._entries if entry is not None]:
            self._drop_deleted_by(fact)

    def _push(self, entry: FactEnvelope | None) -> None:
        self._entries.append(entry)
        if len(self._entries) > RING_FACTS:
            self._pop()

    def _pop(self) -> None:
        entry = self._entries.popleft()
        self._base += 1
        self._base_at = entry.at if entry is not None else None

    def _drop_deleted_by(self, fact: FactEnvelope) -> None:
        if fact.wire_name == PostDeleted.wire_name:
            self._drop_shown(lambda old: old.post_id == fact.post_id)
        elif fact.wire_name == CommentDeleted.wire_name:
            self._drop_shown(lambda old: old.comment_id == fact.comment_id)

    def _drop_shown(self, is_gone: Callable[[FactEnvelope], bool]) -> None:
        """Takes the frames of the posts and comments that are gone; what tells of deletions stays."""
        for place, entry in enumerate(self._entries):
            if entry is not None and entry.wire_name in SHOWING and is_gone(entry):
                self._entries[place] = replace(entry, frame=b"")


class LatestLevels:
    """The latest level of each post of one room whose reactions changed since the room became live here."""

    def __init__(self, since: datetime) -> None:
        self._levels: OrderedDict[int, tuple[int, LevelEnvelope]] = OrderedDict()
        self._complete_after = since
        self._forgotten_mark = 0
        self.mark = 0  # Grows with each level taken; a place in the order of arrival.

    def has(self, post_id: int, version: int) -> bool:
        """Whether it remembers this or a newer version of the post's level."""
        known = self._levels.get(post_id)
        return known is not None and known[1].version >= version

    def take(self, level: LevelEnvelope) -> bool:
        """Remembers `level` unless it has had the same or a newer version; gives whether it was news."""
        if self.has(level.post_id, level.version):
            return False
        self.mark += 1
        self._levels[level.post_id] = (self.mark, level)
        self._levels.move_to_end(level.post_id)
        if len(self._levels) > LEVEL_POSTS:
            _, (self._forgotten_mark, forgotten) = self._levels.popitem(last=False)
            self._complete_after = max(self._complete_after, forgotten.at)
        return True

    def reach_back(self, since: datetime) -> None:
        """It was given all levels changed at or after `since`; of use unless some are forgotten already."""
        if not self._forgotten_mark:
            self._complete_after = min(self._complete_after, since - MILLISECOND)

    def forget_post(self, post_id: int) -> None:
        """The post is deleted: nobody needs its level."""
        self._levels.pop(post_id, None)

    def since(self, at: datetime) -> list[LevelEnvelope] | None:
        """The level of each post changed at or after `at`; None when it does not reach back that far."""
        if at <= self._complete_after:
            return None
        return [level for _, level in self._levels.values() if level.at >= at]

    def arrived_after(self, mark: int) -> list[LevelEnvelope] | None:
        """The levels taken after `mark`; None when some of them are forgotten."""
        if self._forgotten_mark > mark:
            return None
        return [level for arrived, level in self._levels.values() if arrived > mark]
