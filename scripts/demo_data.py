"""``python -m scripts.demo_data``: fills an empty database with two groups to look at.

What they consist of is in ``community.demo``; the server does the same with ``--demo``.
"""

import time
from pathlib import Path

import click

from community.demo import PASSWORD, accounts
from config.deps import Deps
from config.settings import SettingsError
from payments.demo import fill_if_empty, log_ins
from scripts.session import CONTEXT, fail, print_json, run, with_data_dir, with_json


@click.command(context_settings=CONTEXT)
@with_data_dir
@with_json
def main(*, data_dir: Path | None, as_json: bool) -> None:
    """Fill an empty database with two trainers, 30 trainees and 200 posts of the last three weeks.

    A database in which somebody has an account is left alone, and the exit code is 1. A fill that was
    interrupted is finished.
    """
    started = time.monotonic()

    async def work(deps: Deps) -> bool:
        if deps.settings.is_production:
            raise SettingsError(["Demo data does not belong in production."])
        return await fill_if_empty(deps, say=lambda line: None if as_json else click.echo(line))

    if not run(data_dir, work):
        fail("The database is not empty: somebody has an account in it. Nothing was written.")
    if as_json:
        seconds = round(time.monotonic() - started, 1)
        print_json({"filled": True, "seconds": seconds, "password": PASSWORD, "accounts": accounts()})
    else:
        click.echo("\n".join(log_ins()))


if __name__ == "__main__":
    main()
