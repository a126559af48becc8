"""A demo that was interrupted on purpose: people who can log in and a few posts, in a second instead of many.

What a whole demo looks like is for its own tests.
"""

import dataclasses
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, cast

from community.demo import fill_if_empty
from community.passwords import Hashing
from config.settings import load_settings
from server import open_deps


class Crash(Exception):
    """Stands for the end of the process."""


class CrashingHub:
    """Takes so many events, then the process is gone."""

    def __init__(self, events: int) -> None:
        self._left = events

    def publish(self, _event: object) -> None:
        if not self._left:
            raise Crash
        self._left -= 1


async def begin_demo(uri: str, data_dir: Path, *, events: int = 40) -> None:
    """Fill the database at ``uri`` up to that many events."""
    settings = load_settings({"MONGODB_URI": uri, "DATA_DIR": str(data_dir)})
    with closing(Hashing(memory_kib=16)) as hashing:
        async with open_deps(settings, hashing=hashing) as opened:
            cut = dataclasses.replace(opened, realtime=cast("Any", CrashingHub(events)))
            with suppress(Crash):
                await fill_if_empty(cut, say=lambda _line: None)
