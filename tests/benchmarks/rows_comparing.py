"""Comparing the rooms of an instance with the database: what it costs at its beat, and when rooms were left behind.
How live events travel while all is well is in the rows of fan-out and delivery.
"""

import json
from contextlib import ExitStack

from realtime.hub import COMPARE_SECONDS, COMPARE_UNHEALTHY_SECONDS
from tests.benchmarks.population import rooms
from tests.benchmarks.processes import Server
from tests.benchmarks.runner import Bench, Figure, Measure, Row, Side, Work

ROOMS = 1_000
OURS = "rooms"

# The beat of each state, by which its time on a core becomes a share of it. Rooms fall behind while Redis is away.
BEATS = {
    "quiet": COMPARE_SECONDS,
    "reacted": COMPARE_SECONDS,
    "behind": COMPARE_UNHEALTHY_SECONDS,
}


def compared(bench: Bench, stack: ExitStack) -> Measure:
    """A process with a thousand live rooms; each turn gives the figures of all states."""
    every = rooms(bench, "compared rooms", count=bench.count(ROOMS))
    path = bench.folder / "compared.json"
    path.write_text(
        json.dumps(
            [
                {
                    "community_id": each.community_id,
                    "user_id": each.trainer.user_id,
                    "post_id": each.post_ids[0],
                }
                for each in every
            ]
        )
    )
    server = stack.enter_context(
        Server.peer("cohort_rooms", "--mongodb", bench.mongodb_uri, "--plan", str(path))
    )

    def measure() -> dict[str, float]:
        figures = json.loads(server.ask(str(bench.seconds(3))))
        return figures | {
            f"{state} {side}share": figures[f"{state} {side}cpu"] / 1e3 / beat * 100
            for state, beat in BEATS.items()
            for side in ("", "database ")
        }

    return measure


def duration(what: str, state: str) -> Row:
    return Row(f"{what}: ping", "ms", Figure(OURS, f"{state} p50"), Figure(OURS, "ping p50"))


def share(what: str, state: str) -> Row:
    return Row(
        f"{what}, core: database's",
        "%",
        Figure(OURS, f"{state} share"),
        Figure(OURS, f"{state} database share"),
    )


WORKS = [
    Work(
        [Side(OURS, compared)],
        [
            duration("comparing 1,000 rooms", "quiet"),
            duration("comparing 1,000 rooms, 100 new levels", "reacted"),
            duration("comparing 1,000 rooms, 100 behind", "behind"),
            Row(
                "comparing 1,000 rooms, holding the loop: ping",
                "ms",
                Figure(OURS, "held p50"),
                Figure(OURS, "ping p50"),
            ),
            share("comparing 1,000 each 5 s", "quiet"),
            share("comparing 1,000 each 5 s, 100 new levels", "reacted"),
            share("comparing 1,000 each 1 s, 100 behind", "behind"),
        ],
    )
]
