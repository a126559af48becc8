"""The clients of the model: each builds its state from what it is told, and holds that against the promises.

What happens to them is the walk's.
"""

import itertools
import json
from collections.abc import Iterator
from typing import Any

from realtime.events import Position
from realtime.hub import Hub
from tests.realtime.fakes import Peer, frames
from tests.realtime.model_log import ROOMS, Truth
from tests.realtime.virtual_time import LoopClock


class ModelPeer(Peer):
    """Answers pings at once; dead peers are no subject of this walk."""

    def _ping(self) -> None:
        super()._ping()
        self.connection.on_pong()


class Client:
    """Builds its state from what it is told, and holds what it is told against the promises."""

    def __init__(self, user_id: int, truth: Truth) -> None:
        self.user_id, self.truth = user_id, truth
        self.room = ROOMS[user_id % len(ROOMS)]
        self.position: Position | None = None
        self.posts: dict[int, tuple[set[int], int]] = {}
        self.levels: dict[int, int] = {}
        self.peer: ModelPeer | None = None
        self.hub: Hub | None = None
        self.since: Position | None = None
        self.expects = "connected"
        self.told: Position | None = None
        self.counts = dict.fromkeys(("connected", "recovered", "fact", "level", "resync", "heartbeat"), 0)

    def load(self) -> None:
        """What a client does by REST: the position first, then the content."""
        self.position = self.truth.head_of(self.room)
        self.reload()

    def reload(self) -> None:
        self.posts = {
            post_id: (set(comments), len(comments))
            for post_id, comments in self.truth.posts[self.room].items()
        }
        self.levels = self.truth.true_levels(self.room)

    async def connect(self, hub: Hub, clock: LoopClock) -> None:
        expires_at = clock.now().timestamp() + 900
        self.peer = ModelPeer(
            user_id=self.user_id, session_id=str(self.user_id), community_id=self.room, expires_at=expires_at
        )
        self.hub, self.since = hub, self.position
        self.expects, self.told = "connected", None
        hub.register(self.peer.connection)
        await hub.join(self.peer.connection, self.since, asked=self.since is not None)

    def disconnect(self) -> None:
        """The connection is gone; what it had not read is lost."""
        if self.peer is not None and self.hub is not None:
            self.hub.leave(self.peer.connection)
        self.peer = self.hub = None

    def read(self, limit: int = 1 << 30) -> None:
        """Takes in up to `limit` messages."""
        if self.peer is None:
            return
        received, consumed = self.peer.socket.received, 0
        for opcode, payload, end in itertools.islice(whole_frames(received), limit):
            if opcode == 1:
                self.hear(json.loads(payload))
            consumed = end
        del received[:consumed]

    def hear(self, message: dict[str, Any]) -> None:
        what = message["type"]
        if self.expects != "anything":
            assert what == self.expects, f"{what} instead of {self.expects}"
            self.expects = "anything"
        position = Position.parse(message.get("position", ""))
        if what == "connected":
            self.hear_greeting(message["recovered"], position)
        elif what == "resync":
            self.counts["resync"] += 1
            self.told = position
            self.load()
        elif what == "heartbeat":
            self.counts["heartbeat"] += 1
            self.moves_to(position)
        elif what == "reaction_update":
            self.counts["level"] += 1
            post_id, version = message["post_id"], message["version"]
            assert message["reactions"]["fire"] == version * 10
            self.levels[post_id] = max(version, self.levels.get(post_id, 0))
        else:
            self.hear_fact(message, position)

    def hear_greeting(self, recovered: bool | None, position: Position) -> None:
        self.counts["connected"] += 1
        self.told = position
        if self.since is None:
            assert recovered is None
            self.load()
        elif recovered:
            self.counts["recovered"] += 1
            assert position == self.since
        else:
            self.expects = "resync"

    def hear_fact(self, message: dict[str, Any], position: Position) -> None:
        self.counts["fact"] += 1
        assert message["seq"] == position.seq > self.told.seq, "doubled or overtaken"
        self.moves_to(position, but=position.seq)
        if self.position.epoch == position.epoch and position.seq <= self.position.seq:
            return
        self.position = position
        if message["type"] == "new_post":
            self.posts.setdefault(message["post"]["id"], (set(), 0))
        elif message["type"] == "post_deleted":
            self.posts.pop(message["post_id"], None)
            self.levels.pop(message["post_id"], None)
        elif message["post_id"] in self.posts:
            comments, _ = self.posts[message["post_id"]]
            if message["type"] == "new_comment":
                comments.add(message["comment"]["id"])
            else:
                comments.discard(message["comment_id"])
            self.posts[message["post_id"]] = (comments, message["comment_count"])

    def moves_to(self, position: Position, *, but: int | None = None) -> None:
        """It is told to be at `position`: whatever lies between must have been deleted."""
        assert position.epoch == self.told.epoch
        between = set(range(self.told.seq + 1, position.seq + 1)) - {but}
        assert between <= self.truth.not_shown[self.room, position.epoch], "missed"
        assert position.seq >= self.told.seq
        self.told = position

    def check(self) -> None:
        wanted = {
            post_id: (comments, len(comments)) for post_id, comments in self.truth.posts[self.room].items()
        }
        assert self.posts == wanted
        mine = {post_id: version for post_id, version in self.levels.items() if post_id in wanted}
        assert mine == self.truth.true_levels(self.room)


def whole_frames(received: bytearray) -> Iterator[tuple[int, bytes, int]]:
    """The frames that have arrived whole, each with where it ends."""
    at = 0
    while at + 2 <= len(received):
        size, start = received[at + 1], at + 2
        if size == 126:
            size, start = int.from_bytes(received[at + 2 : at + 4]), at + 4
        if start + size > len(received):
            return
        [(opcode, payload)] = frames(bytes(received[at : start + size]))
        at = start + size
        yield opcode, payload, at
