"""Large blocks of memory are on pages of their own, also when such blocks were freed before."""

import ctypes
import platform

import pytest

from config import heap

# More than the heap has in one piece by chance.
LARGE = 20_000_000


class Figures(ctypes.Structure):
    """mallinfo2(3)."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    ]  # fmt: skip


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the heap of other C libraries is another")
def test_large_block_is_on_its_own_pages_again_after_one_was_freed() -> None:
    figures = ctypes.CDLL(None).mallinfo2
    figures.restype = Figures
    assert heap.keep_large_blocks_out()
    for _ in range(3):
        before = figures().hblks
        block = bytearray(LARGE)
        assert figures().hblks == before + 1
        del block
        assert figures().hblks == before


def test_nothing_is_done_where_the_c_library_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap.ctypes, "CDLL", lambda name: object())
    assert not heap.keep_large_blocks_out()
