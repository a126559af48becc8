"""Comments that phones are to ring for: how long their requests take while FCM hangs, beside a server without FCM.
What becomes of the pushes is tested in `tests.push` and `tests.community`.
"""

import re
import signal
from contextlib import ExitStack
from urllib.request import urlopen

from tests.benchmarks import cohort
from tests.benchmarks.load import LoadError
from tests.benchmarks.load_http import HttpLoop
from tests.benchmarks.population import group, with_phones
from tests.benchmarks.processes import Server
from tests.benchmarks.runner import Bench, Figure, Measure, Row, Side, Work, ratio
from tests.support.processes import LOAD_CORE

# The makers of a group let its first 50 trainees write its posts; one more comments, so never on their own.
AUTHORS = 50
# More than are commented on in all turns: a second comment within five minutes rings nowhere.
POSTS = 20_000
# As long as a hanging FCM is waited for (8 s), so that each turn has its share of batches that are given up.
MEASURED_SECONDS = 8
# A write waits for the disk, so turns differ by a fifth; what FCM adds is less than a tenth.
TURNS = 9
# The first push loads Google's library.
WARM_SECONDS = 4
# What piled up while a server stood still is over before its turn begins.
WAKING_SECONDS = 1
ACCEPTED = re.compile(r'^cohort_push_notices_total\{result="accepted"\} ([0-9.e+]+)$', re.MULTILINE)


def writing(bench: Bench, server: Server, whose: str, stack: ExitStack) -> HttpLoop:
    """One person who comments on one post after the other; their authors all have a phone."""
    everyone = group(bench, f"ringing {whose}", trainees=AUTHORS + 1, posts=POSTS)
    with_phones(bench, everyone.trainees)
    writer = everyone.trainees[AUTHORS]
    return cohort.loop(server, [cohort.comments([(writer, post_id) for post_id in everyone.post_ids])], stack)


def hanging(bench: Bench, stack: ExitStack) -> Measure:
    arguments = ["-m", "tests.benchmarks.peers.hanging_fcm", "--account", str(bench.folder)]
    host, port = stack.enter_context(Server.start(arguments, core=LOAD_CORE)).address
    account = {
        "FIREBASE_CREDENTIALS_PATH": str(bench.folder / "service-account.json"),
        "FCM_API_BASE": f"http://{host}:{port}",
    }
    server = cohort.start(bench, stack, more=account)
    # An orderly end would wait for FCM.
    stack.callback(server.process.kill)
    loop = writing(bench, server, "hanging", stack)
    loop.run(bench.seconds(WARM_SECONDS))

    def measure() -> dict[str, float]:
        # Between its turns it stands still: the pushes that it goes on with are not to slow down the other side.
        server.process.send_signal(signal.SIGCONT)
        loop.run(bench.seconds(WAKING_SECONDS))
        before = accepted(server)
        figures = loop.run(bench.seconds(MEASURED_SECONDS)).figures()
        rang = accepted(server) - before
        if rang < figures["rate"] * bench.seconds(MEASURED_SECONDS) * 0.99:
            raise LoadError(f"only {rang:.0f} of the comments were to ring: there are too few posts")
        server.process.send_signal(signal.SIGSTOP)
        return figures

    return measure


def accepted(server: Server) -> float:
    """How many notices the server has taken for sending since its start."""
    host, port = server.address
    with urlopen(f"http://{host}:{port}/metrics") as answer:
        found = ACCEPTED.search(answer.read().decode())
    return float(found[1]) if found else 0.0


def without(bench: Bench, stack: ExitStack) -> Measure:
    loop = writing(bench, cohort.start(bench, stack), "without", stack)
    loop.run(bench.seconds(WARM_SECONDS))

    def measure() -> dict[str, float]:
        loop.run(bench.seconds(WAKING_SECONDS))
        return loop.run(bench.seconds(MEASURED_SECONDS)).figures()

    return measure


WORKS = [
    Work(
        [Side("FCM hangs", hanging), Side("no FCM", without)],
        [
            Row(
                f"POST comment while FCM hangs, {percent}: without FCM",
                "ms",
                Figure("FCM hangs", percent),
                Figure("no FCM", percent),
                ratio(most=1.1),
            )
            for percent in ("p50", "p99")
        ],
        turns=TURNS,
    )
]
