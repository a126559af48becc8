"""When Python looks for garbage, and which blocks of memory never become part of the heap.

What holds memory is not known here.
"""

import ctypes
import gc
from typing import Final

# Objects made more than freed before the collector looks at the young ones, how many such looks before it looks at
# those that outlived one, and how many of these before it walks over all. The first two are Python's own. Its third
# is 10: with 500 phones connected, all stood still for 66 to 88 ms every 15 s under load, to find about a hundred
# objects. With this it is every quarter of an hour under full load; reference counts free nearly everything anyhow.
COLLECT_AFTER: Final = (700, 10, 1_000)
# mallopt(3). The size is glibc's own, which it gives up when the first block that is larger is freed.
M_MMAP_THRESHOLD: Final = -3
OWN_PAGES_BYTES: Final = 128 * 1024


def settle() -> None:
    """What is there by now stays for good: the collector need not walk over it each time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def keep_large_blocks_out() -> bool:
    """Have blocks of 128 KiB and more on pages of their own, which go back to the system when they are freed.

    Otherwise they come from the end of the heap, what is still in use after them stays there, and the heap grows
    (decision 27). False where the C library is not glibc, whose heap this is about.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(M_MMAP_THRESHOLD, OWN_PAGES_BYTES))
