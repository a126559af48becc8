"""Two instances of one room, joined by Redis: fan-out from one to the members of both, and from a comment on one to its
last receipt on the other. Both share the servers' core, as do the two processes of each peer; one instance is measured
in other rows.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from tests.benchmarks import cohort, rows_fanout
from tests.benchmarks.rows_delivery import SUBSCRIBERS, audience, bare_comment, paced_comments
from tests.benchmarks.rows_fanout import HUB, PEERS, Peer
from tests.benchmarks.runner import Bench, Figure, Measure, Row, Side, Work, difference

SPREAD_HUB = replace(HUB, needs_redis=True)
SPREAD_PEERS = tuple(peer for peer in PEERS if peer.needs_redis)

# How many of the members are on the instance that publishes.
HALF, NOBODY = SUBSCRIBERS // 2, 0
LAYOUTS = {"over two instances": HALF, "all elsewhere": NOBODY}


def spread(peer: Peer, here: int) -> Callable[[Bench, ExitStack], Measure]:
    """One event to all members, `here` of them on the instance that publishes it and the rest on the other."""

    def start(bench: Bench, stack: ExitStack) -> Measure:
        server, room = rows_fanout.open_room(peer, (here, SUBSCRIBERS - here), bench, stack)
        return lambda: {"rate": rows_fanout.deliveries_a_second(server, room, 1, bench.seconds(2))}

    return start


def fanout_work(layout: str, here: int) -> Work:
    """Our two instances beside two processes of each peer, and beside one of ours without Redis."""
    ours = f"{layout}, ours"
    alone = rows_fanout.side(HUB, SUBSCRIBERS, name="one instance")
    unit, name = "deliveries/s", f"fan-out 1,000 {layout}"
    return Work(
        [Side(ours, spread(SPREAD_HUB, here)), alone]
        + [Side(peer.name, spread(peer, here)) for peer in SPREAD_PEERS],
        [Row(f"{name}: one instance", unit, Figure(ours), Figure(alone.name))]
        + [
            Row(f"{name}: {peer.label}", unit, Figure(ours), Figure(peer.name), peer.goal)
            for peer in SPREAD_PEERS
        ],
    )


def comments(bench: Bench, stack: ExitStack) -> Measure:
    """Paced comments on the first of two instances: in one group all members are on the other, in one on the same."""
    first, second = (cohort.start(bench, stack, redis=True) for _ in range(2))
    measures: dict[str, Measure] = {}
    for where, server in {"other": second, "same": first}.items():
        chosen = audience(bench, f"on the {where}")
        room = cohort.live_room(bench, server, chosen, SUBSCRIBERS, stack)
        measures[where] = paced_comments(bench, first, room, chosen, stack)
    return lambda: {
        f"{where} {name}": figure for where, each in measures.items() for name, figure in each().items()
    }


COMMENTS = Work(
    [Side("two", comments), Side("bare", bare_comment)],
    [
        Row(
            "POST comment to 1,000 elsewhere, p99: bare transaction",
            "ms",
            Figure("two", "other p99"),
            Figure("bare", "p99"),
            difference(most=15),
        ),
        *(
            Row(
                f"POST comment to 1,000 elsewhere, {name}: on the same",
                "ms",
                Figure("two", f"other {name}"),
                Figure("two", f"same {name}"),
            )
            for name in ("p50", "p99")
        ),
    ],
)

WORKS = [*(fanout_work(layout, here) for layout, here in LAYOUTS.items()), COMMENTS]
