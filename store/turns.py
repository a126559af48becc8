"""Who waits for the database, and for how long: the gate before its connections, and a queue for each hot document.
What is done when the turn has come is not known here.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from contextvars import ContextVar

from store.errors import DatabaseAway, StoreUnavailable

# How long a request waits for its turns, in all. Without a database each turn takes seconds, and whoever stands behind
# many others is told to come back rather than kept until the phone gives up (measured: 30 s, with 128 writers and
# none before; and again with five seconds for each turn, where a busy machine made a request wait for several).
TURN_SECONDS = 5.0


class Patience:
    """How many seconds somebody who wants an answer still waits for turns, all of them together.

    Whoever asks for it has it until ``end``, and so have the tasks that are begun for them meanwhile. What is left of
    those afterwards, and everybody without a patience, waits for each turn by itself.
    """

    def __init__(self) -> None:
        self.left: float | None = TURN_SECONDS
        _patience.set(self)

    def end(self) -> None:
        self.left = None


_patience: ContextVar[Patience | None] = ContextVar("patience", default=None)


async def _in_time(lock: asyncio.Lock | asyncio.Semaphore) -> None:
    """Acquire, in the order of arrival. Raises ``StoreUnavailable`` where that takes too long."""
    if not lock.locked():
        await lock.acquire()
        return
    patience, began = _patience.get(), time.monotonic()
    left = TURN_SECONDS if patience is None or patience.left is None else patience.left
    try:
        async with asyncio.timeout(left):
            await lock.acquire()
    except TimeoutError as error:
        raise StoreUnavailable("too many wait for the database") from error
    finally:
        if patience is not None and patience.left is not None:
            patience.left = max(0.0, patience.left - (time.monotonic() - began))


class Gate:
    """Lets so many in at once, the others in the order they came. Raises ``StoreUnavailable`` after a while.

    Once somebody has looked in vain for a database (``DatabaseAway``), one at a time is let in to look again, and all
    who come meanwhile are told at once: they could only wait for the same answer.
    """

    def __init__(self, size: int) -> None:
        self._semaphore = asyncio.Semaphore(size)
        self._inside = 0
        self._is_away = False

    async def __aenter__(self) -> None:
        self._check()
        await _in_time(self._semaphore)
        try:
            self._check()
        except StoreUnavailable:
            self._semaphore.release()
            raise
        self._inside += 1

    def _check(self) -> None:
        if self._is_away and self._inside:
            raise StoreUnavailable("the database is away")

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._inside -= 1
        self._semaphore.release()
        if isinstance(error, DatabaseAway):
            self._is_away = True
        elif not isinstance(error, StoreUnavailable | asyncio.CancelledError):
            # An answer, if not a good one. A connection that broke, or somebody who gave up, says nothing.
            self._is_away = False


class Queues:
    """One first-in-first-out queue a key: writers of one hot document wait here instead of in retries.

    On one hot post plain retries collapse (p99 over 2 s at 32 writers); queued writers keep it near 0.1 s. A
    queue exists only while somebody holds or waits for it. Raises ``StoreUnavailable`` after a while.
    """

    def __init__(self) -> None:
        self._locks: dict[Hashable, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def turn(self, key: Hashable) -> AsyncIterator[None]:
        lock, users = self._locks.get(key) or (asyncio.Lock(), 0)
        self._locks[key] = (lock, users + 1)
        try:
            await _in_time(lock)
            try:
                yield
            finally:
                lock.release()
        finally:
            users = self._locks[key][1] - 1
            if users:
                self._locks[key] = (lock, users)
            else:
                del self._locks[key]
