"""One Redis server as the broker uses it: a connection that publishes, one that hears, and whether both work.
What is published and which server a channel belongs to is the broker's; the vendor's client is used only here.
"""

import asyncio
import logging
import math
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, NamedTuple

from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from config.metrics import Metrics

logger = logging.getLogger(__name__)

# What a call may take; a local server answers in 0.1 ms, one in the next building in 1 ms.
CALL_SECONDS: Final = 1.0

# Every so often a message to ourselves goes all the way round; without one for so long, the way is taken for broken.
ECHO_SECONDS: Final = 0.5
ECHO_LOST_SECONDS: Final = 1.5
WATCH_SECONDS: Final = 0.1

# Pauses before connecting again: doubled each time, and uneven, so that instances do not come back in step.
FIRST_PAUSE_SECONDS: Final = 0.1
LAST_PAUSE_SECONDS: Final = 2.0

# Messages that may wait for a server that is slow: some seconds of a busy instance. The oldest are lost first.
MAX_QUEUED: Final = 10_000
MAX_QUEUED_BYTES: Final = 16 << 20

# Published by one write, answered by one read: one round trip for all that gathered during the last.
BATCH: Final = 200


class _Words(NamedTuple):
    """One of Redis's two ways to publish and hear."""

    publish: str
    subscribe: str
    unsubscribe: str
    message: bytes
    subscribed: bytes
    channels: int  # How many may be named in one command; of a cluster's, only those of one slot.


PLAIN: Final = _Words("PUBLISH", "SUBSCRIBE", "UNSUBSCRIBE", b"message", b"subscribe", 500)
SHARDED: Final = _Words("SPUBLISH", "SSUBSCRIBE", "SUNSUBSCRIBE", b"smessage", b"ssubscribe", 1)

Deliver = Callable[[bytes, bytes], None]


