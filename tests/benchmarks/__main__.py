"""`python -m tests.benchmarks`: runs the works one after another, prints the table and writes the results.
Which works there are is listed here; what they do is in the `rows_` modules.
"""

import argparse
import resource
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from tests.benchmarks import (
    rows_boards,
    rows_comparing,
    rows_connections,
    rows_delivery,
    rows_fanout,
    rows_feed,
    rows_instances,
    rows_push,
    rows_uploads,
    rows_writes,
)
from tests.benchmarks.report import print_table, write_json
from tests.benchmarks.runner import Bench, Result, chosen, run_work
from tests.support.processes import LOAD_CORE, pin

# Wide enough for the table where the output goes to a file.
WIDTH = 120

WORKS = [
    *rows_fanout.WORKS,
    *rows_delivery.WORKS,
    *rows_instances.WORKS,
    *rows_comparing.WORKS,
    *rows_connections.WORKS,
    *rows_feed.WORKS,
    *rows_boards.WORKS,
    *rows_writes.WORKS,
    *rows_uploads.WORKS,
    *rows_push.WORKS,
]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--only", metavar="NAME", help="only the rows with NAME in their name")
    parser.add_argument(
        "--quick", action="store_true", help="one short turn each: shows that it runs, proves nothing"
    )
    parser.add_argument("--json", metavar="PATH", type=Path, default=Path("bench-results.json"))
    parser.add_argument("--list", action="store_true", help="name the rows and end")
    return parser.parse_args()


def prepare_process() -> None:
    """The load's core, as many open files as allowed, and an orderly end on SIGTERM."""
    pin(LOAD_CORE)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def main() -> None:
    options = arguments()
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    works = list(chosen(WORKS, options.only))
    if options.list:
        for work in works:
            for row in work.rows:
                console.print(row.name, highlight=False)
        return
    prepare_process()
    results: list[Result] = []
    try:
        with ExitStack() as stack:
            bench = Bench(stack, quick=options.quick, say=lambda text: console.print(text, style="dim"))
            for at, work in enumerate(works, 1):
                bench.say(f"{at}/{len(works)} {work.rows[0].name}")
                results += run_work(work, bench, turns=1 if options.quick else None)
    finally:
        # What was measured before somebody lost patience is worth as much as the rest.
        print_table(console, results)
        write_json(options.json, results)
    sys.exit(0 if any(result.ours for result in results) else 1)


if __name__ == "__main__":
    main()
