"""Fan-out: one event to every subscriber of one room, from its publishing to the last receipt, beside the peers.
The cost of the request that leads to the event is measured in other rows.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from tests.benchmarks.load import Joining, LoadError, Room
from tests.benchmarks.processes import Server, require
from tests.benchmarks.runner import Bench, Figure, Goal, Measure, Row, Side, Work, ratio

OURS = "cohort_hub"

# More sockets than this at once would meet the limit of 20,000 open files.
MOST_SOCKETS = 16_500


@dataclass(frozen=True)
class Peer:
    """A module in `peers`, what it needs, how one enters its room, and how far ahead of it we shall be."""

    name: str
    label: str
    goal: Goal
    packages: Sequence[str] = ()
    path: str = "/ws"
    joining: Joining = field(default_factory=Joining)
    needs_redis: bool = False


PEERS = (
    Peer("bare_loop", "bare send loop", ratio(0.85)),
    Peer("websockets_broadcast", "websockets.broadcast", ratio(1.5), ["websockets"]),
    Peer(
        "socketio_redis",
        "Socket.IO + Redis",
        ratio(2),
        ["socketio", "uvicorn", "redis"],
        path="/ws/?EIO=4&transport=websocket",
        joining=Joining(hello=b"40", greetings=2),
        needs_redis=True,
    ),
    Peer("starlette_uvicorn", "Starlette", ratio(2.5), ["starlette", "uvicorn"]),
    Peer("tornado_write_message", "Tornado write_message", ratio(5)),
    Peer(
        "channels_redis",
        "Channels + Redis",
        ratio(40),
        ["channels", "channels_redis", "django", "uvicorn"],
        needs_redis=True,
    ),
)

HUB = Peer(OURS, "", ratio(), ["tests.benchmarks.peers.cohort_hub"], joining=Joining(greetings=1))


def open_room(peer: Peer, sizes: Sequence[int], bench: Bench, stack: ExitStack) -> tuple[Server, Room]:
    """A process of the peer for each of `sizes`, with so many members of one room, all of whom have had an event.

    Gives the first process, which publishes.
    """
    require(peer.packages)
    more = ["--redis", bench.redis_url] if peer.needs_redis else []
    servers = [stack.enter_context(Server.peer(peer.name, *more)) for _ in sizes]
    server = servers[0]
    room = stack.enter_context(Room(server.address, peer.joining))
    for each, size in zip(servers, sizes, strict=True):
        room.open([peer.path] * size, address=each.address)
    bench.keep(room, stack)
    # The handshake's answer may come before the member is in the list of the room.
    time.sleep(0.3)
    for _ in range(2):
        one_round(server, room, 1)
    return server, room


def one_round(server: Server, room: Room, in_flight: int) -> float:
    """Publishes `in_flight` events at once; the seconds until the last member had the last of them."""
    room.expect(in_flight)
    server.publish(in_flight)
    seconds = room.wait().seconds
    if room.lost:
        raise LoadError(f"{room.lost} members were lost")
    return seconds


def deliveries_a_second(server: Server, room: Room, in_flight: int, seconds: float) -> float:
    """Rounds for that many seconds, at least three; what the publisher does between them does not count."""
    took: list[float] = []
    until = time.monotonic() + seconds
    while len(took) < 3 or time.monotonic() < until:
        took.append(one_round(server, room, in_flight))
    return len(room) * in_flight * len(took) / sum(took)


def side(peer: Peer, size: int, in_flight: int = 1, name: str | None = None) -> Side:
    def start(bench: Bench, stack: ExitStack) -> Measure:
        server, room = open_room(peer, [size], bench, stack)
        return lambda: {"rate": deliveries_a_second(server, room, in_flight, bench.seconds(2))}

    return Side(name or peer.name, start)


def beside_peers(size: int) -> list[Work]:
    """Our hub and all peers with rooms of this size, as many at once as open files allow."""
    at_once = MOST_SOCKETS // size - 1
    groups = [PEERS[at : at + at_once] for at in range(0, len(PEERS), at_once)]
    return [
        Work(
            [side(HUB, size), *(side(peer, size) for peer in group)],
            [
                Row(
                    f"fan-out {size:,}: {peer.label}",
                    "deliveries/s",
                    Figure(OURS),
                    Figure(peer.name),
                    peer.goal,
                )
                for peer in group
            ],
        )
        for group in groups
    ]


def bursts(size: int = 1_000) -> Work:
    """Bursts are joined into one send a connection; the same server alone shows by how much that pays."""
    many, one = "eight in flight", "one in flight"

    def both(in_flight: int) -> Callable[[Bench, ExitStack], Measure]:
        return side(HUB, size, in_flight).start

    row = Row("fan-out 1,000: 8 in flight", "deliveries/s", Figure(many), Figure(one), ratio(3))
    return Work([Side(many, both(8)), Side(one, both(1))], [row])


WORKS = [*(work for size in (200, 1_000, 4_000) for work in beside_peers(size)), bursts()]
