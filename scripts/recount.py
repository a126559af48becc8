"""``python -m scripts.recount``: proves the counts that posts carry, and the event logs, against the documents.

How they are counted is in ``store.recount``; here the outcome is shown, and mended where that was asked for.
"""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from config.deps import Deps
from scripts.session import CONTEXT, DONE, FAILED, print_json, run, with_data_dir, with_json
from store.recount import Miscount

# More rows help nobody at a terminal; --json has all.
SHOWN = 50


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found, and how many of the miscounts are left; holes in a log cannot be filled again."""

    miscounts: list[Miscount]
    gaps: list[tuple[int, str]]
    left: int

    @property
    def fixed(self) -> int:
        return max(0, len(self.miscounts) - self.left)

    @property
    def is_right(self) -> bool:
        """Whether nothing differs any more."""
        return not self.left and not self.gaps


@click.command(context_settings=CONTEXT)
@click.option("--fix", is_flag=True, help="Set wrong counts to what the documents say.")
@with_data_dir
@with_json
def main(*, fix: bool, data_dir: Path | None, as_json: bool) -> None:
    """Compare every embedded count with a recount, and look for holes in the event logs.

    Safe while the server runs. The exit code is 1 if something differs and was not mended.
    """

    async def work(deps: Deps) -> Outcome:
        return await _recount(deps, fix=fix)

    outcome = run(data_dir, work)
    if as_json:
        print_json(_as_json(outcome))
    else:
        _show(outcome, Console(highlight=False))
    sys.exit(DONE if outcome.is_right else FAILED)


async def _recount(deps: Deps, *, fix: bool) -> Outcome:
    recount = deps.store.recount
    miscounts = [each async for each in recount.miscounts()]
    left = len(miscounts)
    if fix and miscounts:
        # Each is counted again in a transaction of its own, so nobody's change meanwhile is lost.
        for post_id in dict.fromkeys(each.post_id for each in miscounts):
            await recount.fix(post_id)
        left = len([each async for each in recount.miscounts()])
    return Outcome(miscounts=miscounts, gaps=await recount.gaps(), left=left)


def _as_json(outcome: Outcome) -> dict[str, object]:
    return {
        "ok": outcome.is_right,
        "miscounts": [asdict(each) for each in outcome.miscounts],
        "gaps": [{"community_id": room, "problem": problem} for room, problem in outcome.gaps],
        "fixed": outcome.fixed,
    }


def _show(outcome: Outcome, console: Console) -> None:
    if outcome.miscounts:
        console.print(_miscounts(outcome.miscounts))
    for room, problem in outcome.gaps[:SHOWN]:
        console.print(f"[red]group {room}:[/] {problem}")
    if outcome.is_right and not outcome.miscounts:
        console.print("[green]Every count equals its recount, and no event log has a hole.[/]")
    if outcome.fixed:
        console.print(f"[green]{_many(outcome.fixed, 'count')} set right.[/]")
    if outcome.left:
        console.print(
            f"[red]{_many(outcome.left, 'count')} wrong.[/] Run it again with --fix to set them right."
        )
    if outcome.gaps:
        console.print(
            f"[red]{_many(len(outcome.gaps), 'hole')} in event logs.[/] They cannot be filled: clients that"
            " come back from before one are told to reload."
        )


def _miscounts(miscounts: list[Miscount]) -> Table:
    more = len(miscounts) - SHOWN
    table = Table(caption=f"and {more} more; --json lists all" if more > 0 else None)
    table.add_column("post", justify="right")
    table.add_column("count")
    table.add_column("stored", justify="right", style="red")
    table.add_column("recounted", justify="right", style="green")
    for each in miscounts[:SHOWN]:
        table.add_row(str(each.post_id), each.field, str(each.stored), str(each.counted))
    return table


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


if __name__ == "__main__":
    main()
