"""When Python looks for garbage, and when memory that is free goes back to the system.

What holds memory is not known here.
"""

import asyncio
import ctypes
import gc
from typing import Final

# Objects made more than freed before the collector looks at the young ones, how many such looks before it looks at
# those that outlived one, and how many of these before it walks over all. The first two are Python's own. Its third
# is 10: with 500 phones connected, all stood still for 66 to 88 ms every 15 s under load, to find about a hundred
# objects. With this it is every quarter of an hour under full load; reference counts free nearly everything anyhow.
COLLECT_AFTER: Final = (700, 10, 1_000)
GIVE_BACK_SECONDS: Final = 60.0


def settle() -> None:
    """What is there by now stays for good: the collector need not walk over it each time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


async def keep_giving_back() -> None:
    """Every minute give free memory back, until cancelled; return at once where the C library cannot.

    Connections come and go, and what is freed lies between what is not: glibc gives back only what is free at the
    end of its heap (decision 27).
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    while trim is not None:
        await asyncio.sleep(GIVE_BACK_SECONDS)
        # A millisecond or two; longer, the more there is to give back. Whoever needs memory meanwhile waits for it.
        await asyncio.to_thread(trim, 0)
