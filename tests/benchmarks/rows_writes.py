"""Writing: comments and reactions of 32 phones at once, beside the bare transactions and where all meet in one place.
What followers receive of it is in the rows of delivery.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from pymongo import MongoClient

from tests.benchmarks import cohort
from tests.benchmarks.load_http import MakeRequest
from tests.benchmarks.population import group, rooms
from tests.benchmarks.processes import Server
from tests.benchmarks.runner import Bench, Figure, Measure, Row, Side, Work, ratio, value
from tests.support.population import Group, Member

WRITERS, POSTS, ROOMS = 32, 1_000, 100

# One writer's targets: who writes about which post.
Targets = list[tuple[Member, int]]
Plan = Callable[[Bench, str], list[Targets]]


def many_rooms(bench: Bench, whose: str) -> list[Targets]:
    """Each writer has rooms that no other writes in: their trainers comment on their own posts."""
    every = rooms(bench, f"many rooms {whose}", count=ROOMS)
    return [_in_turn(every[writer::WRITERS]) for writer in range(WRITERS)]


def own_rooms(bench: Bench, whose: str) -> list[Targets]:
    """Each writer has a room for itself and goes through its posts."""
    return [_in_turn([each]) for each in rooms(bench, f"own rooms {whose}", count=WRITERS)]


def one_room(bench: Bench, whose: str) -> list[Targets]:
    """All write in one room, about posts of which each writer has some for itself."""
    return _each_with_own_posts(writers_group(bench, whose))


def one_post(bench: Bench, whose: str) -> list[Targets]:
    """All write about the same post."""
    everyone = writers_group(bench, whose)
    return [[(member, everyone.post_ids[0])] for member in everyone.trainees[:WRITERS]]


def writers_group(bench: Bench, whose: str) -> Group:
    return group(bench, f"writers {whose}", trainees=WRITERS, posts=POSTS)


def _in_turn(own: Sequence[Group]) -> Targets:
    return [(each.trainer, each.post_ids[number]) for number in range(len(own[0].post_ids)) for each in own]


def _each_with_own_posts(everyone: Group) -> list[Targets]:
    return [
        [(member, post_id) for post_id in everyone.post_ids[writer::WRITERS]]
        for writer, member in enumerate(everyone.trainees[:WRITERS])
    ]


def ours(plan: Plan, make: Callable[[Targets], MakeRequest]) -> Callable[[Bench, ExitStack], Measure]:
    """The server under 32 writers, each on its own connection."""

    def start(bench: Bench, stack: ExitStack) -> Measure:
        makers = [make(targets) for targets in plan(bench, "ours")]
        loop = cohort.loop(cohort.start(bench, stack), makers, stack)
        loop.run(bench.seconds(1))
        return lambda: loop.run(bench.seconds(3)).figures()

    return start


def bare(plan: Plan, kind: str) -> Callable[[Bench, ExitStack], Measure]:
    """The same writers with the bare transaction, on documents of their own."""

    def start(bench: Bench, stack: ExitStack) -> Measure:
        server = start_bare(bench, stack, plan(bench, "bare"))
        ask_bare(server, kind, bench.seconds(1))
        return lambda: ask_bare(server, kind, bench.seconds(3))

    return start


def start_bare(bench: Bench, stack: ExitStack, plan: list[Targets]) -> Server:
    """The peer with these writers, who go on from where the rooms' numbering is."""
    with MongoClient(bench.mongodb_uri) as client:
        seqs = {each["_id"]: each["seq"] for each in client["cohort"]["communities"].find({}, ["seq"])}
    writers = [
        [
            {
                "user_id": member.user_id,
                "community_id": member.community_id,
                "post_id": post_id,
                "seq": seqs[member.community_id],
            }
            for member, post_id in targets
        ]
        for targets in plan
    ]
    path = bench.folder / "plan.json"
    path.write_text(json.dumps(writers))
    return stack.enter_context(
        Server.peer("bare_transaction", "--mongodb", bench.mongodb_uri, "--plan", str(path))
    )


def ask_bare(server: Server, kind: str, seconds: float, pause: float = 0) -> dict[str, float]:
    return json.loads(server.ask(f"{kind} {seconds} {pause}"))


WORKS = [
    Work(
        [
            Side("comments", ours(own_rooms, cohort.comments)),
            Side("bare comments", bare(own_rooms, "comment")),
            Side("100 rooms", ours(many_rooms, cohort.comments)),
            Side("one room", ours(one_room, cohort.comments)),
        ],
        [
            Row(
                "POST comment: bare transaction",
                "/s",
                Figure("comments"),
                Figure("bare comments"),
                ratio(0.6),
            ),
            Row("facts in one room: 100 rooms", "/s", Figure("one room"), Figure("100 rooms"), ratio(0.3)),
            Row("facts in one room", "/s", Figure("one room"), None, value(300)),
        ],
    ),
    Work(
        [
            Side("reactions", ours(one_room, cohort.reactions)),
            Side("bare reactions", bare(one_room, "reaction")),
            Side("one post", ours(one_post, cohort.reactions)),
        ],
        [
            Row(
                "POST react: bare transaction",
                "/s",
                Figure("reactions"),
                Figure("bare reactions"),
                ratio(0.6),
            ),
            Row("react on one post: 1,000 posts", "/s", Figure("one post"), Figure("reactions"), ratio(0.3)),
            Row("react on one post, p99", "ms", Figure("one post", "p99"), None, value(most=250)),
        ],
    ),
]