class RedisNode:
    """Publishes and hears over one server, for as long as it is started. All methods belong on the loop's thread.

    Nothing here raises for what the server does, and nothing waits for it but `heard`. While the server is away,
    messages are lost and counted at once: whoever missed them finds them in the database.
    """

    def __init__(
        self,
        url: str,
        *,
        echo: str,
        deliver: Deliver,
        missed: Callable[[], None],
        lost: Callable[[], None],
        metrics: Metrics,
        sharded: bool = False,
    ) -> None:
        """`echo` is a channel of this instance alone. `sharded` uses the pub/sub of a cluster's shards.

        `deliver` gets channel and message. `missed` is called when the server went away, and when a channel began to
        be heard that nobody waits for, for instance after an outage; `lost` when messages were lost and others can be
        sent again.
        """
        # Without time-outs and second tries of its own: ours bound everything, and the client's `wait_for` can
        # swallow a cancellation (Python 3.11).
        self._pool = ConnectionPool.from_url(
            url,
            socket_timeout=None,
            socket_connect_timeout=None,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
            protocol=2,
        )
        self._echo = echo.encode()
        self._lost = lost
        self._has_lost = False
        self._words = SHARDED if sharded else PLAIN
        self._deliver = deliver
        self._missed = missed
        self._metrics = metrics
        self._queue: deque[tuple[str, bytes]] = deque()
        self._queued_bytes = 0
        self._is_open = False
        self._has_more = asyncio.Event()
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self._wanted: set[bytes] = set()
        self._asked: set[bytes] = set()  # On the connection that hears now, as are those that are confirmed.
        self._confirmed: set[bytes] = set()
        self._has_changed = asyncio.Event()
        self._waiters: dict[bytes, asyncio.Future[None]] = {}
        self._echoed_at = -math.inf
        self._was_healthy = True
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def is_healthy(self) -> bool:
        """Whether a message came all the way round lately."""
        return time.monotonic() - self._echoed_at < ECHO_LOST_SECONDS

    def is_heard(self, channel: str) -> bool:
        """Whether messages of this channel come now."""
        return self.is_healthy and channel.encode() in self._confirmed

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._forever("publishing", self._publish_all)),
            asyncio.create_task(self._forever("hearing", self._hear_all)),
            asyncio.create_task(self._watch()),
        ]

    async def stop(self) -> None:
        """Publishes what waits, for a call's time at most, and lets go of the server. Safe to call twice."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CALL_SECONDS):
                await self._is_empty.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._pool.disconnect()

    def publish(self, channel: str, message: bytes) -> None:
        """Sends it soon, or never."""
        if not self._is_open:
            self._lose()
            return
        self._queue.append((channel, message))
        self._queued_bytes += len(message)
        while len(self._queue) > MAX_QUEUED or self._queued_bytes > MAX_QUEUED_BYTES:
            self._drop()
        self._is_empty.clear()
        self._has_more.set()

    def want(self, channel: str) -> None:
        """Hear this channel from now on, as soon as can be."""
        self._wanted.add(channel.encode())
        self._has_changed.set()

    def forget(self, channel: str) -> None:
        """Hear it no longer."""
        self._wanted.discard(channel.encode())
        self._has_changed.set()

    async def heard(self, channel: str) -> None:
        """Return when the channel is heard; never, while the server is away. For one caller a channel at a time.

        Whoever gives up waiting is told by `missed` when the channel is heard after all.
        """
        name = channel.encode()
        if name not in self._confirmed:
            waiter = self._waiters[name] = asyncio.get_running_loop().create_future()
            try:
                await waiter
            finally:
                self._waiters.pop(name, None)

    def _drop(self) -> None:
        _, message = self._queue.popleft()
        self._queued_bytes -= len(message)
        self._lose()

    def _lose(self) -> None:
        self._has_lost = True
        self._metrics.broker_lost.inc()

    async def _forever(self, what: str, work: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        """Does `work` on one connection after the other."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            began = time.monotonic()
            try:
                async with self._connection() as connection:
                    await work(connection)
            except (RedisError, OSError, TimeoutError) as error:
                logger.debug("%s over redis ended: %r", what, error)
            except Exception:
                logger.exception("%s over redis failed", what)
            if time.monotonic() - began > LAST_PAUSE_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - spreads load, hides nothing
            pause = min(2 * pause, LAST_PAUSE_SECONDS)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await connection.connect()
            yield connection
        finally:
            await connection.disconnect(nowait=True)

    async def _publish_all(self, connection: Any) -> None:
        self._is_open = True
        beat_at = 0.0
        try:
            while True:
                if time.monotonic() >= beat_at:
                    beat_at = time.monotonic() + ECHO_SECONDS
                    await self._send(connection, [(self._echo, b"")])
                batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
                if batch:
                    self._queued_bytes -= sum(len(message) for _, message in batch)
                    await self._send(connection, batch)
                    continue
                if self._has_lost:
                    self._has_lost = False
                    self._lost()
                    continue
                self._is_empty.set()
                self._has_more.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(asyncio.get_running_loop().time() + ECHO_SECONDS):
                        await self._has_more.wait()
        finally:
            # Of the last batch nobody knows how much arrived.
            self._is_open, self._has_lost = False, True
            while self._queue:
                self._drop()
            self._is_empty.set()

    async def _send(self, connection: Any, batch: list[tuple[Any, bytes]]) -> None:
        commands = [(self._words.publish, channel, message) for channel, message in batch]
        async with asyncio.timeout(CALL_SECONDS):
            await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
            for _ in batch:
                await connection.read_response()
        self._metrics.broker_sent.inc(len(batch))

    async def _hear_all(self, connection: Any) -> None:
        self._asked, self._confirmed = set(), set()
        self._wanted.add(self._echo)
        self._has_changed.set()
        # Until the first echo comes round, this connection has as long as one that lost it.
        silent_from = time.monotonic()
        asking = asyncio.create_task(self._ask(connection))
        guarding = asyncio.create_task(self._guard(silent_from))
        reading = asyncio.create_task(self._read(connection))
        tasks = (asking, guarding, reading)
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._confirmed = set()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _guard(self, silent_from: float) -> None:
        """Return when no echo has come for too long: the server is frozen, or the network drops everything."""
        while True:
            left = max(self._echoed_at, silent_from) + ECHO_LOST_SECONDS - time.monotonic()
            if left <= 0:
                return
            await asyncio.sleep(left)

    async def _ask(self, connection: Any) -> None:
        """Keeps what the server sends the same as what is wanted."""
        while True:
            await self._has_changed.wait()
            self._has_changed.clear()
            wanted, asked = set(self._wanted), self._asked
            self._asked = wanted
            self._confirmed &= wanted
            for command, channels in (
                (self._words.subscribe, sorted(wanted - asked)),
                (self._words.unsubscribe, sorted(asked - wanted)),
            ):
                at_once = self._words.channels
                for first in range(0, len(channels), at_once):
                    async with asyncio.timeout(CALL_SECONDS):
                        named = channels[first : first + at_once]
                        await connection.send_command(command, *named, check_health=False)

    async def _read(self, connection: Any) -> None:
        while True:
            kind, channel, data = await connection.read_response(timeout=math.inf, disconnect_on_error=False)
            if kind == self._words.message:
                if channel == self._echo:
                    self._echoed_at = time.monotonic()
                else:
                    self._metrics.broker_received.inc()
                    self._deliver(channel, data)
            elif kind == self._words.subscribed:
                self._confirm(channel)

    def _confirm(self, channel: bytes) -> None:
        if channel in self._wanted:
            self._confirmed.add(channel)
        waiter = self._waiters.get(channel)
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        else:
            self._missed()

    async def _watch(self) -> None:
        """Says once when the server went away, and once when it is back."""
        began = time.monotonic()
        while True:
            healthy = self.is_healthy
            self._metrics.broker_up.set(healthy)
            if healthy != self._was_healthy and (healthy or time.monotonic() - began > ECHO_LOST_SECONDS):
                self._was_healthy = healthy
                if healthy:
                    logger.info("redis is back")
                else:
                    logger.warning("redis is away: events reach other instances a second or two later")
                    self._missed()
            await asyncio.sleep(WATCH_SECONDS)
