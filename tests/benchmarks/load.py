"""Load on the WebSocket side: rooms of raw sockets that count what reaches them, and storms of connections.
No WebSocket client library, which would be the bottleneck, and no HTTP load, which is in `load_http`.
"""

import re
import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from tests.support.frames import HANDSHAKE, client_frame, frame_ends

# Room events are about 700 bytes; greetings, heartbeats and pings of every peer are far below this.
EVENT_AT_LEAST_BYTES = 400

# A publisher writes its moment into the event, as a number of its own or inside a text.
SENT_NS = re.compile(rb"sent_ns\D{1,4}(\d+)")

# The first byte of a whole text frame, and a length that no read reaches.
TEXT, UNKNOWN_BYTES = 0x81, 1 << 30

Address = tuple[str, int]


class LoadError(Exception):
    """The other side did not do what is measured; the figure would mean nothing."""


@dataclass(frozen=True)
class Joining:
    """How a client enters: what it says after the handshake, and how many frames greet it."""

    hello: bytes = b""
    greetings: int = 0
    in_flight: int = 64


@dataclass(frozen=True)
class Delivery:
    """One round: when the first event was published and when the last connection had all of them."""

    sent_ns: int
    last_ns: int

    @property
    def seconds(self) -> float:
        if not self.sent_ns:
            raise LoadError("an event did not say when it was published")
        return (self.last_ns - self.sent_ns) / 1e9


@dataclass
class _Member:
    sock: socket.socket
    path: str
    tail: bytes = b""
    upgraded: bool = False
    greetings: int = 0


