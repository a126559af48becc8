"""What the tests of the scripts share: running one as a shell does, without a process for each."""

import gc
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

Run = Callable[..., Result]


@pytest.fixture
def run_script(mongo_uri: str) -> Iterator[Run]:
    """``run_script(main, "--json", env={…}, input="…")``, on the tests' database unless ``env`` says another."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level

    def run(
        command: click.Command, *arguments: str, env: dict[str, str] | None = None, **more: Any
    ) -> Result:
        result = CliRunner(env={"MONGODB_URI": mongo_uri, **(env or {})}).invoke(command, arguments, **more)
        _collect_sockets()
        return result

    yield run
    root.handlers[:] = handlers
    root.setLevel(level)


def _collect_sockets() -> None:
    """A script is so short that the driver's monitor may be connecting when its client is closed; that attempt is
    cancelled, and the driver leaves its socket to the collector (it closes it after errors alone).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def outcome(result: Result) -> Any:
    """The one line of JSON that a script printed."""
    line, end = result.stdout.split("\n")
    assert not end
    return json.loads(line)
