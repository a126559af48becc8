"""Memory that is free in many small places goes back to the system."""

import asyncio
import resource
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from config import heap
from tests.support.processes import until

PIECE, PIECES, EVERY = 2_000, 20_000, 100


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(
    sys.platform != "linux", reason="other systems' C libraries do this by themselves, or not at all"
)
async def test_memory_between_what_is_in_use_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "GIVE_BACK_SECONDS", 0.01)
    pieces = [bytes([number % 256]) * PIECE for number in range(PIECES)]
    kept = pieces[::EVERY]
    del pieces
    before = resident_bytes()
    giving = asyncio.create_task(heap.keep_giving_back())
    try:
        enough = PIECES * PIECE / 2
        await until(lambda: before - resident_bytes() > enough, 10, "free memory to be given back")
    finally:
        giving.cancel()
        with suppress(asyncio.CancelledError):
            await giving
    assert [piece[-1] for piece in kept] == [number % 256 for number in range(0, PIECES, EVERY)]


async def test_nothing_is_done_where_the_c_library_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap.ctypes, "CDLL", lambda name: object())
    assert await asyncio.wait_for(heap.keep_giving_back(), 10) is None
