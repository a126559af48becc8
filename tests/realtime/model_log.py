"""The log of the model: what is true in each room, and a database that is slow, fails, is cut and numbered anew.

Who changes it, and who is told, is elsewhere.
"""

import asyncio
import itertools
import random
from collections.abc import Callable
from typing import TypeVar

from realtime.events import Event, Fact, Position
from tests.realtime.fakes import MemoryLog
from tests.realtime.virtual_time import LoopClock

ROOMS = (1, 2)
T = TypeVar("T")


class Truth(MemoryLog):
    """The log of the walk, and what is true in each room by it."""

    def __init__(self, walk: random.Random, clock: LoopClock) -> None:
        super().__init__()
        self.walk, self.clock = walk, clock
        self.calm = False
        self.ids = itertools.count(1)
        self.posts: dict[int, dict[int, set[int]]] = {room: {} for room in ROOMS}
        self.epochs = dict.fromkeys(ROOMS, "e0")
        self.not_shown: dict[tuple[int, str], set[int]] = {(room, "e0"): set() for room in ROOMS}
        self.facts = {room: [] for room in ROOMS}

    async def _read(self, name: str, look: Callable[[], T]) -> T:
        self.reads.append(name)
        if not self.calm:
            await asyncio.sleep(self.walk.choice([0, 0.001, 0.005, 0.05]))
        seen = look()
        if not self.calm:
            await asyncio.sleep(self.walk.choice([0, 0.001, 0.005, 0.05]))
            if self.walk.random() < 0.03:
                raise ConnectionError("not now")
        return seen

    def gone(self, community_id: int) -> set[int]:
        return self.not_shown[community_id, self.epochs[community_id]]

    def head_of(self, community_id: int) -> Position:
        return Position(self.epochs[community_id], len(self.facts[community_id]))

    def change(self, room: int) -> Event:
        """Something happens in the room."""
        self.at, self.epoch = self.clock.now(), self.epochs[room]
        posts = self.posts[room]
        what = self.walk.random()
        if what < 0.2 or not posts:
            post_id = next(self.ids)
            posts[post_id] = set()
            return self.post(post_id, community_id=room, author_id=self.walk.randrange(3))
        post_id = self.walk.choice(list(posts))
        comments = posts[post_id]
        if what < 0.5:
            comment_id = next(self.ids)
            comments.add(comment_id)
            return self.comment(comment_id, post_id, count=len(comments), community_id=room)
        if what < 0.6 and comments:
            comment_id = self.walk.choice(sorted(comments))
            comments.remove(comment_id)
            self._hide(room, lambda fact: fact.comment_id == comment_id)
            return self.delete_comment(comment_id, post_id, count=len(comments), community_id=room)
        if what < 0.7 and len(posts) > 3:
            del posts[post_id]
            self._hide(room, lambda fact: fact.post_id == post_id)
            return self.delete_post(post_id, community_id=room)
        known = self.levels.get((room, post_id))
        version = known.version + 1 if known else 1
        return self.react(post_id, version=version, fire=version * 10, community_id=room)

    def _hide(self, room: int, concerned: Callable[[Fact], bool]) -> None:
        shown = (fact for fact in self.facts[room] if fact.wire_name in {"new_post", "new_comment"})
        self.gone(room).update(fact.position.seq for fact in shown if concerned(fact))

    def number_anew(self, room: int) -> None:
        self.epochs[room] = f"e{next(self.ids)}"
        self.not_shown[room, self.epochs[room]] = set()
        self.facts[room] = []
        self.cut_through[room] = 0

    def cut(self, room: int) -> None:
        self.cut_through[room] = max(self.cut_through.get(room, 0), len(self.facts[room]) - 15)

    def true_levels(self, room: int) -> dict[int, int]:
        return {post_id: level.version for (where, post_id), level in self.levels.items() if where == room}
