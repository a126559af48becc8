"""Load on the HTTP side: keep-alive connections that each ask again as soon as they are answered.
One thread and raw sockets, since a Python HTTP client costs more than the servers it would measure.
"""

import re
import select
import socket
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from tests.benchmarks.load import Address, LoadError

CONTENT_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
BODILESS = {204, 304}

MakeRequest = Callable[[], bytes]


def request(method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> bytes:
    """The bytes of one HTTP/1.1 request; a body is JSON, unless the headers say otherwise."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body or method != "GET":
        lines += [] if "Content-Type" in (headers or {}) else ["Content-Type: application/json"]
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass(frozen=True)
class HttpResult:
    """What a loop saw: how long it ran, each answer's seconds, how often each status came."""

    seconds: float
    latencies: list[float]
    statuses: Counter[int]

    def figures(self) -> dict[str, float]:
        """Requests a second, median and 99th percentile in milliseconds. Raises LoadError on any refusal."""
        refused = {status: count for status, count in self.statuses.items() if status >= 400}
        if refused or len(self.latencies) < 2:
            raise LoadError(f"answers: {dict(self.statuses)}")
        return {
            "rate": len(self.latencies) / self.seconds,
            "p50": statistics.median(self.latencies) * 1e3,
            "p99": percentile(self.latencies, 99) * 1e3,
        }


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that `percent` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


@dataclass
class _Client:
    sock: socket.socket
    make: MakeRequest
    asked: float = 0
    received: bytes = b""


@dataclass
class HttpLoop:
    """A closed loop: one connection for each function that makes its next request."""

    address: Address
    makers: Sequence[MakeRequest]
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    last_answer: bytes = b""

    def __post_init__(self) -> None:
        self.epoll = select.epoll()
        self._clients: dict[int, _Client] = {}
        self._paused = True

    def __enter__(self) -> Self:
        for make in self.makers:
            self._connect(make)
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients.values():
            client.sock.close()
        self.epoll.close()

    def run(self, seconds: float, limit_seconds: float = 30) -> HttpResult:
        """Asks for `seconds` and until there are two answers a connection; later ones do not count."""
        self.start()
        began = time.perf_counter()
        while (passed := time.perf_counter() - began) < seconds or len(self.latencies) < 2 * len(self.makers):
            self.step(0.01)
            if passed > seconds + limit_seconds:
                raise LoadError(f"too few answers in {passed:.0f} s: {dict(self.statuses)}")
        result = self.result(time.perf_counter() - began)
        self.settle(limit_seconds)
        return result

    def start(self) -> None:
        """Forgets earlier answers and sends each connection's first request."""
        self.latencies, self.statuses, self._paused = [], Counter(), False
        for client in list(self._clients.values()):
            self._ask(self._open(client))

    def step(self, poll_seconds: float) -> None:
        """Takes the answers that are there, once, and asks again."""
        for fd, _ in self.epoll.poll(poll_seconds, 256):
            client = self._clients[fd]
            chunk = client.sock.recv(262_144)
            if not chunk:
                raise LoadError(f"the server closed a keep-alive connection after {dict(self.statuses)}")
            client.received = client.received + chunk if client.received else chunk
            if self._answered(client) and not self._paused:
                self._ask(client)

    def result(self, seconds: float) -> HttpResult:
        """What the answers so far amount to."""
        return HttpResult(seconds, self.latencies, self.statuses)

    def settle(self, limit_seconds: float = 30) -> None:
        """Asks no more and waits for the answers still due. Raises LoadError when they stay away."""
        self.latencies, self.statuses, self._paused = [], Counter(), True
        deadline = time.monotonic() + limit_seconds
        while any(client.asked for client in self._clients.values()):
            self.step(0.1)
            if time.monotonic() > deadline:
                raise LoadError("requests were left unanswered")

    def ask_once(self) -> None:
        """Sends one request on each connection; the answers are for `step` or `settle` to take."""
        self.start()
        self._paused = True

    def once(self, limit_seconds: float = 30) -> float:
        """One request on each connection; the seconds until all were answered."""
        began = time.perf_counter()
        self.start()
        self.settle(limit_seconds)
        return time.perf_counter() - began

    @property
    def idle(self) -> bool:
        """Whether no answer is due."""
        return not any(client.asked for client in self._clients.values())

    def _connect(self, make: MakeRequest) -> _Client:
        sock = socket.create_connection(self.address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = self._clients[sock.fileno()] = _Client(sock, make)
        self.epoll.register(sock.fileno(), select.EPOLLIN)
        return client

    def _open(self, client: _Client) -> _Client:
        """The client, or a new one in its place where the server has closed it while it was idle."""
        try:
            closed = not client.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            closed = False
        if not closed:
            return client
        del self._clients[client.sock.fileno()]
        client.sock.close()
        return self._connect(client.make)

    def _ask(self, client: _Client) -> None:
        client.asked = time.perf_counter()
        client.sock.sendall(client.make())

    def _answered(self, client: _Client) -> bool:
        received = client.received
        head = received.find(b"\r\n\r\n")
        if head < 0:
            return False
        status = int(received[9:12])
        if len(received) < head + 4 + self._body_bytes(status, received[:head]):
            return False
        self.latencies.append(time.perf_counter() - client.asked)
        self.statuses[status] += 1
        self.last_answer, client.received, client.asked = received, b"", 0
        return True

    @staticmethod
    def _body_bytes(status: int, head: bytes) -> int:
        if status in BODILESS:
            return 0
        found = CONTENT_LENGTH.search(head)
        if found is None:
            raise LoadError(f"an answer without a length: {head[:300]!r}")
        return int(found[1])
