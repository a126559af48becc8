"""``python -m scripts.webhooks``: Stripe's events that failed ten times, and another try for them.

What an event does is in ``payments.inbox``; the server deals with whatever is given another try.
"""

import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from config.deps import Deps
from scripts.session import CONTEXT, DONE, FAILED, print_json, run, with_data_dir, with_json


@click.command(context_settings=CONTEXT)
@click.option("--retry", is_flag=True, help="Give all of them another try, by the running server.")
@with_data_dir
@with_json
def main(*, retry: bool, data_dir: Path | None, as_json: bool) -> None:
    """List the events that wait for a person, and why. Safe while the server runs, and to run again.

    The exit code is 1 while there are any.
    """

    async def work(deps: Deps) -> tuple[list[tuple[str, str, str]], int]:
        stuck = await deps.store.inbox.stuck()
        return stuck, await deps.store.inbox.retry_stuck() if retry else 0

    stuck, retried = run(data_dir, work)
    if as_json:
        rows = [{"id": event_id, "type": kind, "error": error} for event_id, kind, error in stuck]
        print_json({"stuck": rows, "retried": retried})
    elif not stuck:
        click.echo("No event is stuck.")
    else:
        table = Table("event", "type", "error")
        for row in stuck:
            table.add_row(*row)
        Console().print(table)
        if retry:
            click.echo(f"Another try for {retried}: the server deals with them within a second.")
    sys.exit(FAILED if stuck and not retry else DONE)


if __name__ == "__main__":
    main()
