"""``python -m scripts.achievements``: lists, adds and edits what there is to earn.

What a valid achievement is, and what an edit does to those who have earned it, is decided in
``community.achievements``.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click
from rich.console import Console
from rich.table import Table

from community.achievements import add_achievement, update_achievement
from community.criteria import METRICS
from config.deps import Deps
from scripts.session import CONTEXT, WRONG_USE, fail, print_json, run, with_data_dir, with_json
from store.achievements import Achievement

Command = TypeVar("Command", bound=Callable[..., object])


@click.group(context_settings=CONTEXT)
def main() -> None:
    """Achievements: what there is to earn, and for how much of what.

    The server makes those of the house at its first start and never changes them again. Whoever has earned one keeps
    it, whatever is edited; whoever has done enough for a new or easier one is awarded it when they next look or log.
    """


@main.command("list")
@with_data_dir
@with_json
def list_all(*, data_dir: Path | None, as_json: bool) -> None:
    """List all achievements."""

    async def work(deps: Deps) -> list[Achievement]:
        return await deps.store.achievements.all()

    found = run(data_dir, work)
    if as_json:
        print_json([_as_json(each) for each in found])
    else:
        Console(highlight=False).print(_table(found))


@main.command()
@click.option("--metric", type=click.Choice(list(METRICS)), required=True, help="What is measured.")
@click.option("--threshold", type=int, required=True, help="How much: days, or per cent of the way.")
@click.option("--name", required=True)
@click.option("--description", required=True, help="What to do for it, in a sentence.")
@with_data_dir
@with_json
def add(
    *, metric: str, threshold: int, name: str, description: str, data_dir: Path | None, as_json: bool
) -> None:
    """Add an achievement."""

    async def work(deps: Deps) -> Achievement:
        return await add_achievement(
            deps, metric=metric, threshold=threshold, name=name, description=description
        )

    _show(run(data_dir, work), as_json=as_json)


@main.command()
@click.argument("achievement_id", type=int)
@click.option("--threshold", type=int, help="How much: days, or per cent of the way.")
@click.option("--name")
@click.option("--description", help="What to do for it, in a sentence.")
@with_data_dir
@with_json
def edit(*, achievement_id: int, data_dir: Path | None, as_json: bool, **options: str | int | None) -> None:
    """Edit an achievement; options that are left out stay as they are."""
    changes = {name: value for name, value in options.items() if value is not None}
    if not changes:
        fail("Say what to change: --threshold, --name or --description.", code=WRONG_USE)

    async def work(deps: Deps) -> Achievement:
        return await update_achievement(deps, achievement_id=achievement_id, changes=changes)

    _show(run(data_dir, work), as_json=as_json)


def _show(achievement: Achievement, *, as_json: bool) -> None:
    if as_json:
        print_json(_as_json(achievement))
    else:
        Console(highlight=False).print(_table([achievement]))


def _as_json(achievement: Achievement) -> dict[str, object]:
    return {
        "id": achievement.id,
        "metric": achievement.metric,
        "threshold": achievement.threshold,
        "name": achievement.name,
        "description": achievement.description,
    }


def _table(achievements: list[Achievement]) -> Table:
    table = Table()
    table.add_column("id", justify="right")
    table.add_column("metric")
    table.add_column("threshold", justify="right")
    table.add_column("name", style="bold")
    table.add_column("description")
    for each in achievements:
        table.add_row(str(each.id), each.metric, str(each.threshold), each.name, each.description)
    return table


if __name__ == "__main__":
    main()
