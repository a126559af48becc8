"""Reading the feed: the page that every phone asks for, beside a constant body and beside FastAPI, and as it grows.
Delivery over sockets and writing are in other rows.
"""

import re
from collections.abc import Callable
from contextlib import ExitStack

import orjson

from tests.benchmarks import cohort
from tests.benchmarks.load import LoadError
from tests.benchmarks.load_http import HttpLoop, MakeRequest, request
from tests.benchmarks.population import group
from tests.benchmarks.processes import Server, require
from tests.benchmarks.runner import Bench, Figure, Measure, Row, Side, Work, ratio
from tests.support.population import Group, Member

CONNECTIONS, MANY_CONNECTIONS = 32, 256
POSTS, MANY_POSTS, DEEP_PAGE = 1_000, 1_000_000, 5_000
REQUESTS = "requests/s"
ETAG = re.compile(rb"(?i)\r\netag: *(\S+)")

Start = Callable[[Bench, ExitStack], Measure]


def feed_group(bench: Bench) -> Group:
    return group(bench, "feed", trainees=MANY_CONNECTIONS, posts=POSTS)


def big_group(bench: Bench) -> Group:
    return group(bench, "big", trainees=CONNECTIONS, posts=bench.count(MANY_POSTS))


def measure(loop: HttpLoop, bench: Bench, status: int = 200) -> Measure:
    """Two seconds of the loop a turn, after a short one that warms connections and caches."""
    loop.run(bench.seconds(1))

    def once() -> dict[str, float]:
        result = loop.run(bench.seconds(2))
        if set(result.statuses) != {status}:
            raise LoadError(f"answers: {dict(result.statuses)} instead of {status}")
        return result.figures()

    return once


def first_answer(server: Server, member: Member, path: str = cohort.FEED) -> tuple[bytes, bytes]:
    """The head and the body of one answer."""
    with HttpLoop(server.address, [cohort.same(request("GET", path, member.headers()))]) as loop:
        loop.once()
        head, _, body = loop.last_answer.partition(b"\r\n\r\n")
    if b" 200 " not in head[:15]:
        raise LoadError(f"GET {path}: {head[:100]!r}")
    return head, body


def ours(connections: int = CONNECTIONS, choose: Callable[[Bench], Group] = feed_group) -> Start:
    def start(bench: Bench, stack: ExitStack) -> Measure:
        members = choose(bench).trainees
        server = cohort.start(bench, stack)
        return measure(cohort.loop(server, cohort.reads(members, connections), stack), bench)

    return start


def unchanged(bench: Bench, stack: ExitStack) -> Measure:
    """Phones that have the page already: each sends the tag of its own last answer."""
    members = feed_group(bench).trainees[:CONNECTIONS]
    server = cohort.start(bench, stack)
    return measure(
        cohort.loop(server, [revalidation(server, member) for member in members], stack), bench, 304
    )


def revalidation(server: Server, member: Member) -> MakeRequest:
    head, _ = first_answer(server, member)
    tag = ETAG.search(head)
    if tag is None:
        raise LoadError("the feed's answer has no ETag")
    return cohort.same(request("GET", cohort.FEED, {**member.headers(), "If-None-Match": tag[1].decode()}))


def constant(bench: Bench, stack: ExitStack) -> Measure:
    """Tornado with a body as large as our page."""
    member = feed_group(bench).trainees[0]
    with ExitStack() as asking:
        _, body = first_answer(cohort.start(bench, asking), member)
    server = stack.enter_context(Server.peer("constant_body", "--bytes", str(len(body))))
    return measure(cohort.loop(server, cohort.reads([member], CONNECTIONS), stack), bench)


def fastapi(bench: Bench, stack: ExitStack) -> Measure:
    require(["fastapi", "uvicorn", "orjson"])
    chosen = feed_group(bench)
    server = stack.enter_context(
        Server.peer("fastapi_pymongo", "--mongodb", bench.mongodb_uri, "--database", "cohort")
    )
    makers = [
        cohort.same(
            request("GET", cohort.FEED, {"Community": str(chosen.community_id), "User": str(member.user_id)})
        )
        for member in chosen.trainees[:CONNECTIONS]
    ]
    return measure(cohort.loop(server, makers, stack), bench)


def at_page(choose: Callable[[Bench], Group], number: Callable[[Bench], int]) -> Start:
    """Readers who are that many pages down, having gone there as a phone does.

    The first page comes from memory while nothing changes; the second is the first that shows what reading costs.
    """

    def start(bench: Bench, stack: ExitStack) -> Measure:
        chosen = choose(bench)
        server = cohort.start(bench, stack)
        path = path_of_page(server, chosen.trainees[0], number(bench))
        return measure(cohort.loop(server, cohort.reads(chosen.trainees, CONNECTIONS, path), stack), bench)

    return start


def path_of_page(server: Server, member: Member, number: int) -> str:
    """Follows `next` from the first page."""
    path = cohort.FEED
    headers = member.headers()
    with HttpLoop(server.address, [lambda: request("GET", path, headers)]) as loop:
        for _ in range(number - 1):
            loop.once()
            following = orjson.loads(loop.last_answer.partition(b"\r\n\r\n")[2])["next"]
            if following is None:
                raise LoadError("the feed ended before the page that is measured")
            path = cohort.FEED + following[following.index("?") :]
    return path


WORKS = [
    Work(
        [
            Side("ours", ours()),
            Side("304", unchanged),
            Side("constant body", constant),
            Side("FastAPI", fastapi),
        ],
        [
            Row("GET feed: constant body", REQUESTS, Figure("ours"), Figure("constant body"), ratio(0.35)),
            Row(
                "GET feed 304: constant body",
                REQUESTS,
                Figure("304"),
                Figure("constant body"),
                ratio(0.7),
            ),
            Row("GET feed: FastAPI + PyMongo", REQUESTS, Figure("ours"), Figure("FastAPI"), ratio(1.5)),
        ],
    ),
    Work(
        [Side("ours", ours(MANY_CONNECTIONS))],
        [
            Row(
                "GET feed p99 at 256: its median",
                "ms",
                Figure("ours", "p99"),
                Figure("ours", "p50"),
                ratio(most=2),
            ),
        ],
    ),
    Work(
        [
            Side("deep", at_page(big_group, lambda bench: bench.count(DEEP_PAGE))),
            Side("first", at_page(big_group, lambda _: 1)),
            Side("second", at_page(big_group, lambda _: 2)),
            Side("first of few", at_page(feed_group, lambda _: 1)),
            Side("second of few", at_page(feed_group, lambda _: 2)),
        ],
        [
            Row("GET feed page 5,000: page 1", REQUESTS, Figure("deep"), Figure("first"), ratio(0.83)),
            Row("GET feed page 5,000: page 2", REQUESTS, Figure("deep"), Figure("second"), ratio(0.83)),
            Row(
                "GET feed 1,000,000 posts: 1,000",
                REQUESTS,
                Figure("first"),
                Figure("first of few"),
                ratio(0.77),
            ),
            Row(
                "GET page 2 1,000,000 posts: 1,000",
                REQUESTS,
                Figure("second"),
                Figure("second of few"),
                ratio(0.77),
            ),
        ],
    ),
]
