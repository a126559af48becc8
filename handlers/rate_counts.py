"""How much each caller has asked of this process lately: the counts that decide at once and need nobody.

A sliding-window counter: two whole numbers a caller, the last window's weighted by how much of it the sliding
window still covers. In a window it lets through what the limit says, and never more than that on average; a log of
every request would be exact to the moment, and cost 300 times for each reader what this does. The memory storage of
the package `limits` walks over all its keys at every hit, knows no bound and keeps the machine's own time, so these
lines stand instead of it; it counts for all instances together in ``handlers.shared_counts``. What is limited to
what, and what a refusal looks like, is in ``handlers.rate_limits``.
"""

import math
from collections import OrderedDict
from typing import NamedTuple

from config.clock import Clock
from config.values import Rate

# About 300 bytes each, so at most 30 MB a class of routes. Who asked least lately is forgotten first: to push out
# an address under attack, an attacker would need so many others between two of its guesses.
CAPACITY = 100_000


class Standing(NamedTuple):
    """Where a caller stands after one more request."""

    allowed: bool
    # How many more would be let through now.
    remaining: int
    # Whole seconds: until the window ends or, for a refusal, until one more will be let through.
    seconds: int


class _Count:
    """What one caller did in the present window and the one before."""

    __slots__ = ("current", "previous", "refused_until", "unsent", "window")

    def __init__(self, window: float) -> None:
        self.window = window
        self.current = 0
        self.previous = 0
        # Of the present window, what the other instances were not told of yet.
        self.unsent = 0
        # Monotonic seconds until which all instances together have no more for this caller.
        self.refused_until = 0.0


class RateCounts:
    """Counts of one class of routes, by caller. Nothing here waits, so each call is atomic."""

    def __init__(self, rate: Rate, clock: Clock, *, capacity: int = CAPACITY) -> None:
        self._rate = rate
        self._clock = clock
        self._capacity = capacity
        self._counts: OrderedDict[str, _Count] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counts)

    def take(self, who: str) -> Standing:
        """Count one request if it is within the limit, and tell how the caller stands; a refused one is not counted."""
        limit, seconds = self._rate.count, self._rate.seconds
        now = self._clock.monotonic()
        window, passed = divmod(now, seconds)
        count = self._of(who, window)
        if now < count.refused_until:
            return Standing(False, 0, int(count.refused_until - now) + 1)
        covered = 1 - passed / seconds
        used = int(count.previous * covered) + count.current
        if used >= limit:
            return Standing(False, 0, self._wait_seconds(count, covered))
        count.current += 1
        count.unsent += 1
        return Standing(True, limit - used - 1, math.ceil(seconds - passed))

    def unsent(self, who: str, *, from_: int) -> int:
        """Give how many of the caller's requests the other instances were not told of, once they are so many.

        They count as told from now on; 0 while they are fewer.
        """
        count = self._counts.get(who)
        if count is None or count.unsent < from_:
            return 0
        found, count.unsent = count.unsent, 0
        return found

    def refuse(self, who: str, seconds: int, *, unsent: int) -> None:
        """Take the last request back and refuse all others for so long: all instances together have no more.

        ``unsent`` are those before it that were served here and could not be counted there; the next request of the
        caller will try again to tell of them.
        """
        count = self._counts.get(who)
        if count is not None:
            count.current = max(0, count.current - 1)
            count.unsent += unsent
            count.refused_until = self._clock.monotonic() + seconds

    def _of(self, who: str, window: float) -> _Count:
        count = self._counts.get(who)
        if count is None:
            count = self._counts[who] = _Count(window)
            if len(self._counts) > self._capacity:
                self._counts.popitem(last=False)
            return count
        self._counts.move_to_end(who)
        if count.window != window:
            count.previous = count.current if count.window == window - 1 else 0
            count.window, count.current, count.unsent = window, 0, 0
        return count

    def _wait_seconds(self, count: _Count, covered: float) -> int:
        """The whole seconds after which ``take`` will find one free, if the caller keeps still until then."""
        free = self._rate.count - count.current
        # In this window, when enough of the last one is out of sight; else right after its end, by the same reckoning.
        surplus = covered - free / count.previous if free > 0 else covered
        return int(surplus * self._rate.seconds) + 1
