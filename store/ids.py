"""Identifiers: integers below 2^53 that grow with time and need no central counter.

An id is 41 bits of milliseconds since 2026-01-01 UTC (enough until 2095) and 12 random bits. JSON numbers are
exact up to 2^53 in every client, and the id is the sort key of every list. Nothing here talks to the database.
"""

import secrets
import time
from collections.abc import Callable

EPOCH_MILLISECONDS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
RANDOM_BITS = 12
MAX_ID = 2**53 - 1


class IdSource:
    """Makes the ids of one process, each greater than the last.

    Two processes may meet on one id (both in the same millisecond, 1 in 4,096); the unique index on ``_id``
    refuses the second, and its writer simply asks for another.
    """

    def __init__(self, now_seconds: Callable[[], float] = time.time) -> None:
        self._now_seconds = now_seconds
        self._last = 0

    def new(self) -> int:
        """Give the next id. Growing within the process: several hundred a second would collide otherwise."""
        fresh = first_id_at(int(self._now_seconds() * 1000)) | secrets.randbits(RANDOM_BITS)
        self._last = max(self._last + 1, fresh)
        return self._last


def first_id_at(milliseconds: int) -> int:
    """Give the lowest id of that Unix millisecond: where a time becomes a bound in a range of ids."""
    return max(0, milliseconds - EPOCH_MILLISECONDS) << RANDOM_BITS
