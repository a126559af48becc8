"""The Stripe double on a loop of its own, in a thread: for tests of programs that run a loop themselves."""

import asyncio
import threading
from pathlib import Path
from types import TracebackType

from tests.support.stripe_double import StripeDouble


class StripeThread:
    """``with StripeThread(folder) as double``: it serves until the end of the block."""

    def __init__(self, folder: Path) -> None:
        self._double = StripeDouble(folder)
        self._serves = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._over: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def _serve(self) -> None:
        self._over, self._loop = asyncio.Event(), asyncio.get_running_loop()
        async with self._double.serving():
            self._serves.set()
            await self._over.wait()

    def __enter__(self) -> StripeDouble:
        self._thread.start()
        assert self._serves.wait(30)
        return self._double

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._loop is not None
        assert self._over is not None
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(30)
