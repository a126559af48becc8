"""From a change to the phones that follow: with requests beside it, and from a comment's request to its last receipt.
Plain fan-out, without database or requests, is in its own rows.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from select import EPOLLIN, epoll

from tests.benchmarks import cohort
from tests.benchmarks.load import LoadError, Room
from tests.benchmarks.load_http import HttpLoop, percentile
from tests.benchmarks.population import group
from tests.benchmarks.processes import Server
from tests.benchmarks.rows_writes import ask_bare, start_bare
from tests.benchmarks.runner import Bench, Figure, Measure, Row, Side, Work, difference, ratio
from tests.support.population import Group

SUBSCRIBERS, CONNECTIONS = 1_000, 32

# Twenty changes a second are a very lively group.
PAUSE_SECONDS, MEASURED_SECONDS, LATE_SECONDS = 0.05, 8, 10


def audience(bench: Bench, whose: str) -> Group:
    """A group for one server: two on the same room would hear of each other's changes late, by its event log."""
    return group(bench, f"audience {whose}", trainees=SUBSCRIBERS // cohort.SOCKETS_A_USER, posts=200)


def paced(seconds: float) -> Iterator[float]:
    """The moments of the coming changes, evenly spaced."""
    began = time.monotonic() + PAUSE_SECONDS
    for number in range(max(10, int(seconds / PAUSE_SECONDS))):
        yield began + number * PAUSE_SECONDS


class Watch:
    """Reads a room and, beside it, the answers of a request loop, in one thread and without spinning."""

    def __init__(self, room: Room, http: HttpLoop | None = None) -> None:
        self.room = room
        self.http = http
        self.epoll = epoll()
        for each in (room, http):
            if each is not None:
                self.epoll.register(each.epoll.fileno(), EPOLLIN)

    def until(self, moment: float) -> None:
        """Reads until that moment."""
        while (left := moment - time.monotonic()) > 0:
            self._step(left)

    def round(self) -> None:
        """Reads until each member has what the room expects, and no answer is due from a paused loop."""
        late = time.monotonic() + LATE_SECONDS
        while not self.room.complete:
            self._step(0.1)
            if time.monotonic() > late:
                raise LoadError("some subscribers did not get the event")

    def _step(self, seconds: float) -> None:
        self.epoll.poll(seconds)
        self.room.step(0)
        if self.http is not None:
            self.http.step(0)


def fanout_figures(server: Server, watch: Watch, seconds: float) -> dict[str, float]:
    """Paced posts, each timed from its publishing to its last receipt."""
    took = []
    for moment in paced(seconds):
        watch.until(moment)
        watch.room.expect(1)
        server.publish(1)
        watch.round()
        took.append(watch.room.delivery.seconds)
    return {"p50": percentile(took, 50) * 1e3, "p99": percentile(took, 99) * 1e3}


def fanout(bench: Bench, stack: ExitStack, *, beside: bool) -> Measure:
    chosen = audience(bench, "beside" if beside else "alone")
    server = stack.enter_context(
        Server.peer("cohort_server", "--user", str(chosen.trainer.user_id), env=cohort.environment(bench))
    )
    room = cohort.live_room(bench, server, chosen, SUBSCRIBERS, stack)
    http = cohort.loop(server, cohort.reads(chosen.trainees, CONNECTIONS), stack) if beside else None
    watch = Watch(room, http)

    def measure() -> dict[str, float]:
        if http is None:
            return fanout_figures(server, watch, bench.seconds(MEASURED_SECONDS))
        http.start()
        figures = fanout_figures(server, watch, bench.seconds(MEASURED_SECONDS))
        answered = http.result(bench.seconds(MEASURED_SECONDS)).figures()
        http.settle()
        return {**figures, "requests": answered["rate"]}

    return measure


def alone(bench: Bench, stack: ExitStack) -> Measure:
    return fanout(bench, stack, beside=False)


def beside_requests(bench: Bench, stack: ExitStack) -> Measure:
    return fanout(bench, stack, beside=True)


def comment_to_receipt(bench: Bench, stack: ExitStack) -> Measure:
    """Paced comments to subscribers of the same server."""
    chosen = audience(bench, "comments")
    server = cohort.start(bench, stack)
    room = cohort.live_room(bench, server, chosen, SUBSCRIBERS, stack)
    return paced_comments(bench, server, room, chosen, stack)


def paced_comments(bench: Bench, server: Server, room: Room, chosen: Group, stack: ExitStack) -> Measure:
    """Paced comments over HTTP, each timed from the first byte of its request to its last receipt in the room."""
    author = chosen.trainees[0]
    http = cohort.loop(server, [cohort.comments([(author, post_id) for post_id in chosen.post_ids])], stack)
    watch = Watch(room, http)

    def measure() -> dict[str, float]:
        took = []
        for moment in paced(bench.seconds(MEASURED_SECONDS)):
            watch.until(moment)
            room.expect(1)
            began = time.monotonic_ns()
            http.ask_once()
            watch.round()
            took.append((room.delivery.last_ns - began) / 1e9)
            http.settle()
            if b" 201 " not in http.last_answer[:15]:
                raise LoadError(f"a comment was answered {http.last_answer[:100]!r}")
        return {"p50": percentile(took, 50) * 1e3, "p99": percentile(took, 99) * 1e3}

    return measure


def bare_comment(bench: Bench, stack: ExitStack) -> Measure:
    """One writer of the bare transaction at the same pace, in a room of its own."""
    own = group(bench, "bare audience", trainees=1, posts=200)
    server = start_bare(bench, stack, [[(own.trainees[0], post_id) for post_id in own.post_ids]])
    return lambda: ask_bare(server, "comment", bench.seconds(MEASURED_SECONDS), PAUSE_SECONDS)


WORKS = [
    Work(
        [Side("beside REST", beside_requests), Side("alone", alone)],
        [
            Row(
                "fan-out p99 beside REST: alone",
                "ms",
                Figure("beside REST", "p99"),
                Figure("alone", "p99"),
                ratio(most=2),
            )
        ],
    ),
    Work(
        [Side("comment", comment_to_receipt), Side("bare", bare_comment)],
        [
            Row(
                "POST comment to last of 1,000, p99: bare transaction",
                "ms",
                Figure("comment", "p99"),
                Figure("bare", "p99"),
                difference(most=15),
            ),
        ],
    ),
]