@dataclass
class Room:
    """Open connections of one room; one thread reads them all, frame by frame but mostly by their lengths."""

    address: Address
    joining: Joining = field(default_factory=Joining)
    lost: int = 0

    def __post_init__(self) -> None:
        self.epoll = select.epoll()
        self._members: dict[int, _Member] = {}
        self._receive: dict[int, object] = {}
        self._counts: dict[int, int] = {}
        self._ragged: set[int] = set()
        self._buffer = bytearray(1 << 18)
        self._event_bytes = UNKNOWN_BYTES
        self._wanted = 0
        self._missing = 0
        self._sent_ns = 0
        self._last_ns = 0

    def __len__(self) -> int:
        return len(self._counts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(
        self, paths: Sequence[str], limit_seconds: float = 60, *, address: Address | None = None
    ) -> float:
        """Opens one connection a path; the seconds until each had its greetings. Raises LoadError when late.

        `address` is another instance's that has members of the same room.
        """
        address = address or self.address
        began = time.monotonic()
        waiting = list(reversed(paths))
        joining: set[int] = set()
        deadline = began + limit_seconds
        while waiting or joining:
            while waiting and len(joining) < self.joining.in_flight:
                joining.add(self._connect(address, waiting.pop()))
            for fd, mask in self.epoll.poll(0.2, 1024):
                if fd in joining and self._progress(fd, mask):
                    joining.discard(fd)
                elif fd not in joining:
                    self._read(fd)
            if time.monotonic() > deadline:
                raise LoadError(
                    f"{len(waiting) + len(joining)} of {len(paths)} connections were not accepted"
                )
        return time.monotonic() - began

    def expect(self, events: int) -> None:
        """Begins a round in which each connection shall receive `events` events; call it before publishing."""
        self.drain()
        self._counts = dict.fromkeys(self._counts, 0)
        self._wanted = events
        self._missing = len(self._counts)
        self._sent_ns = self._last_ns = 0

    def drain(self) -> None:
        """Reads all that has arrived and answers pings; members that are silent for long would be taken for dead."""
        while self.step(0):
            pass

    def wait(self, limit_seconds: float = 30, poll_seconds: float = 0) -> Delivery:
        """Reads until the round is complete. Polling without a pause (0) spares the sender all wake-ups."""
        deadline = time.monotonic() + limit_seconds
        while self._missing > 0:
            self.step(poll_seconds)
            if time.monotonic() > deadline:
                raise LoadError(
                    f"{self._missing} of {len(self)} connections lack events ({self.lost} were lost)"
                )
        return Delivery(self._sent_ns, self._last_ns)

    @property
    def complete(self) -> bool:
        """Whether each connection has what the round expects."""
        return self._missing <= 0

    @property
    def delivery(self) -> Delivery:
        """The round so far."""
        return Delivery(self._sent_ns, self._last_ns)

    def step(self, poll_seconds: float) -> int:
        """Reads what has arrived, once; the number of connections that had something."""
        counts, receive, buffer, ragged = self._counts, self._receive, self._buffer, self._ragged
        each = self._event_bytes
        ready = self.epoll.poll(poll_seconds, 512)
        for fd, _ in ready:
            try:
                size = receive[fd](buffer)  # type: ignore[operator]
            except BlockingIOError:
                continue
            except OSError:
                size = 0
            whole = size and not size % each and buffer[0] == buffer[size - each] == TEXT and fd not in ragged
            if whole and self._sent_ns:
                before = counts[fd]
                counts[fd] = now = before + size // each
                if before < self._wanted <= now:
                    self._arrived()
            else:
                self._take(fd, bytes(memoryview(buffer)[:size]))
        return len(ready)

    def close(self) -> None:
        for member in self._members.values():
            member.sock.close()
        self._members.clear()
        self.epoll.close()

    def _arrived(self) -> None:
        self._missing -= 1
        if self._missing == 0:
            self._last_ns = time.monotonic_ns()

    def _connect(self, address: Address, path: str) -> int:
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect_ex(address)
        fd = sock.fileno()
        self._members[fd] = _Member(sock, path)
        self._receive[fd] = sock.recv_into
        self.epoll.register(fd, select.EPOLLOUT)
        return fd

    def _progress(self, fd: int, mask: int) -> bool:
        """One step of a connection's way in; true once it is in the room."""
        member = self._members[fd]
        if mask & select.EPOLLOUT:
            host, port = self.address
            member.sock.send(HANDSHAKE.format(path=member.path, host=host, port=port).encode())
            self.epoll.modify(fd, select.EPOLLIN)
            return False
        chunk = member.sock.recv(65_536)
        if not chunk:
            raise LoadError(f"the server closed a connection that was joining: {member.tail[:200]!r}")
        member.tail += chunk
        if not member.upgraded and not self._upgraded(member):
            return False
        frames, end = frame_ends(member.tail)
        member.tail = member.tail[end:]
        member.greetings += len(frames)
        if member.greetings < self.joining.greetings:
            return False
        self._counts[fd] = 0
        if member.tail:
            self._ragged.add(fd)
        return True

    def _upgraded(self, member: _Member) -> bool:
        head, separator, rest = member.tail.partition(b"\r\n\r\n")
        if not separator:
            return False
        if b" 101 " not in head[:20]:
            raise LoadError(f"the server refused an upgrade: {head[:200]!r}")
        member.upgraded, member.tail = True, rest
        if self.joining.hello:
            member.sock.send(client_frame(1, self.joining.hello))
        return True

    def _read(self, fd: int) -> None:
        self._take(fd, self._members[fd].sock.recv(65_536))

    def _take(self, fd: int, chunk: bytes) -> None:
        """The slow way: any number of whole or broken frames of any kind."""
        member = self._members[fd]
        if not chunk:
            self._lose(fd)
            return
        stream = member.tail + chunk
        frames, end = frame_ends(stream)
        member.tail = stream[end:]
        (self._ragged.add if member.tail else self._ragged.discard)(fd)
        for opcode, start, stop in frames:
            if opcode == 8 or (opcode == 9 and not self._pong(member, stream[start:stop])):
                self._lose(fd)
                return
            if opcode < 8 and stop - start >= EVENT_AT_LEAST_BYTES:
                self._event(fd, stream[start:stop])

    @staticmethod
    def _pong(member: _Member, payload: bytes) -> bool:
        try:
            member.sock.send(client_frame(10, payload))
        except OSError:
            return False
        return True

    def _event(self, fd: int, payload: bytes) -> None:
        self._event_bytes = len(payload) + 4
        if not self._sent_ns:
            found = SENT_NS.search(payload)
            self._sent_ns = int(found[1]) if found else 0
        self._counts[fd] += 1
        if self._counts[fd] == self._wanted:
            self._arrived()

    def _lose(self, fd: int) -> None:
        self.lost += 1
        self.epoll.unregister(fd)
        self._counts.pop(fd, None)
