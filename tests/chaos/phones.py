"""Thousands of phones on the live feed in one loop, each of which holds what it is told against the promises.
How they are written to is in `load`; what happens to their servers is the scenario's.
"""

import asyncio
import contextlib
import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import orjson

from tests.chaos.cluster import Instance, Truth, choose
from tests.support.frames import CLOSE, HANDSHAKE, PING, PONG, TEXT, client_frame, frame_ends
from tests.support.population import Group, Member
from tests.support.processes import until

SOCKETS_A_USER = 5
# After a lost connection or a refusal a phone waits this long and up to twice as much, as an impatient app does.
RETRY_SECONDS = 0.1
GOING_AWAY, TRY_LATER = 1001, 1013
# The codes after which a client stops: see docs/live-feed.md.
STOPS = frozenset({1008, 1009, 4003, 4009})
# The same for whoever was not let in with a new token; after a quarter of an hour everybody needs one.
BAD_TOKEN = 4001
LOST = 1006


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of all do not exceed; NaN for none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else math.nan


def seq_of(position: str) -> int:
    return int(position.rpartition(".")[2])


class Room:
    """A group as its phones know it: how far anybody has been told it is, and when each fact reached whom."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.head = 0
        # The id of the post or comment that a fact brought, and when a phone was told (monotonic seconds).
        self.arrivals: list[tuple[int, float]] = []

    def told(self, seq: int, brought: int, now: float) -> None:
        self.head = max(self.head, seq)
        if brought:
            self.arrivals.append((brought, now))


@dataclass
class Tally:
    """What all phones of a crowd have seen."""

    facts: int = 0
    doubled: list[str] = field(default_factory=list)
    disordered: list[str] = field(default_factory=list)
    holes: list[str] = field(default_factory=list)
    resyncs: int = 0
    reconnects: int = 0
    closes: Counter[int] = field(default_factory=Counter)
    # From the moment a phone should come back until it had all that its room had when it was let in.
    caught_up_seconds: list[float] = field(default_factory=list)
    # When each of them came back, and when it was told to, in monotonic seconds.
    returned_at: list[float] = field(default_factory=list)
    called_back_at: list[float] = field(default_factory=list)


class Phone:
    """One socket of one member. It comes back with its position whenever it is lost, unless told to stop."""

    def __init__(self, member: Member, room: Room, crowd: "Crowd") -> None:
        self.member = member
        self.room = room
        self.crowd = crowd
        self.position: str | None = None
        self.last_seq = 0
        # The newest version of each post's reactions that it was told of.
        self.levels: dict[int, int] = {}
        self.instance: Instance | None = None
        self.close_code: int | None = None
        # When its connection ended (monotonic seconds).
        self.ended_at: float | None = None
        self.transport: asyncio.Transport | None = None
        self.joined = asyncio.Event()
        self._was_let_in = False
        self._lost: asyncio.Future[tuple[int, str]] | None = None
        self._lost_at: float | None = None
        self._target = 0
        self._missing: set[int] = set()

    async def live(self, choose: Callable[[], Instance | None]) -> None:
        """Be connected, for ever: to whichever instance `choose` gives."""
        loop = asyncio.get_running_loop()
        while True:
            instance = choose()
            if instance is not None and await self.open(instance):
                code, reason = await self.ended()
                if code in STOPS or (code == BAD_TOKEN and not self._was_let_in):
                    return
                await asyncio.sleep(self.pause(code, reason))
                if self._lost_at is None:
                    self._lost_at = loop.time()
                self.crowd.tally.reconnects += 1
            else:
                await asyncio.sleep(RETRY_SECONDS * (1 + self.crowd.random.random()))

    async def open(self, instance: Instance, token: str | None = None) -> bool:
        """Connect, once, without waiting for the greeting; False where nobody accepts."""
        loop = asyncio.get_running_loop()
        self._lost = loop.create_future()
        self.joined.clear()
        self._was_let_in = False
        self.instance = instance
        self.close_code = self.ended_at = None
        path = f"/ws/community/feed/?token={token or self.member.token()}"
        if self.position is not None:
            path += f"&since={self.position}"
        host, port = instance.address
        hello = HANDSHAKE.format(path=path, host=host, port=port).encode()
        try:
            await loop.create_connection(lambda: _Wire(self, hello), host, port)
        except OSError:
            return False
        return True

    def pause(self, code: int, reason: str) -> float:
        """How long it waits before it comes back: as told, or for the time of a retry where it was turned away."""
        if code == TRY_LATER:
            return RETRY_SECONDS * (1 + self.crowd.random.random())
        if code != GOING_AWAY:
            return 0.0
        seconds = retry_after(reason)
        self.crowd.tally.called_back_at.append(asyncio.get_running_loop().time() + seconds)
        return seconds

    async def ended(self) -> tuple[int, str]:
        """Wait until the connection is gone; gives the close code (1006 without one) and reason."""
        assert self._lost is not None
        return await self._lost

    def lost(self, code: int, reason: str) -> None:
        """The wire is gone."""
        self.transport = None
        self.joined.clear()
        self.close_code, self.ended_at = code, asyncio.get_running_loop().time()
        self.crowd.tally.closes[code] += 1
        if self._lost is not None and not self._lost.done():
            self._lost.set_result((code, reason))

    def drop(self) -> None:
        """Break the connection off."""
        if self.transport is not None:
            self.transport.abort()

    def hear(self, message: dict[str, Any]) -> None:
        """Take one message in, and note what should not be."""
        kind, now = message["type"], asyncio.get_running_loop().time()
        if kind == "connected":
            self._greeted(message)
        elif kind == "resync":
            self.crowd.tally.resyncs += 1
            self._stand_at(message["position"])
        elif "seq" in message:
            self._take_fact(message, now)
        elif kind == "reaction_update":
            post_id = message["post_id"]
            self.levels[post_id] = max(message["version"], self.levels.get(post_id, 0))
        elif kind == "heartbeat" and seq_of(message["position"]) > self.last_seq:
            self._note("holes", f"told to be at {message['position']}")
        if self._lost_at is not None and self.joined.is_set() and self.last_seq >= self._target:
            self.crowd.tally.caught_up_seconds.append(now - self._lost_at)
            self._lost_at = None

    @property
    def is_back(self) -> bool:
        """Whether it is connected, and was told all that its room had when it came."""
        return self.joined.is_set() and self._lost_at is None

    @property
    def missing(self) -> set[int]:
        """The facts that were left out so far."""
        return self._missing

    def _greeted(self, message: dict[str, Any]) -> None:
        if self.position is None:
            self._stand_at(message["position"])
        self.joined.set()
        self._was_let_in = True
        self._target = self.room.head
        if self._lost_at is not None:
            self.crowd.tally.returned_at.append(asyncio.get_running_loop().time())

    def _stand_at(self, position: str) -> None:
        self.position = position
        self.last_seq = seq_of(position)

    def _take_fact(self, message: dict[str, Any], now: float) -> None:
        seq = message["seq"]
        self.crowd.tally.facts += 1
        if seq <= self.last_seq:
            late = seq in self._missing
            self._missing.discard(seq)
            self._note("disordered" if late else "doubled", f"{seq} after {self.last_seq}")
            return
        self._missing.update(range(self.last_seq + 1, seq))
        self._stand_at(message["position"])
        self.room.told(seq, brought_by(message), now)

    def _note(self, what: str, words: str) -> None:
        noted: list[str] = getattr(self.crowd.tally, what)
        noted.append(f"member {self.member.user_id} of room {self.room.group.community_id}: {words}")


class _Wire(asyncio.Protocol):
    """The bytes of one connection: handshake, whole frames, pongs."""

    def __init__(self, phone: Phone, hello: bytes) -> None:
        self._phone = phone
        self._hello = hello
        self._rest = b""
        self._upgraded = False
        self._close = (LOST, "")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._phone.transport = transport
        transport.write(self._hello)

    def data_received(self, data: bytes) -> None:
        stream = self._rest + data
        if not self._upgraded:
            head, end, stream_after = stream.partition(b"\r\n\r\n")
            if not end:
                self._rest = stream
                return
            if b" 101 " not in head[:20]:
                self._drop()
                return
            self._upgraded, stream = True, stream_after
        frames, used = frame_ends(stream)
        self._rest = stream[used:]
        for opcode, start, stop in frames:
            self._take(opcode, stream[start:stop])

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == TEXT:
            self._phone.hear(orjson.loads(payload))
        elif opcode == PING:
            self._write(client_frame(PONG, payload))
        elif opcode == CLOSE:
            self._close = (int.from_bytes(payload[:2]) if payload else 1005, payload[2:].decode())
            self._write(client_frame(CLOSE, payload[:2]))
            self._drop()

    def _write(self, data: bytes) -> None:
        if self._phone.transport is not None:
            self._phone.transport.write(data)

    def _drop(self) -> None:
        if self._phone.transport is not None:
            self._phone.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._phone.lost(*self._close)


class Crowd:
    """All phones of a scenario. `async with` it: on the way out everybody hangs up."""

    def __init__(self, instances: Sequence[Instance], seed: int) -> None:
        self.instances = instances
        self.random = random.Random(seed)
        self.tally = Tally()
        self.phones: list[Phone] = []
        self.rooms: list[Room] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for phone in self.phones:
            phone.drop()
        await asyncio.sleep(0)

    def settle_in(self, groups: Sequence[Group], count: int) -> None:
        """`count` phones, spread evenly over the groups, each member with one after the other."""
        self.rooms = [Room(group) for group in groups]
        members = [itertools.cycle(group.members) for group in groups]
        for number in range(count):
            at = number % len(groups)
            self.phones.append(Phone(next(members[at]), self.rooms[at], self))
        busiest = max(Counter(phone.member.user_id for phone in self.phones).values())
        assert busiest <= SOCKETS_A_USER, "more phones than the groups have members for"

    async def arrive(self, limit_seconds: float = 120) -> None:
        """Let all phones live, and wait until each has been greeted."""
        self._tasks = [asyncio.create_task(phone.live(self.choose)) for phone in self.phones]
        async with asyncio.timeout(limit_seconds):
            for phone in self.phones:
                await phone.joined.wait()

    def choose(self) -> Instance | None:
        """An instance that serves, as a balancer would; None where there is none."""
        return choose(self.instances, self.random)

    async def all_back(self, limit_seconds: float) -> None:
        """Wait until every phone is connected again and has what its room had when it was let in."""
        await until(lambda: all(phone.is_back for phone in self.phones), limit_seconds, "everybody's return")

    async def all_at(self, truth: Truth, limit_seconds: float) -> None:
        """Wait until every phone has been told at least what is true, or the time is over."""
        with contextlib.suppress(AssertionError):
            await until(lambda: not self.behind(truth), limit_seconds)

    def behind(self, truth: Truth) -> list[str]:
        """The phones that lack facts, or the latest count of reactions to a post, each as a sentence."""
        found = []
        for phone in self.phones:
            room = phone.room.group.community_id
            head, levels = truth.heads[room], truth.levels[room]
            who = f"member {phone.member.user_id} on {phone.instance.name if phone.instance else 'nothing'}"
            if phone.last_seq < head or phone.missing:
                found.append(f"{who} is at {phone.last_seq} of {head}, without {sorted(phone.missing)[:5]}")
            older = [post for post, version in levels.items() if phone.levels.get(post, 0) < version]
            if older:
                found.append(f"{who} has old reactions to {len(older)} posts, such as {older[0]}")
        return found


def retry_after(reason: str) -> float:
    """The seconds that the reason of a 1001 asks for; 0 for none."""
    name, _, seconds = reason.partition("=")
    return float(seconds) if name == "retry_after" else 0.0


def brought_by(message: dict[str, Any]) -> int:
    """The id of what a fact brought; 0 for deletions."""
    if message["type"] == "new_post":
        return int(message["post"]["id"])
    return int(message["comment"]["id"]) if message["type"] == "new_comment" else 0
