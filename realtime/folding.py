"""At most one level per post and window: the first goes at once, the last of a window when it ends.
Which version is newer is known elsewhere; what comes here is news.
"""

import asyncio
from collections.abc import Callable

from realtime.broker import LevelEnvelope

# Ten changes a second of one post's counts look continuous, whatever storm of taps is behind them.
WINDOW_SECONDS = 0.1


class Folding:
    """Passes levels on to `send`, folded. One timer for all posts of a room, none while it is quiet."""

    def __init__(self, send: Callable[[LevelEnvelope], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._send = send
        # By post: when its window ends, and what came in it. All windows are equally long, so the order in
        # which they began is the order in which they end.
        self._windows: dict[int, tuple[float, LevelEnvelope | None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def take(self, level: LevelEnvelope) -> None:
        """Sends `level` now or, if one of its post went out just now, at the end of the window if none follows."""
        window = self._windows.get(level.post_id)
        if window is not None:
            self._windows[level.post_id] = (window[0], level)
            return
        self._pass(level)
        if self._timer is None:
            self._timer = self._loop.call_later(WINDOW_SECONDS, self._end_windows)

    def forget_post(self, post_id: int) -> None:
        """The post is deleted: what waits for its window is not sent."""
        self._windows.pop(post_id, None)

    def clear(self) -> None:
        """Forgets what waits and stops the timer."""
        self._windows.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _pass(self, level: LevelEnvelope) -> None:
        self._windows[level.post_id] = (self._loop.time() + WINDOW_SECONDS, None)
        self._send(level)

    def _end_windows(self) -> None:
        now = self._loop.time()
        ended = [post_id for post_id, (ends_at, _) in self._windows.items() if ends_at <= now]
        for post_id in ended:
            _, level = self._windows.pop(post_id)
            if level is not None:
                self._pass(level)
        first = next(iter(self._windows.values()), None)
        self._timer = self._loop.call_at(first[0], self._end_windows) if first is not None else None
