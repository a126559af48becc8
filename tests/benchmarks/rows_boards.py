"""Reading leaderboards: a group as trainers have them beside the bare query, and a very large one.
The feed and writing are in other rows.
"""

import json
from contextlib import ExitStack

from tests.benchmarks import cohort
from tests.benchmarks.population import training_group
from tests.benchmarks.processes import Server
from tests.benchmarks.rows_feed import measure
from tests.benchmarks.runner import Bench, Figure, Measure, Row, Side, Work, ratio, value

BOARD = "/api/community/leaderboard/?metric=current_streak&period=weekly"
CONNECTIONS, MEMBERS, MANY_MEMBERS = 32, 50, 5_000


def ours(bench: Bench, stack: ExitStack) -> Measure:
    members = training_group(bench, MEMBERS).trainees
    server = cohort.start(bench, stack)
    return measure(cohort.loop(server, cohort.reads(members, CONNECTIONS, BOARD), stack), bench)


def bare(bench: Bench, stack: ExitStack) -> Measure:
    """The same query by the same driver and as many who ask, and nothing else."""
    trainer_id = training_group(bench, MEMBERS).community_id
    server = stack.enter_context(
        Server.peer("bare_board", "--mongodb", bench.mongodb_uri, "--trainer", str(trainer_id))
    )
    server.ask(f"{CONNECTIONS} {bench.seconds(1)}")
    return lambda: json.loads(server.ask(f"{CONNECTIONS} {bench.seconds(2)}"))


def many(bench: Bench, stack: ExitStack) -> Measure:
    """One phone after another, so that it is the server's own time that is measured."""
    members = training_group(bench, bench.count(MANY_MEMBERS)).trainees
    server = cohort.start(bench, stack)
    return measure(cohort.loop(server, cohort.reads(members, 1, BOARD), stack), bench)


WORKS = [
    Work(
        [Side("ours", ours), Side("bare query", bare)],
        [
            Row(
                "GET leaderboard, 50: bare query",
                "requests/s",
                Figure("ours"),
                Figure("bare query"),
                ratio(0.5),
            )
        ],
    ),
    Work(
        [Side("ours", many)],
        [Row("GET leaderboard, 5,000", "ms", Figure("ours", "p50"), None, value(most=150))],
    ),
]
