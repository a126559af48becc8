"""The live rooms of an instance on the real store, nobody in them: what comparing them with the database costs.
Each line on stdin measures a turn and is answered by one line of JSON; hub, sockets and Redis are not here.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from community.facts import StoredFacts
from community.people import People
from config.metrics import Metrics
from realtime.broker import LocalBroker
from realtime.live_room import LiveRoom
from realtime.live_rooms import LiveRooms
from store.store import Store, open_store
from tests.benchmarks.load_http import percentile
from tests.benchmarks.peers import common
from tests.support.clock import FakeClock

# Further than the comparison of levels ever reaches back.
LONG_SECONDS = 60

# One room in ten changes between two comparisons: far more than people do.
CHANGED_SHARE = 10

# How often rooms are left behind in a turn; the writes before it take a second.
TIMES_BEHIND = 3

# A room of the plan: its community, its trainer, a post of theirs.
Target = dict[str, int]


class Rooms:
    """All rooms of the plan, open, on a clock that moves when it is told: what changed lately is what we changed."""

    def __init__(self, store: Store, clock: FakeClock, targets: list[Target]) -> None:
        source = StoredFacts(store, People(store.users, clock), "http://127.0.0.1:8000")
        self._store = store
        self._clock = clock
        self._targets = targets
        self._changing = targets[::CHANGED_SHARE]
        self._rooms = LiveRooms(LocalBroker(), source, clock=clock, metrics=Metrics())

    async def open(self) -> None:
        for target in self._targets:
            await self._rooms.open(target["community_id"])

    async def turn(self, seconds: float) -> dict[str, float]:
        """Every figure once: a ping, nothing changed, levels changed lately, and facts that nobody heard of."""
        ping = await self._repeated(self._store.database.ping, seconds)
        self._clock.advance(LONG_SECONDS)
        await self._rooms.compare()
        quiet = await self._repeated(self._rooms.compare, seconds)
        held = await self._repeated(self._holding, seconds)
        await self._react()
        await self._rooms.compare()
        reacted = await self._repeated(self._rooms.compare, seconds)
        self._clock.advance(LONG_SECONDS)
        await self._rooms.compare()
        behind = await self._behind()
        sides = {"ping": ping, "quiet": quiet, "held": held, "reacted": reacted, "behind": behind}
        return {f"{side} {name}": number for side, each in sides.items() for name, number in each.items()}

    async def _repeated(
        self, work: Callable[[], Awaitable[float | None]], seconds: float
    ) -> dict[str, float]:
        """One after another for so long; the milliseconds of one (or what it gives), and those on each side's core."""
        took: list[float] = []
        before, until = await self._used(), time.perf_counter() + seconds
        while time.perf_counter() < until:
            began = time.perf_counter()
            given = await work()
            took.append(time.perf_counter() - began if given is None else given)
        return _figures(took, before, await self._used())

    async def _holding(self) -> float:
        """A comparison beside somebody who wants every turn of the loop: the longest wait for one, in seconds."""
        longest = 0.0
        comparing = asyncio.create_task(self._rooms.compare())
        while not comparing.done():
            began = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - began)
        await comparing
        return longest

    async def _behind(self) -> dict[str, float]:
        """From a comparison until each room that another instance wrote to has read its log."""
        took: list[float] = []
        spent = [0.0, 0.0]
        for _ in range(TIMES_BEHIND):
            heads = await self._write()
            before, began = await self._used(), time.perf_counter()
            await self._rooms.compare()
            while late := [room for room, seq in heads.items() if room.last.seq < seq]:
                await asyncio.gather(*(room.catch_up() for room in late))
            took.append(time.perf_counter() - began)
            after = await self._used()
            spent = [so_far + new - old for so_far, new, old in zip(spent, after, before, strict=True)]
        return _figures(took, [0.0, 0.0], spent)

    async def _react(self) -> None:
        posts = await self._store.posts.some([target["post_id"] for target in self._changing])
        for target in self._changing:
            await self._store.reactions.toggle(posts[target["post_id"]], target["user_id"], "fire")

    async def _write(self) -> dict[LiveRoom, int]:
        """A post in each changing room, of which no room hears; the numbers they were given."""
        heads = {}
        for target in self._changing:
            community_id = target["community_id"]
            _, fact = await self._store.posts.add(
                community_id=community_id,
                author_id=target["user_id"],
                content=common.PARAGRAPH,
                content_format="plain",
            )
            assert fact is not None
            heads[await self._rooms.open(community_id)] = fact.seq
        return heads

    async def _used(self) -> list[float]:
        """The processor's seconds that this process and the database have used."""
        status = await self._store.database.raw.command("serverStatus")
        database = status["extra_info"]["user_time_us"] + status["extra_info"]["system_time_us"]
        return [time.process_time(), database / 1e6]


def _figures(took: list[float], before: list[float], after: list[float]) -> dict[str, float]:
    own, database = ((now - then) / len(took) * 1e3 for then, now in zip(before, after, strict=True))
    return {
        "p50": percentile(took, 50) * 1e3,
        "p99": percentile(took, 99) * 1e3,
        "cpu": own,
        "database cpu": database,
    }


async def main() -> None:
    options = common.arguments(("--mongodb", str), ("--plan", Path))
    clock = FakeClock(datetime.now(UTC))
    tasks: set[asyncio.Task[Any]] = set()
    async with open_store(options.mongodb, clock) as store:
        rooms = Rooms(store, clock, json.loads(options.plan.read_text()))
        await rooms.open()

        async def answer(line: bytes) -> None:
            print(json.dumps(await rooms.turn(float(line))), flush=True)

        def on_line(line: bytes) -> None:
            task = asyncio.ensure_future(answer(line))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        common.read_lines(asyncio.get_running_loop(), on_line)
        # Nothing listens: the line says that it is ready.
        print("listening on http://127.0.0.1:0", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
