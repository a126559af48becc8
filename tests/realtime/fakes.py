"""A socket, a stream and a log that tests can stall, fail and look into; a client that reads frames.
The rules of delivery are not here: what these stand for is the kernel, Tornado and the database.
"""

import asyncio
import itertools
import json
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self, TypeVar

from realtime.connection import Connection
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
from realtime.history import Replay

EPOCH = "k3x9"
NOON = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
ROOM = 7
T = TypeVar("T")


class FakeSocket:
    """Takes `room` bytes (None: all), remembers them and the options that were set."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.room: int | None = None
        self.error: OSError | None = None
        self.options: dict[int, Any] = {}
        self.refuses = False
        self.sends = 0

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        if self.refuses:
            raise OSError(22, "Invalid argument")
        self.options[option] = value

    def send(self, data: bytes | memoryview) -> int:
        self.sends += 1
        if self.error is not None:
            raise self.error
        if self.room is None:
            self.received += data
            return len(data)
        if self.room == 0:
            raise BlockingIOError
        taken = bytes(data[: self.room])
        self.room -= len(taken)
        self.received += taken
        return len(taken)


class FakeTlsSocket(ssl.SSLSocket):
    """Is a TLS socket to whoever asks, and nothing else."""

    def __new__(cls) -> Self:
        return ssl.SSLSocket.__new__(cls)

    def __init__(self) -> None:
        self.received = bytearray()
        self.error: OSError | None = None

    def setsockopt(self, *_: Any) -> None: ...

    def send(self, data: Any, flags: int = 0) -> int:
        self.received += data
        return len(data)


class Written:
    """What a write gives: a future whose callbacks do not wait for the loop's next turn."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[Self], object]] = []
        self._is_done = False

    def done(self) -> bool:
        return self._is_done

    def add_done_callback(self, callback: Callable[[Self], object]) -> None:
        if self._is_done:
            callback(self)
        else:
            self._callbacks.append(callback)

    def set_done(self) -> None:
        self._is_done = True
        for callback in self._callbacks:
            callback(self)


class FakeStream:
    """Does what Tornado's IOStream does with a write, a full buffer and a close."""

    def __init__(self, sock: Any = None) -> None:
        self.socket: Any = sock or FakeSocket()
        self.max_write_buffer_size: int | None = None
        self._write_buffer = bytearray()
        self._written_at: list[tuple[int, Written]] = []
        self._written = self._done = 0
        self._closed = False

    def write(self, data: bytes | memoryview) -> Written:
        if self._closed:
            raise OSError("Stream is closed")
        if (
            self.max_write_buffer_size is not None
            and len(self._write_buffer) + len(data) > self.max_write_buffer_size
        ):
            raise ValueError("Reached maximum write buffer size")
        self._write_buffer += data
        self._written += len(data)
        written = Written()
        self._written_at.append((self._written, written))
        self.flush()
        return written

    def flush(self) -> None:
        """The socket became writable."""
        try:
            while self._write_buffer:
                sent = self.socket.send(bytes(self._write_buffer))
                del self._write_buffer[:sent]
                self._done += sent
        except BlockingIOError:
            pass
        while self._written_at and self._written_at[0][0] <= self._done:
            self._written_at.pop(0)[1].set_done()

    def writing(self) -> bool:
        return bool(self._write_buffer)

    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        if not self._closed:
            self.socket.error = OSError("Bad file descriptor")
        self._closed = True
        self.socket = None
        self._write_buffer.clear()


def frames(received: bytes) -> list[tuple[int, bytes]]:
    """The whole unmasked frames as (opcode, payload); what is left over fails."""
    found, at = [], 0
    while at < len(received):
        assert at + 2 <= len(received), "half a header"
        opcode, size, start = received[at] & 0x0F, received[at + 1], at + 2
        assert received[at] & 0xF0 == 0x80, "not a whole, plain frame"
        if size == 126:
            size, start = int.from_bytes(received[at + 2 : at + 4]), at + 4
        elif size == 127:
            size, start = int.from_bytes(received[at + 2 : at + 10]), at + 10
        assert start + size <= len(received), "half a frame"
        found.append((opcode, bytes(received[start : start + size])))
        at = start + size
    return found


