"""``python -m scripts.recount``: proves counts of posts, summaries of training and event logs against the documents.

How they are counted is in ``store.recount`` and ``store.recount_training``; here the outcome is shown, and mended where that was asked for.
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
from store.recount_training import WrongSummary

# More rows help nobody at a terminal; --json has all.
SHOWN = 50


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found, and how much of what can be mended is left; holes in a log cannot be filled again."""

    miscounts: list[Miscount]
    summaries: list[WrongSummary]
    gaps: list[tuple[int, str]]
    left: int

    @property
    def fixed(self) -> int:
        return max(0, len(self.miscounts) + len(self.summaries) - self.left)

    @property
    def is_right(self) -> bool:
        """Whether nothing differs any more."""
        return not self.left and not self.gaps


@click.command(context_settings=CONTEXT)
@click.option("--fix", is_flag=True, help="Set wrong counts and summaries to what the documents say.")
@with_data_dir
@with_json
def main(*, fix: bool, data_dir: Path | None, as_json: bool) -> None:
    """Compare every embedded count and summary with a recount, and look for holes in the event logs.

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
    recount, training = deps.store.recount, deps.store.training_recount

    async def look() -> tuple[list[Miscount], list[WrongSummary]]:
        miscounts = [each async for each in recount.miscounts()]
        return miscounts, [each async for each in training.wrong_summaries()]

    miscounts, summaries = await look()
    left = len(miscounts) + len(summaries)
    if fix and left:
        # Each is counted again in a transaction of its own, so nobody's change meanwhile is lost.
        for post_id in dict.fromkeys(each.post_id for each in miscounts):
            await recount.fix(post_id)
        for summary in summaries:
            await training.fix(summary.user_id)
        left = sum(len(each) for each in await look())
    return Outcome(miscounts=miscounts, summaries=summaries, gaps=await recount.gaps(), left=left)


def _as_json(outcome: Outcome) -> dict[str, object]:
    return {
        "ok": outcome.is_right,
        "miscounts": [asdict(each) for each in outcome.miscounts],
        "summaries": [asdict(each) for each in outcome.summaries],
        "gaps": [{"community_id": room, "problem": problem} for room, problem in outcome.gaps],
        "fixed": outcome.fixed,
    }


def _show(outcome: Outcome, console: Console) -> None:
    if outcome.miscounts:
        console.print(_miscounts(outcome.miscounts))
    for summary in outcome.summaries[:SHOWN]:
        console.print(f"[red]training of user {summary.user_id}:[/] wrong in {', '.join(summary.fields)}")
    for room, problem in outcome.gaps[:SHOWN]:
        console.print(f"[red]group {room}:[/] {problem}")
    if outcome.is_right and not outcome.fixed:
        console.print("[green]Every count and summary equals its recount, and no event log has a hole.[/]")
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
