"""The queue between a request and the mail server: taking a letter costs the request nothing.

It lives in memory: a killed process loses what it had not sent, and nothing here knows a letter's meaning.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from config.metrics import Metrics
from push.letters import Letter
from push.mail import MailRefused, MailSender

LOG = logging.getLogger(__name__)

# A letter is a few KiB: a full queue holds some MiB, and about a quarter of an hour of a slow relay's work.
LIMIT = 1_000
# Three tries. A relay that restarts is back within seconds; who waits for a reset link has asked again after a minute.
RETRY_AFTER_SECONDS = (1.0, 5.0)


class Outbox:
    """Accepts letters at once and sends them one after the other.

    ``accept`` before ``start`` is fine: the letter waits. All of it belongs to one event loop.
    """

    def __init__(
        self,
        mailer: MailSender,
        *,
        metrics: Metrics | None = None,
        limit: int = LIMIT,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._mailer = mailer
        self._metrics = metrics or Metrics()
        self._sleep = sleep
        self._queue: asyncio.Queue[tuple[Letter, asyncio.Future[bool] | None]] = asyncio.Queue(limit)
        self._worker: asyncio.Task[None] | None = None
        self._unsent = 0  # in the queue or in the worker's hands
        self._drained = False

    def accept(self, letter: Letter) -> None:
        """Take the letter and return at once; where the queue is full or drained it is dropped with a WARNING."""
        self._take(letter, None)

    async def send(self, letter: Letter) -> bool:
        """Take the letter and return when it was sent, or given up: whether it was sent."""
        outcome: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._take(letter, outcome)
        return await outcome

    def _take(self, letter: Letter, outcome: asyncio.Future[bool] | None) -> None:
        try:
            if self._drained:
                raise asyncio.QueueFull
            self._queue.put_nowait((letter, outcome))
            self._unsent += 1
        except asyncio.QueueFull:
            _tell(outcome, was_sent=False)
            self._metrics.mails_dropped.inc()
            LOG.warning(
                "E-mail dropped, the queue is %s: %s", "closed" if self._drained else "full", letter.subject
            )

    async def start(self) -> None:
        """Begin to send, in a task of its own; a second call changes nothing."""
        self._running()

    async def drain(self, timeout_seconds: float) -> None:
        """Send what was accepted, retries included, then stop; after the time-out the rest is dropped and counted.

        What is accepted while this waits is sent too. A second call changes nothing.
        """
        if self._drained:
            return
        worker = self._running()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while self._unsent:
                    await self._queue.join()
        self._drained = True
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
        if self._unsent:
            self._metrics.mails_dropped.inc(self._unsent)
            LOG.warning("%d e-mails were not sent within %g s of the stop", self._unsent, timeout_seconds)

    def _running(self) -> asyncio.Task[None]:
        if self._worker is None:
            self._worker = asyncio.create_task(self._work(), name="outbox")
        return self._worker

    async def _work(self) -> None:
        while True:
            letter, outcome = await self._queue.get()
            _tell(outcome, was_sent=await self._deliver(letter))
            self._unsent -= 1
            self._queue.task_done()

    async def _deliver(self, letter: Letter) -> bool:
        """Try until it is sent or hopeless; gives whether it was sent. The log gets kinds of failure only: an answer may quote the letter."""
        for pause_seconds in (*RETRY_AFTER_SECONDS, None):
            try:
                await self._mailer.send(letter)
            except MailRefused as refusal:
                self._give_up(letter, str(refusal))
                return False
            except Exception as failure:  # noqa: BLE001  # a border: no letter may stop the ones behind it
                if pause_seconds is None:
                    self._give_up(letter, type(failure).__name__)
                    return False
            else:
                self._metrics.mails_sent.inc()
                return True
            await self._sleep(pause_seconds)
        return False

    def _give_up(self, letter: Letter, why: str) -> None:
        self._metrics.mails_failed.inc()
        LOG.warning("E-mail not sent (%s): %s", why, letter.subject)


def _tell(outcome: asyncio.Future[bool] | None, *, was_sent: bool) -> None:
    """Whoever waits may have been cancelled meanwhile."""
    if outcome is not None and not outcome.done():
        outcome.set_result(was_sent)