@dataclass(eq=False)
class Peer:
    """A client and the connection that the server has to it."""

    user_id: int = 1
    session_id: str = "s"
    community_id: int | None = ROOM
    expires_at: float = NOON.timestamp() + 900
    tls: bool = False
    closed_with: tuple[int, str] | None = None
    pings: int = 0
    _taken: int = 0
    stream: FakeStream = field(init=False)
    socket: Any = field(init=False)
    connection: Connection = field(init=False)

    def __post_init__(self) -> None:
        self.stream = FakeStream(FakeTlsSocket() if self.tls else None)
        self.socket = self.stream.socket
        self.connection = Connection(
            self.stream,
            user_id=self.user_id,
            session_id=self.session_id,
            community_id=self.community_id,
            expires_at=self.expires_at,
            close=self._close,
            ping=self._ping,
        )

    @property
    def messages(self) -> list[dict]:
        """Everything it was told so far."""
        received = frames(bytes(self.socket.received))
        return [json.loads(payload) for opcode, payload in received if opcode == 1]

    @property
    def types(self) -> list[str]:
        return [message["type"] for message in self.messages]

    @property
    def seqs(self) -> list[int]:
        return [message["seq"] for message in self.messages if "seq" in message]

    def news(self) -> list[dict]:
        """What it was told since this was last asked."""
        messages = self.messages
        new, self._taken = messages[self._taken :], len(messages)
        return new

    def _close(self, code: int, reason: str) -> None:
        self.closed_with = (code, reason)
        payload = code.to_bytes(2) + reason.encode()
        self.stream.write(bytes((0x88, len(payload))) + payload)

    def _ping(self) -> None:
        self.pings += 1
        self.stream.write(b"\x89\x00")


