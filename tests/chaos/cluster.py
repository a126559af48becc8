"""What a scenario runs against: a real MongoDB, Valkey if wanted, and servers that can be killed and started again.
The load on them, and what should come of it, is elsewhere.
"""

import asyncio
import random
import re
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from store.embedded import EmbeddedMongo
from store.store import Store, open_store
from tests.chaos.frame import Options
from tests.support.fault_proxy import FaultProxy
from tests.support.http_connection import Address, HttpConnection
from tests.support.limits import NO_LIMITS
from tests.support.population import CLOCK, JWT_SECRET, Group, make_group
from tests.support.processes import LOAD_CORE, SERVER_CORE, Processes, ServerProcess, free_port, pin
from tests.support.redis_server import RedisServer

SETTINGS = {
    "JWT_SECRET": JWT_SECRET,
    "LOG_LEVEL": "WARNING",
    # A few members and one address stand for thousands.
    **NO_LIMITS,
}
GROUPS_AT_ONCE = 8
METRIC = re.compile(r"^(\w+(?:\{[^}]*\})?) (\S+)$", re.MULTILINE)


class Instance:
    """One place for a server: a port of its own, and one process after the other that serves there."""

    def __init__(self, name: str, processes: Processes, settings: dict[str, str], *, pinned: bool) -> None:
        self.name = name
        self.port = free_port()
        self.lives: list[ServerProcess] = []
        # Whether a balancer would send anybody there.
        self.is_serving = False
        # Its way to Redis, where faults can be put; None without Redis.
        self.redis_way: FaultProxy | None = None
        self._processes = processes
        self._settings = settings
        self._pinned = pinned

    @property
    def address(self) -> Address:
        return ("127.0.0.1", self.port)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def process(self) -> ServerProcess:
        """The present life, or the last one."""
        return self.lives[-1]

    @property
    def memory_bytes(self) -> int:
        return self.process.memory_bytes

    @property
    def cpu_seconds(self) -> float:
        return self.process.cpu_seconds

    async def start(self, **settings: str) -> Self:
        """Start a server here, on the same port as before; returns when it serves."""
        more = {} if self.redis_way is None else {"REDIS_URL": f"redis://127.0.0.1:{self.redis_way.port}/0"}
        life = self._processes.start(
            "--port", str(self.port), data_dir=self.name, **{**self._settings, **more, **settings}
        )
        if self._pinned:
            pin(SERVER_CORE, life.pid)
        self.lives.append(await life.listening())
        self.is_serving = True
        return self

    async def kill(self) -> None:
        """``kill -9``; returns when it is gone."""
        self.process.kill()
        await self.process.ended()
        self.is_serving = False

    async def terminate(self) -> int:
        """SIGTERM; returns its exit code when it is gone."""
        self.is_serving = False
        self.process.terminate()
        return await self.process.ended()

    async def metrics(self) -> dict[str, float]:
        """What it says at ``/metrics``: each series, with its labels, and its value."""
        connection = HttpConnection(self.address)
        try:
            text = (await connection.send("GET", "/metrics")).body.decode()
        finally:
            connection.close()
        return {series: float(value) for series, value in METRIC.findall(text)}

    def errors(self) -> list[str]:
        """What it logged as an error in all of its lives."""
        return [f"{self.name}: {line}" for life in self.lives for line in life.errors()]


def choose(instances: Sequence[Instance], chance: random.Random) -> Instance | None:
    """One of those that serve; None where there is none."""
    serving = [instance for instance in instances if instance.is_serving]
    return chance.choice(serving) if serving else None


@dataclass(frozen=True)
class Truth:
    """Each room's last fact, and the versions of those of its posts that were ever reacted to."""

    heads: dict[int, int]
    levels: dict[int, dict[int, int]]


class Cluster:
    """``async with Cluster(options, instances=2, redis=True) as cluster``: all of it runs inside, nothing outlives it.

    With ``pinned`` the servers share one core, and the load, the database and Redis the other, in a run of full
    size; a quick run leaves that to the system.
    """

    mongo: EmbeddedMongo
    store: Store
    folder: Path
    redis: RedisServer | None = None

    def __init__(
        self,
        options: Options,
        *,
        instances: int = 2,
        redis: bool = False,
        pinned: bool = False,
        settings: dict[str, str] | None = None,
    ) -> None:
        self._options = options
        self._count = instances
        self._with_redis = redis
        self._pinned = pinned and not options.quick
        self._settings = settings or {}
        self._stack = AsyncExitStack()
        self.instances: list[Instance] = []

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def group(self, name: str, *, trainees: int, posts: int = 5, password_hash: str = "") -> Group:
        """A new group in the database."""
        return await make_group(
            self.store,
            name,
            trainees=trainees,
            posts=posts,
            password_hash=password_hash,
            with_reactions=False,
        )

    async def groups(self, count: int, *, trainees: int, posts: int = 5) -> list[Group]:
        """Several groups of the same size."""
        self._options.say(f"making {count} groups of {trainees} trainees")
        gate = asyncio.Semaphore(GROUPS_AT_ONCE)

        async def make(number: int) -> Group:
            async with gate:
                return await self.group(f"room {number}", trainees=trainees, posts=posts)

        return list(await asyncio.gather(*(make(number) for number in range(count))))

    async def truth(self) -> Truth:
        """Where all rooms are, by the database."""
        database = self.store.database
        rooms = await database.table("communities").find({}, fields=["seq"])
        posts = await database.table("posts").find(
            {"reactions_version": {"$gt": 0}}, fields=["community_id", "reactions_version"]
        )
        truth = Truth({room["_id"]: room["seq"] for room in rooms}, {room["_id"]: {} for room in rooms})
        for post in posts:
            truth.levels[post["community_id"]][post["_id"]] = post["reactions_version"]
        return truth

    def errors(self) -> list[str]:
        """What the servers logged as errors."""
        return [error for instance in self.instances for error in instance.errors()]

    @property
    def addresses(self) -> Sequence[Address]:
        """Where the servers listen, for a balancer before them."""
        return [instance.address for instance in self.instances]

    @property
    def redis_ways(self) -> list[FaultProxy]:
        """The servers' ways to Redis, where faults can be put."""
        return [instance.redis_way for instance in self.instances if instance.redis_way is not None]

    async def _open(self) -> None:
        if self._pinned:
            pin(LOAD_CORE)
        prefix = "cohort-chaos-"
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix=prefix)))
        self.mongo = await asyncio.to_thread(EmbeddedMongo.start, self.folder / "database")
        self._stack.push_async_callback(asyncio.to_thread, self.mongo.stop)
        self.store = await self._stack.enter_async_context(open_store(self.mongo.uri, CLOCK))
        if self._with_redis:
            self.redis = await asyncio.to_thread(RedisServer(self.folder).start)
            self._stack.push_async_callback(asyncio.to_thread, self.redis.stop)
        processes = Processes(self.folder / "servers")
        self._stack.push_async_callback(asyncio.to_thread, processes.clean_up)
        for number in range(self._count):
            self.instances.append(await self._instance(f"server-{number}", processes))
        await asyncio.gather(*(instance.start() for instance in self.instances))

    async def _instance(self, name: str, processes: Processes) -> Instance:
        settings = {**SETTINGS, "MONGODB_URI": self.mongo.uri, **self._settings}
        instance = Instance(name, processes, settings, pinned=self._pinned)
        if self.redis is not None:
            way = FaultProxy(("127.0.0.1", int(self.redis.uri.rpartition(":")[2].partition("/")[0])))
            instance.redis_way = await self._stack.enter_async_context(way)
        return instance
