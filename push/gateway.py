"""The way to phones as the queue sees it: a push, what becomes of one, and a gateway that waits in threads.

Google's library, which blocks, is behind ``fcm``; patience (the queue, its retries) is in ``phones``.
"""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from push.notices import Notice

if TYPE_CHECKING:
    from push.fcm import Fcm

# FCM takes 500 a call of the library, which starts a thread for each message: a hundred take 0.2 s, and 500 2 s.
MOST_AT_ONCE = 100
# All of a batch: fetching FCM's access token, connecting, sending. Whatever is not answered by then is not known.
BATCH_SECONDS = 30.0
# Batches in flight; each waits in a thread.
BATCHES_AT_ONCE = 5


class BadCredentials(Exception):
    """The service account cannot be used; ``str()`` says why and holds no part of it."""


class NoToken(Exception):
    """Google gave no access token, and may another time; ``str()`` says why."""


class Outcome(Enum):
    """What became of one push."""

    SENT = "sent"
    # The token will never work again.
    DEAD = "dead"
    # Certainly not taken: another try may help.
    AGAIN = "again"
    # Not taken, and no other try would be.
    REFUSED = "refused"
    # Perhaps taken: the answer was lost, late or broken. Another try might be a second push.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one push, in FCM's word for it, and how many seconds it asks to wait."""

    outcome: Outcome
    word: str = ""
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """One notice to one device; ``badge`` is what an iPhone shows on the app's icon, None: as it is."""

    token: str = field(repr=False)
    notice: Notice
    badge: int | None = None


class Gateway(Protocol):
    """Whoever can bring pushes to phones."""

    def has_credentials(self) -> bool:
        """Whether there is anything to try with."""

    async def send(self, pushes: Sequence[Push]) -> list[Answer]:
        """Send at most ``MOST_AT_ONCE`` pushes, each at most once, and give an answer for each, in order.

        Raises ``BadCredentials``; then none was sent.
        """

    async def close(self) -> None:
        """Let go of connections and threads."""


class NoGateway:
    """Where no service account is set."""

    def has_credentials(self) -> bool:
        return False

    async def send(self, pushes: Sequence[Push]) -> list[Answer]:
        raise BadCredentials(f"FIREBASE_CREDENTIALS_PATH is not set, {len(pushes)} pushes unsent")

    async def close(self) -> None:
        """Hold nothing to let go of."""


class FcmGateway:
    """Sends with a service account by Google's own library; nothing is read or loaded before the first send."""

    def __init__(self, credentials_path: Path, api_base: str | None = None) -> None:
        self._path = credentials_path
        self._api_base = api_base
        self._threads = ThreadPoolExecutor(BATCHES_AT_ONCE, thread_name_prefix="fcm")
        self._opening = threading.Lock()
        self._fcm: Fcm | None = None

    def has_credentials(self) -> bool:
        return self._path.is_file()

    async def send(self, pushes: Sequence[Push]) -> list[Answer]:
        work = asyncio.get_running_loop().run_in_executor(self._threads, self._send, list(pushes))
        try:
            return await asyncio.wait_for(work, BATCH_SECONDS)
        except TimeoutError:
            return [Answer(Outcome.UNKNOWN, "no answer in time")] * len(pushes)

    async def close(self) -> None:
        if self._fcm is not None:
            # In a thread: the library runs a loop of its own to close its connections.
            await asyncio.to_thread(self._fcm.close)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def check(self) -> str:
        """Read the service account, fetch an access token with it, send nothing; gives the account's project.

        Raises ``BadCredentials``, ``NoToken``.
        """
        work = asyncio.get_running_loop().run_in_executor(self._threads, lambda: self._opened().check())
        try:
            return await asyncio.wait_for(work, BATCH_SECONDS)
        except TimeoutError:
            raise NoToken("no answer in time") from None

    def _send(self, pushes: list[Push]) -> list[Answer]:
        return self._opened().send(pushes)

    def _opened(self) -> "Fcm":
        with self._opening:
            if self._fcm is None:
                # Here and not above: importing it takes half a second and 40 MiB, which many servers never need.
                from push.fcm import Fcm  # noqa: PLC0415

                self._fcm = Fcm(self._path, self._api_base)
            return self._fcm