class MemoryLog:
    """A database of facts and levels in memory, which can be slow, fail, be cut and be numbered anew."""

    def __init__(self) -> None:
        self.epoch = EPOCH
        self.facts: dict[int, list[Fact]] = {}
        self.levels: dict[tuple[int, int], ReactionsChanged] = {}
        self.cut_through: dict[int, int] = {}
        self.controls: list[tuple[datetime, Control]] = []
        self.at = NOON
        self.reads: list[str] = []
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.looks_first = False  # Whether what a read sees is settled before it waits at the gate.

    def _next(self, community_id: int) -> dict[str, Any]:
        self.at += timedelta(milliseconds=10)
        seq = len(self.facts.setdefault(community_id, [])) + 1
        return {"community_id": community_id, "position": Position(self.epoch, seq), "at": self.at}

    def _add(self, fact: Fact) -> Fact:
        self.facts[fact.community_id].append(fact)
        return fact

    def post(self, post_id: int, *, author_id: int = 17, community_id: int = ROOM, text: str = "") -> Fact:
        post = {"id": post_id, "content": text or f"post {post_id}"}
        more = self._next(community_id)
        return self._add(PostCreated(post_id=post_id, author_id=author_id, post=post, **more))

    def comment(self, comment_id: int, post_id: int, *, count: int = 1, community_id: int = ROOM) -> Fact:
        comment = {"id": comment_id, "content": f"comment {comment_id}"}
        more = self._next(community_id)
        return self._add(
            CommentAdded(
                post_id=post_id,
                comment_id=comment_id,
                author_id=18,
                comment=comment,
                comment_count=count,
                **more,
            )
        )

    def delete_comment(
        self, comment_id: int, post_id: int, *, count: int = 0, community_id: int = ROOM
    ) -> Fact:
        more = self._next(community_id)
        return self._add(CommentDeleted(post_id=post_id, comment_id=comment_id, comment_count=count, **more))

    def delete_post(self, post_id: int, *, community_id: int = ROOM) -> Fact:
        self.levels.pop((community_id, post_id), None)
        return self._add(PostDeleted(post_id=post_id, **self._next(community_id)))

    def react(
        self, post_id: int, *, version: int, fire: int = 1, community_id: int = ROOM
    ) -> ReactionsChanged:
        self.at += timedelta(milliseconds=10)
        level = ReactionsChanged(
            community_id=community_id,
            post_id=post_id,
            reactions={"fire": fire, "thumbs_up": 0, "heart": 0},
            version=version,
            at=self.at,
        )
        self.levels[community_id, post_id] = level
        return level

    def gone(self, community_id: int) -> set[int]:
        """The numbers of the facts that are no longer shown: what they brought has been deleted."""
        facts = self.facts.get(community_id, [])
        posts = {fact.post_id for fact in facts if isinstance(fact, PostDeleted)}
        comments = {fact.comment_id for fact in facts if isinstance(fact, CommentDeleted)}
        return {
            fact.position.seq
            for fact in facts
            if (isinstance(fact, PostCreated | CommentAdded) and fact.post_id in posts)
            or (isinstance(fact, CommentAdded) and fact.comment_id in comments)
        }

    def head_of(self, community_id: int) -> Position:
        return Position(self.epoch, len(self.facts.get(community_id, [])))

    async def _read(self, name: str, look: Callable[[], T]) -> T:
        self.reads.append(name)
        seen = look() if self.looks_first else None
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return look() if seen is None else seen

    async def head(self, community_id: int) -> Position:
        return await self._read("head", lambda: self.head_of(community_id))

    async def heads(self, community_ids: Sequence[int]) -> dict[int, Position]:
        return await self._read(
            "heads", lambda: {community_id: self.head_of(community_id) for community_id in community_ids}
        )

    async def facts_after(self, community_id: int, seq: int, limit: int) -> Replay:
        return await self._read("facts_after", lambda: self.replay(community_id, seq, limit))

    async def levels_since(
        self, community_id: int, at: datetime, limit: int
    ) -> tuple[ReactionsChanged, ...] | None:
        levels = await self._read(
            "levels_since",
            lambda: tuple(
                level for (room, _), level in self.levels.items() if room == community_id and level.at >= at
            ),
        )
        return levels if len(levels) <= limit else None

    async def levels_of(
        self, community_ids: Sequence[int], at: datetime, limit: int
    ) -> tuple[ReactionsChanged, ...]:
        def look() -> tuple[ReactionsChanged, ...]:
            found = [level for (room, _), level in self.levels.items() if room in community_ids]
            return tuple(sorted((each for each in found if each.at >= at), key=lambda each: each.at)[:limit])

        return await self._read("levels_of", look)

    async def controls_since(self, at: datetime) -> tuple[Control, ...]:
        return await self._read(
            "controls_since", lambda: tuple(control for written, control in self.controls if written >= at)
        )

    def replay(self, community_id: int, seq: int, limit: int) -> Replay:
        facts, through = self.facts.get(community_id, []), self.head_of(community_id)
        if not self.cut_through.get(community_id, 0) <= seq <= through.seq or through.seq - seq > limit:
            return Replay(facts=(), through=through, since_at=None, complete=False)
        gone = self.gone(community_id)
        return Replay(
            facts=tuple(fact for fact in facts[seq:] if fact.position.seq not in gone),
            through=through,
            since_at=facts[seq - 1].at if seq else NOON,
            complete=True,
        )


_users = itertools.count(1_000)


def stranger(**more: Any) -> Peer:
    """A client whose user nobody else is."""
    user_id = next(_users)
    return Peer(user_id=user_id, session_id=f"session of {user_id}", **more)


async def until(condition: Callable[[], object], *, seconds: float = 5) -> None:
    """Gives the loop turns until `condition` holds; fails after `seconds`."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it did not come to pass"
        await asyncio.sleep(0.001)
