"""``python -m scripts.media_sweep``: deletes files that nothing points at, and tells of pictures that are not there.

How they are found is in ``community.media_sweep``; here the outcome is shown.
"""

import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import click
from rich.console import Console

from community.media_sweep import LEFT_ALONE, Swept, missing, sweep
from config.deps import Deps
from scripts.session import CONTEXT, DONE, FAILED, print_json, run, with_data_dir, with_json

# More rows help nobody at a terminal; --json has all.
SHOWN = 50


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was swept, and what is pointed at and not there: kind, id and file."""

    swept: Swept
    missing: list[tuple[str, int, str]]


@click.command(context_settings=CONTEXT)
@click.option("--dry-run", is_flag=True, help="Delete nothing, only tell.")
@click.option(
    "--now",
    is_flag=True,
    help="Do not spare what is younger than an hour: only while no server takes uploads.",
)
@with_data_dir
@with_json
def main(*, dry_run: bool, now: bool, data_dir: Path | None, as_json: bool) -> None:
    """Delete files of media that no post and no person points at, and look for pictures that are missing.

    Safe while servers run (without --now); they do the first part themselves every hour. The exit code is 1 if a
    picture is missing.
    """

    async def work(deps: Deps) -> Outcome:
        swept = await sweep(deps, left_alone=timedelta(0) if now else LEFT_ALONE, dry_run=dry_run)
        return Outcome(swept, await missing(deps))

    outcome = run(data_dir, work)
    if as_json:
        print_json(_as_json(outcome))
    else:
        _show(outcome, Console(highlight=False), dry_run=dry_run)
    sys.exit(FAILED if outcome.missing else DONE)


def _as_json(outcome: Outcome) -> dict[str, object]:
    return {
        "ok": not outcome.missing,
        "files": outcome.swept.files,
        "orphans": outcome.swept.orphans,
        "orphan_bytes": outcome.swept.orphan_bytes,
        "missing": [{"kind": kind, "id": owner, "file": name} for kind, owner, name in outcome.missing],
    }


def _show(outcome: Outcome, console: Console, *, dry_run: bool) -> None:
    swept = outcome.swept
    kibibytes = swept.orphan_bytes / 1024
    verb = "would be deleted" if dry_run else "deleted"
    console.print(
        f"{swept.files} files, {len(swept.orphans)} of them orphans ({kibibytes:,.0f} KiB), {verb}."
    )
    for kind, owner, name in outcome.missing[:SHOWN]:
        console.print(f"[red]{kind} {owner}:[/] {name} is missing")
    if not outcome.missing:
        console.print("[green]Every picture that is pointed at is there.[/]")


if __name__ == "__main__":
    main()
