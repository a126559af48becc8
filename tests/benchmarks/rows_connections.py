"""Connections themselves: how fast phones are let back in, what an idle one costs, and how soon a server is there.
What flows over them is in other rows.
"""

import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from store.embedded import EmbeddedMongo
from tests.benchmarks import cohort
from tests.benchmarks.load import Joining, LoadError, Room
from tests.benchmarks.load_http import HttpLoop, request
from tests.benchmarks.population import group
from tests.benchmarks.processes import Server
from tests.benchmarks.runner import Bench, Figure, Measure, Row, Side, Work, difference, value
from tests.support.population import Group

CONNECTIONS, FIRST_CONNECTIONS = 4_000, 200
SETTLE_SECONDS, READY_SECONDS, STORM_SECONDS = 1.0, 30.0, 60.0

# All at once, as after a restart of the balancer.
STORM = Joining(greetings=1, in_flight=CONNECTIONS)
SHALLOW = ("-m", "tests.benchmarks.peers.default_backlog")


def crowd(bench: Bench) -> Group:
    return group(bench, "crowd", trainees=bench.count(CONNECTIONS) // cohort.SOCKETS_A_USER, posts=50)


def storm(bench: Bench, stack: ExitStack, *launcher: str) -> Measure:
    """Connections a second until each has its first frame, its token checked."""
    chosen = crowd(bench)
    server = cohort.start(bench, stack, launcher=launcher or ("server.py",))

    def measure() -> dict[str, float]:
        paths = cohort.socket_paths(chosen, bench.count(CONNECTIONS))
        with Room(server.address, STORM) as room:
            seconds = room.open(paths, STORM_SECONDS)
        # The next turn begins with nobody left inside.
        time.sleep(SETTLE_SECONDS)
        return {"rate": len(paths) / seconds}

    return measure


def deep(bench: Bench, stack: ExitStack) -> Measure:
    return storm(bench, stack)


def shallow(bench: Bench, stack: ExitStack) -> Measure:
    return storm(bench, stack, *SHALLOW)


def idle_memory(bench: Bench, _stack: ExitStack) -> Measure:
    """What each further connection adds to a server that has some; a new server a turn, as memory is kept."""
    chosen = crowd(bench)

    def measure() -> dict[str, float]:
        with ExitStack() as stack:
            server = cohort.start(bench, stack)
            paths = cohort.socket_paths(chosen, bench.count(CONNECTIONS))
            first = bench.count(FIRST_CONNECTIONS)
            room = stack.enter_context(Room(server.address, cohort.GREETED))
            room.open(paths[:first])
            time.sleep(SETTLE_SECONDS)
            before = server.memory_bytes()
            room.open(paths[first:])
            time.sleep(SETTLE_SECONDS)
            return {"bytes": (server.memory_bytes() - before) / (len(paths) - first) / 1_024}

    return measure


def to_ready(_bench: Bench, _stack: ExitStack) -> Measure:
    """From starting the program, with an empty folder, to its first good answer on `/readyz`."""

    def measure() -> dict[str, float]:
        with TemporaryDirectory() as folder, ExitStack() as stack:
            began = time.monotonic()
            started = Server.start(["server.py", "--port", "0", "--data-dir", folder], core=None)
            server = stack.enter_context(started)
            with HttpLoop(server.address, [lambda: request("GET", "/readyz")]) as loop:
                while b" 200 " not in loop.last_answer[:15]:
                    loop.once()
                    if time.monotonic() - began > READY_SECONDS:
                        raise LoadError("the server was not ready in time")
            return {"seconds": time.monotonic() - began}

    return measure


def database_alone(_bench: Bench, _stack: ExitStack) -> Measure:
    def measure() -> dict[str, float]:
        with TemporaryDirectory() as folder:
            began = time.monotonic()
            database = EmbeddedMongo.start(Path(folder))
            took = time.monotonic() - began
            database.stop()
            return {"seconds": took}

    return measure


WORKS = [
    Work(
        [Side("deep", deep), Side("default backlog", shallow)],
        [
            Row(
                "accepting 4,000: default backlog",
                "/s",
                Figure("deep"),
                Figure("default backlog"),
                value(2_000),
            )
        ],
    ),
    Work(
        [Side("idle", idle_memory)],
        [Row("memory of an idle connection", "KiB", Figure("idle", "bytes"), None, value(most=16))],
    ),
    Work(
        [Side("server", to_ready), Side("mongod", database_alone)],
        [
            Row(
                "start to /readyz: mongod alone",
                "s",
                Figure("server", "seconds"),
                Figure("mongod", "seconds"),
                difference(most=1.5),
            ),
        ],
    ),
]
