"""The whole server as a side of a benchmark: how it is started, and the requests that phones send it.
What is compared with it is in the `rows_` modules.
"""

import itertools
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import orjson

from tests.benchmarks.load import Joining, Room
from tests.benchmarks.load_http import HttpLoop, MakeRequest, request
from tests.benchmarks.processes import Server
from tests.benchmarks.runner import Bench
from tests.support.limits import NO_LIMITS
from tests.support.population import JWT_SECRET, PARAGRAPH, Group, Member

FEED = "/api/community/feed/"

SOCKETS_A_USER = 5
GREETED = Joining(greetings=1)


def environment(bench: Bench, *, redis: bool = False) -> dict[str, str]:
    return {
        "MONGODB_URI": bench.mongodb_uri,
        "JWT_SECRET": JWT_SECRET,
        "DATA_DIR": str(bench.folder / "data"),
        "LOG_LEVEL": "WARNING",
        # A user's limits would end every measurement after its first second.
        **NO_LIMITS,
        **({"REDIS_URL": bench.redis_url} if redis else {}),
    }


def start(
    bench: Bench,
    stack: ExitStack,
    *,
    launcher: Sequence[str] = ("server.py",),
    redis: bool = False,
    more: Mapping[str, str] | None = None,
) -> Server:
    """The server, started as its users start it; `launcher` can put something before it, `more` sets more.

    With `redis` it is one of several instances.
    """
    arguments = [*launcher, "--port", "0", "--data-dir", str(bench.folder / "data")]
    return stack.enter_context(
        Server.start(arguments, env={**environment(bench, redis=redis), **(more or {})})
    )


def socket_paths(group: Group, count: int) -> list[str]:
    """Where `count` sockets of the group connect: each member's five, all the same room."""
    members = itertools.islice(itertools.cycle(group.trainees), count)
    assert count <= SOCKETS_A_USER * len(group.trainees), "more sockets than this group may have"
    tokens = {member: member.token() for member in group.trainees}
    return [f"/ws/community/feed/?token={tokens[member]}" for member in members]


def live_room(bench: Bench, server: Server, group: Group, count: int, stack: ExitStack) -> Room:
    """So many open sockets of the group, each of which has been greeted."""
    room = stack.enter_context(Room(server.address, GREETED))
    room.open(socket_paths(group, count))
    bench.keep(room, stack)
    return room


def loop(server: Server, makers: Sequence[MakeRequest], stack: ExitStack) -> HttpLoop:
    return stack.enter_context(HttpLoop(server.address, makers))


def same(message: bytes) -> MakeRequest:
    """Always the same request."""
    return lambda: message


def reads(members: Sequence[Member], connections: int, path: str = FEED) -> list[MakeRequest]:
    """A connection each, members in turn, always asking for the same page."""
    asking = itertools.islice(itertools.cycle(members), connections)
    return [same(request("GET", path, member.headers())) for member in asking]


def comments(targets: Sequence[tuple[Member, int]]) -> MakeRequest:
    """One connection's comments: each target in turn, as this member on this post, never twice the same words."""
    prepared = [(member.headers(), f"{FEED}{post_id}/comments/") for member, post_id in targets]
    turns, numbers = itertools.cycle(prepared), itertools.count()

    def make() -> bytes:
        headers, path = next(turns)
        return request("POST", path, headers, orjson.dumps({"content": f"{next(numbers)}: {PARAGRAPH}"}))

    return make


def reactions(targets: Sequence[tuple[Member, int]]) -> MakeRequest:
    """One connection's reactions: each target in turn, on at its first visit and off at its next."""
    body = orjson.dumps({"reaction_type": "fire"})
    prepared = [
        request("POST", f"{FEED}{post_id}/react/", member.headers(), body) for member, post_id in targets
    ]
    turns = itertools.cycle(prepared)
    return lambda: next(turns)
