"""What all scripts share: settings, the dependencies of the server, exit codes, and the options they all take.

What a script does is in the script; nothing here knows any of them.
"""

import asyncio
import getpass
import logging
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import NoReturn, TypeVar

import click
import orjson

from community.errors import DomainError, Invalid
from config import log as logs
from config.deps import Deps
from config.settings import Settings, SettingsError, load_settings
from server import open_deps
from store.embedded import EmbeddedMongoUnavailable, running_uri
from store.errors import StoreUnavailable

# What a shell sees. Click itself ends with 2 where options are wrong.
DONE, FAILED, WRONG_USE = 0, 1, 2

CONTEXT = {"help_option_names": ["-h", "--help"]}

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., object])


def with_data_dir(command: Command) -> Command:
    """Add ``--data-dir``: where the embedded database is, when ``MONGODB_URI`` is not set."""
    return click.option(
        "--data-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="Where the embedded database is, running or not.  [DATA_DIR, ./data]",
    )(command)


def with_json(command: Command) -> Command:
    """Add ``--json``: the outcome as one line for machines, in place of text."""
    return click.option("--json", "as_json", is_flag=True, help="Print one line of JSON in place of text.")(
        command
    )


def run(data_dir: Path | None, work: Callable[[Deps], Awaitable[T]]) -> T:
    """Do ``work`` with open dependencies and give its outcome.

    What is wrong with the settings ends the process with 2; a database that is not there, and an operation
    that refuses, with 1. Both say why in a sentence on standard error.
    """
    try:
        settings = load_settings(data_dir=data_dir)
        quiet(settings)
        return asyncio.run(_run(settings, work))
    except SettingsError as error:
        fail(*error.problems, code=WRONG_USE)
    except Invalid as error:
        fail(*(f"{field}: {said}" for field, messages in error.fields.items() for said in messages))
    except DomainError as error:
        fail(error.detail)
    except (EmbeddedMongoUnavailable, StoreUnavailable, OSError) as error:
        fail(str(error))


async def _run(settings: Settings, work: Callable[[Deps], Awaitable[T]]) -> T:
    async with open_session(settings) as deps:
        return await work(deps)


@asynccontextmanager
async def open_session(settings: Settings) -> AsyncIterator[Deps]:
    """Open what the server opens. Without ``MONGODB_URI``: on the running embedded database of the data directory,
    or on one that is started for as long as this lasts.
    """
    if settings.mongodb_uri is None:
        running = await asyncio.to_thread(running_uri, settings.data_dir)
        settings = replace(settings, mongodb_uri=running)
    async with open_deps(settings) as deps:
        yield deps


def terminal() -> str:
    """Who sits there, for the audit trail."""
    return f"terminal of {getpass.getuser()}@{socket.gethostname()}"


def quiet(settings: Settings) -> None:
    """Log what is wrong and nothing else: standard output is the script's, and people read both."""
    level = logging.getLevelName(max(logging.WARNING, logging.getLevelNamesMapping()[settings.log_level]))
    logs.configure(level, "text", sys.stderr)


def print_json(outcome: object) -> None:
    click.echo(orjson.dumps(outcome).decode())


def fail(*sentences: str, code: int = FAILED) -> NoReturn:
    """Say why on standard error and end the process."""
    for sentence in sentences:
        click.echo(sentence, err=True)
    sys.exit(code)
