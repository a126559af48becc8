"""Large blocks of memory are on pages of their own, also when such blocks were freed before; in a process that has
allocated nothing else yet.
"""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from config import heap

# By mallinfo2(3): how many more blocks are outside the heap while each of three is there, one after the other.
THREE_BLOCKS = """
import ctypes
from config import heap

class Figures(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]

figures = ctypes.CDLL(None).mallinfo2
figures.restype = Figures
{first}
for _ in range(3):
    before = figures().hblks
    block = bytearray(20_000_000)
    print(figures().hblks - before)
    del block
"""


def outside_the_heap(first: str) -> list[str]:
    told = subprocess.run(
        [sys.executable, "-c", THREE_BLOCKS.format(first=first)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    return told.stdout.split()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the heap of other C libraries is another")
def test_large_block_is_on_its_own_pages_again_after_one_was_freed() -> None:
    assert outside_the_heap("assert heap.keep_large_blocks_out()") == ["1", "1", "1"]
    # Should this ever be otherwise, the function is not needed any more.
    assert outside_the_heap("") == ["1", "0", "0"]


def test_nothing_is_done_where_the_c_library_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap.ctypes, "CDLL", lambda name: object())
    assert not heap.keep_large_blocks_out()
