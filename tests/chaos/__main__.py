"""`python -m tests.chaos NAME`: runs one scenario, shows what it measured, and says by its exit code if all holds.
Without a name it lists the scenarios. What they do is in modules of their own.
"""

import argparse
import asyncio
import json
import resource
import secrets
import signal
import sys
import traceback

from rich.console import Console
from rich.table import Table

from tests.chaos.frame import Options, Report, Scenario
from tests.chaos.scenarios import NAMES, scenario
from tests.support.balancers import program_path

HOLDS, FAILS, CANNOT_RUN = 0, 1, 3
# Wide enough for the table where the output goes to a file.
WIDTH = 110


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument(
        "name", nargs="?", choices=NAMES, metavar="NAME", help="the scenario; none: list them"
    )
    parser.add_argument("--n", type=positive, metavar="N", help="how many of what the scenario counts")
    parser.add_argument("--seed", type=int, metavar="S", help="repeat the choices of an earlier run")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="small, and speed is not judged: shows that it runs and nothing is lost",
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON in place of the table")
    return parser.parse_args()


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def main() -> int:
    given = arguments()
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    if given.name is None:
        console.print(listing())
        return HOLDS
    wanted = scenario(given.name)
    missing = [program for program in wanted.needs.split() if not program_path(program)]
    if missing:
        print(f"not installed here: {', '.join(missing)}", file=sys.stderr)
        return CANNOT_RUN
    prepare_process()
    return run(wanted, given, console)


def listing() -> Table:
    table = Table(title="python -m tests.chaos NAME [--n N] [--seed S] [--quick] [--json]")
    table.add_column("name", no_wrap=True)
    table.add_column("what it does")
    table.add_column("N", justify="right", no_wrap=True)
    table.add_column("of")
    for each in map(scenario, NAMES):
        table.add_row(each.name, each.says, f"{each.full:,}", each.counted)
    return table


def prepare_process() -> None:
    """As many open files as allowed, and an orderly end on SIGTERM."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def run(scenario: Scenario, given: argparse.Namespace, console: Console) -> int:
    seed = secrets.randbelow(10**9) if given.seed is None else given.seed
    n = given.n or (scenario.quick if given.quick else scenario.full)
    told = Console(stderr=True, style="dim", highlight=False)
    told.print(f"{scenario.name}: {n:,} {scenario.counted}, seed {seed}")
    report = Report(quick=given.quick)
    options = Options(n=n, seed=seed, quick=given.quick, say=told.print)
    try:
        asyncio.run(scenario.run(options, report))
    except Exception as error:  # noqa: BLE001 - what was measured before it is worth showing
        traceback.print_exc()
        report.none_of("could not go on", [repr(error)])
    if given.json:
        print(
            json.dumps(
                {"scenario": scenario.name, "n": n, "seed": seed, "quick": given.quick, **report.as_json()}
            )
        )
    else:
        show(scenario, seed, report, console)
    return HOLDS if report.holds else FAILS


def show(scenario: Scenario, seed: int, report: Report, console: Console) -> None:
    table = Table(title=f"{scenario.name}, seed {seed}")
    table.add_column("figure")
    for heading in ("measured", "limit"):
        table.add_column(heading, justify="right")
    table.add_column("holds")
    for each in report.figures:
        holds = {True: "[green]yes[/]", False: "[red]no[/]", None: ""}[each.holds]
        table.add_row(each.name, f"{number(each.value)} {each.unit}".strip(), each.limit, holds)
    console.print(table)
    for note in report.notes:
        console.print(note, style="yellow", highlight=False, markup=False)


def number(value: float) -> str:
    """Whole numbers as they are, others with three digits that mean something."""
    return (
        f"{value:,.0f}"
        if value == int_or_none(value)
        else f"{value:,.3g}"
        if abs(value) < 100
        else f"{value:,.0f}"
    )


def int_or_none(value: float) -> int | None:
    return int(value) if value == value and abs(value) != float("inf") else None  # noqa: PLR0124 - NaN


if __name__ == "__main__":
    sys.exit(main())
