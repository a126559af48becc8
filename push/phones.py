"""From notices that are kept in the database to phones: batches, fairness, patience, and an account of every push.

``accept`` only rings a bell, so no request waits for it. Who the recipients are is the desk's business
(``community.away``), what FCM's answers mean that of ``fcm``.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar

from config.clock import Clock
from config.metrics import Metrics
from push.debounce import Debounce
from push.gateway import MOST_AT_ONCE, Answer, BadCredentials, Gateway, Outcome, Push
from push.notices import Notice

LOG = logging.getLogger(__name__)

# The contract's: nobody wants to hear later of what could not be sent.
GOOD_FOR = timedelta(minutes=15)
# Notices to one person and those to a whole group go their own ways: neither waits for the other.
TO_ONE, TO_MANY = "one", "many"
# Workers of each, so batches in flight. One for groups: a batch is 0.2 s of work for the process.
WORKERS = {TO_ONE: 4, TO_MANY: 1}
# Notices claimed together. A group's people come a batch at a time, then other groups have their turn.
CLAIMED = {TO_ONE: 50, TO_MANY: 1}
# While FCM answers nobody: what is handed over is lost, and costs a thread each, so the others had better wait.
CLAIMED_IN_SILENCE = 1
# How often each instance looks for what others left: killed ones, and those that were refused for a while.
LOOK_SECONDS = 5.0
# Waits between tries: doubling from one second to a minute, up to half of it taken away by chance.
FIRST_WAIT_SECONDS, MOST_WAIT_SECONDS = 1.0, 60.0


class Kept(Protocol):
    """A notice as it was claimed. ``handing`` pushes of it were under way when its last sender was heard of last."""

    @property
    def id(self) -> str: ...
    @property
    def claim(self) -> str: ...
    @property
    def content(self) -> Mapping[str, Any]: ...
    @property
    def at(self) -> datetime: ...
    @property
    def tries(self) -> int: ...
    @property
    def handing(self) -> int: ...
    @property
    def walks(self) -> bool:
        """Whether it goes through a whole group, some people at a time."""


@dataclass(frozen=True, slots=True)
class Target:
    """One device of somebody whom a notice is for."""

    device_id: int
    push: Push


@dataclass(frozen=True, slots=True)
class Chunk:
    """The devices whose turn it is, at most ``MOST_AT_ONCE``. A walk goes on behind the person ``after``."""

    targets: Sequence[Target]
    after: int | None = None
    is_last: bool = True


K = TypeVar("K", bound=Kept)


class Desk(Protocol[K]):
    """The notices as they are kept, and whom they are for. All of it may raise, which loses nothing."""

    async def claim(self, lane: str, limit: int) -> Sequence[K]:
        """Give what is due, all under one claim; nobody else is given it for two minutes."""

    async def chunks(self, claimed: Sequence[K]) -> Mapping[str, Chunk]:
        """Give whom they go to next, by id; those are left out whose cause is gone."""

    async def begin(self, claim: str, counts: Mapping[str, int], after: int | None) -> Collection[str]:
        """Write down that so many pushes of each are being handed over; gives the ids that may still be."""

    async def finish(self, claim: str, ids: Sequence[str]) -> None:
        """Forget notices of which nothing is left."""

    async def go_on(self, kept: K) -> None:
        """Give a walk back for its next people."""

    async def postpone(self, kept: K, device_ids: Sequence[int], wait_seconds: float) -> None:
        """Keep what is to be tried again, by itself where the notice walks on."""

    async def bury(self, device_ids: Sequence[int]) -> None:
        """Send nothing more to devices whose tokens are dead."""


Batch = list[tuple[K, Chunk]]


class Phones(Generic[K]):
    """Accepts at once, sends when there is time. All of it belongs to one event loop."""

    def __init__(
        self,
        desk: Desk[K],
        gateway: Gateway,
        debounce: Debounce,
        *,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._desk = desk
        self._gateway = gateway
        self._debounce = debounce
        self._metrics = metrics
        self._clock = clock
        self._is_on: bool | None = None  # not known before the first attempt
        self._bells = {lane: asyncio.Event() for lane in WORKERS}
        self._claiming = {lane: asyncio.Lock() for lane in WORKERS}
        self._workers: list[asyncio.Task[None]] = []
        self._looking: asyncio.Task[None] | None = None
        self._draining = False
        # Whether no push of the last batch had an answer.
        self._is_silent = False

    def wants(self, notice: Notice) -> bool:
        """Whether it is worth keeping: pushes are set up, and as far as is known here nobody heard of it lately."""
        if self._is_on is None:
            self._is_on = self._gateway.has_credentials()
            if not self._is_on:
                LOG.warning("No push notifications: FIREBASE_CREDENTIALS_PATH names no file")
        return self._is_on and not self._debounce.lately(notice.debounce)

    def accept(self, notice: Notice, *, to_many: bool = False) -> None:
        """Have a notice sent that is in the database now; returns at once."""
        self._metrics.notices["accepted"].inc()
        self._debounce.remember(notice.debounce)
        self._bells[TO_MANY if to_many else TO_ONE].set()

    async def send_now(self, pushes: Sequence[Push]) -> list[Answer]:
        """Send past the queue, once, and give FCM's answers. Raises ``BadCredentials``."""
        return await self._gateway.send(pushes)

    async def start(self) -> None:
        """Begin to send, and to look for what others left; without credentials nothing happens."""
        if not self._gateway.has_credentials():
            return
        for lane, count in WORKERS.items():
            for _ in range(count):
                self._workers.append(asyncio.create_task(self._work(lane), name=f"phones-{lane}"))
        self._looking = asyncio.create_task(self._look(), name="phones-look")

    async def drain(self, timeout_seconds: float) -> None:
        """Send what is due, then stop. What is not handed over by then stays for others, or for the next start."""
        self._draining = True
        self.ring()
        if self._workers:
            await asyncio.wait(self._workers, timeout=timeout_seconds)
        tasks = [*self._workers, *([self._looking] if self._looking else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._debounce.close()
        await self._gateway.close()

    def ring(self) -> None:
        """Have a look at what is due, whoever left it."""
        for bell in self._bells.values():
            bell.set()

    async def _look(self) -> None:
        while True:
            self.ring()
            await asyncio.sleep(LOOK_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - a beat, no secret

    async def _work(self, lane: str) -> None:
        bell = self._bells[lane]
        while self._is_on is not False:
            await bell.wait()
            try:
                await self.turn(lane)
            except Exception as failure:  # noqa: BLE001 - a border: no notice may stop the ones behind it
                bell.clear()
                LOG.warning("Push notifications wait: %s", type(failure).__name__)
            if self._draining and not bell.is_set():
                return

    async def turn(self, lane: str) -> bool:
        """Claim what is due and send it; False where nobody rang, or nothing was due."""
        # One at a time: of all that wake up by one ring, one finds it and one finds that there is no more.
        async with self._claiming[lane]:
            if not self._bells[lane].is_set():
                return False
            self._bells[lane].clear()
            claimed = await self._desk.claim(lane, CLAIMED_IN_SILENCE if self._is_silent else CLAIMED[lane])
            if not claimed:
                return False
            self._bells[lane].set()
        await self._send(claimed)
        return True

    async def _send(self, claimed: Sequence[K]) -> None:
        claim = claimed[0].claim
        batch, done = await self._sorted(claimed)
        if done:
            await self._desk.finish(claim, done)
        for part in _parts(batch):
            await self._hand_over(claim, part)

    async def _sorted(self, claimed: Sequence[K]) -> tuple[Batch[K], list[str]]:
        """Give what is to be sent, and to whom; and the ids of what is not, all accounted for."""
        fresh = [kept for kept in claimed if self._is_fresh(kept)]
        chunks = await self._desk.chunks(fresh)
        batch: Batch[K] = []
        for kept in fresh:
            chunk = chunks.get(kept.id)
            key = Notice.of(kept.content).debounce
            if chunk is None:
                self._metrics.notices["gone"].inc()
                self._debounce.forget(key)
            elif chunk.targets:
                if kept.tries or await self._debounce.is_first(key, kept.id):
                    batch.append((kept, chunk))
                else:
                    self._metrics.notices["debounced"].inc()
        chosen = {kept.id for kept, _ in batch}
        return batch, [kept.id for kept in claimed if kept.id not in chosen]

    def _is_fresh(self, kept: K) -> bool:
        """Whether there may be something to send; what somebody else left unaccounted for is reported."""
        if kept.handing:
            self._drop(kept.handing, "were being handed over when an instance died")
            # A walk had moved on before; anything else was handed over whole.
            if not kept.walks:
                return False
        if kept.at < self._clock.now() - GOOD_FOR:
            self._metrics.notices["expired"].inc()
            LOG.warning("A push notification was not sent within 15 minutes, and is dropped")
            return False
        return True

    async def _hand_over(self, claim: str, part: Batch[K]) -> None:
        """Hand over one batch: written down before, accounted for after, so that nothing is handed over twice."""
        counts = {kept.id: len(chunk.targets) for kept, chunk in part}
        ours = await self._desk.begin(claim, counts, part[0][1].after)
        part = [(kept, chunk) for kept, chunk in part if kept.id in ours]
        pushes = [target.push for _, chunk in part for target in chunk.targets]
        if not pushes:
            return
        try:
            answers = await self._gateway.send(pushes)
        except BadCredentials as error:
            self._turn_off(error, len(pushes))
            await self._desk.finish(claim, list(ours))
            return
        await self._settle(claim, part, answers)

    async def _settle(self, claim: str, part: Batch[K], answers: Sequence[Answer]) -> None:
        """Account for each push, and decide what becomes of each notice."""
        self._report(answers)
        self._is_silent = all(answer.outcome is Outcome.UNKNOWN for answer in answers)
        left = iter(answers)
        dead: list[int] = []
        done: list[str] = []
        for kept, chunk in part:
            own = {target.device_id: next(left) for target in chunk.targets}
            took_seconds = (self._clock.now() - kept.at).total_seconds()
            for answer in own.values():
                if answer.outcome is Outcome.SENT:
                    self._metrics.push_delay.observe(took_seconds)
            dead += [device_id for device_id, answer in own.items() if answer.outcome is Outcome.DEAD]
            again = [device_id for device_id, answer in own.items() if answer.outcome is Outcome.AGAIN]
            if again:
                await self._postpone(kept, again, _wait_seconds(kept.tries, own.values()))
            if kept.walks and not chunk.is_last:
                await self._desk.go_on(kept)
            elif kept.walks or not again:
                done.append(kept.id)
        if done:
            await self._desk.finish(claim, done)
        if dead:
            await self._desk.bury(dead)

    async def _postpone(self, kept: K, device_ids: Sequence[int], wait_seconds: float) -> None:
        await self._desk.postpone(kept, device_ids, wait_seconds)
        # Not before it is due; who looks every few seconds would find it, too.
        asyncio.get_running_loop().call_later(wait_seconds + 0.01, self.ring)

    def _report(self, answers: Sequence[Answer]) -> None:
        """Count and log what FCM said, by kind: the log gets neither tokens nor words that may quote one."""
        for (outcome, word), count in Counter((answer.outcome, answer.word) for answer in answers).items():
            match outcome:
                case Outcome.SENT:
                    self._metrics.pushes["sent"].inc(count)
                case Outcome.DEAD:
                    self._metrics.pushes["dead"].inc(count)
                    LOG.debug("%d devices are gone: %s", count, word)
                case Outcome.REFUSED:
                    self._metrics.pushes["refused"].inc(count)
                    LOG.warning("FCM refused %d pushes: %s", count, word)
                case Outcome.UNKNOWN:
                    self._drop(count, f"may have been taken or not: {word}")
                case Outcome.AGAIN:
                    LOG.warning("FCM did not take %d pushes, which wait for another try: %s", count, word)

    def _drop(self, count: int, why: str) -> None:
        self._metrics.pushes["dropped"].inc(count)
        LOG.warning("%d pushes dropped, which %s", count, why)

    def _turn_off(self, why: BadCredentials, unsent: int) -> None:
        """Accept nothing more until the next start, and say so once."""
        self._metrics.pushes["dropped"].inc(unsent)
        if self._is_on is not False:
            self._is_on = False
            LOG.warning("No push notifications until the next start: %s", why)


def _parts(batch: Batch[K]) -> list[Batch[K]]:
    """Give the batch in parts of at most ``MOST_AT_ONCE`` pushes; no notice alone has more."""
    parts: list[Batch[K]] = []
    room = 0
    for kept, chunk in batch:
        if len(chunk.targets) > room:
            parts.append([])
            room = MOST_AT_ONCE
        parts[-1].append((kept, chunk))
        room -= len(chunk.targets)
    return parts


def _wait_seconds(tries: int, answers: Collection[Answer]) -> float:
    """Give how long to wait for the next try: as long as FCM asked for, and at least as long as back-off says."""
    asked = max((answer.retry_after_seconds or 0.0 for answer in answers), default=0.0)
    most = min(MOST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** min(tries, 10))
    return max(asked, most * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
