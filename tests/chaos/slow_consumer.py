"""A thousand phones stop reading while others listen: they are dropped soon, cost little, and hurt nobody.

The healthy ones are in the same rooms, so whatever the stalled ones held up would show in their events.
"""

import asyncio
import itertools
import random
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from tests.chaos.cluster import Cluster, Instance
from tests.chaos.frame import Options, Report, Scenario
from tests.chaos.load import FEED, WRITERS, Deed, Load, Make, lateness
from tests.chaos.phones import Crowd, percentile
from tests.support.frames import HANDSHAKE
from tests.support.population import Group, Member

ROOMS, HEALTHY = 4, 10
# One room, so that its stalled phones are behind soon.
QUICK_ROOMS, QUICK_HEALTHY = 1, 5
# A frame of 4 KiB: a post with so many characters, and what is around them.
CHARACTERS = 3_700
# What a phone's kernel takes although nobody reads. By itself Linux would grow this to megabytes.
RECEIVE_BYTES = 16 * 1024
LIMIT_SECONDS = 60.0
# A server that has just been started is slow for a moment.
WARM_UP_SECONDS = 5.0
LOOK_SECONDS = 0.2
MIB = 1 << 20
DROPPED, CONNECTIONS = "cohort_slow_consumers_dropped_total", "cohort_connections"


@dataclass
class Stall:
    """What the server went through: how long until the last stalled reader was dropped, and its memory's peak."""

    seconds: float
    peak_bytes: int
    dropped: float


async def run(options: Options, report: Report) -> None:
    rooms, healthy = int(options.pick(ROOMS, QUICK_ROOMS)), int(options.pick(HEALTHY, QUICK_HEALTHY))
    count, rate = -(-options.n // rooms), options.pick(200, 40)
    async with Cluster(options, instances=1, pinned=True) as cluster:
        server = cluster.instances[0]
        groups = await cluster.groups(rooms, trainees=healthy + count, posts=1)
        load = Load(cluster.instances, long_posts(groups), rate=rate, seed=options.seed)
        async with Crowd(cluster.instances, options.seed) as crowd:
            crowd.settle_in(groups, rooms * healthy)
            await crowd.arrive()
            clock = asyncio.get_running_loop().time
            async with load:
                await asyncio.sleep(options.pick(WARM_UP_SECONDS, 0.5))
                began = clock()
                await asyncio.sleep(options.pick(15, 2))
                calm = (began, clock())
                start_bytes = server.memory_bytes
                stalled = [
                    await stall(server, member) for group in groups for member in group.trainees[healthy:]
                ]
                await connected(server, rooms * healthy + len(stalled))
                options.say(f"{len(stalled)} phones do not read")
                began = clock()
                found = await all_dropped(server, rooms * healthy)
                trouble = (began, max(clock(), began + options.pick(15, 2)))
                await asyncio.sleep(trouble[1] - clock())
            for phone in stalled:
                phone.close()
            await crowd.all_at(await cluster.truth(), LIMIT_SECONDS)
        usual, meanwhile = (
            percentile(lateness(crowd.rooms, load.ledger.sent, *span), 99) for span in (calm, trouble)
        )
        report.add("facts of 4 KiB acknowledged", len(load.ledger.acknowledged), least=1)
        report.add("facts a second", load.ledger.rate(*trouble), least=0.9 * rate, timed=True)
        report.exactly("dropped as too slow", found.dropped, len(stalled))
        report.add("all dropped after", found.seconds, "s", most=15, timed=True)
        report.add("memory at the start", start_bytes / MIB, "MiB")
        report.add(
            "memory added at most", (found.peak_bytes - start_bytes) / MIB, "MiB", most=300, timed=True
        )
        report.add("from request to healthy phones, p99 normally", usual * 1e3, "ms")
        report.add("from request to healthy phones, p99 meanwhile", meanwhile * 1e3, "ms")
        report.add("p99 meanwhile : normally", meanwhile / usual, "x", most=1.2, timed=True)
        report.exactly("healthy phones lost", crowd.tally.reconnects, 0)
        report.none_of("missed by healthy phones", crowd.behind(await cluster.truth()) + crowd.tally.holes)
        report.none_of("double", crowd.tally.doubled)
        report.none_of("REST errors", load.ledger.errors())
        report.none_of("errors in the server's log", cluster.errors())


async def stall(server: Instance, member: Member) -> socket.socket:
    """Connect a phone that sends its handshake and then never reads."""
    loop = asyncio.get_running_loop()
    phone = socket.socket()
    phone.setblocking(False)
    phone.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    await loop.sock_connect(phone, server.address)
    host, port = server.address
    path = f"/ws/community/feed/?token={member.token()}"
    await loop.sock_sendall(phone, HANDSHAKE.format(path=path, host=host, port=port).encode())
    return phone


async def connected(server: Instance, count: int) -> None:
    """Wait until so many phones are let in: a crowd that comes is trouble of another kind."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while True:
            if (await server.metrics())[CONNECTIONS] >= count:
                return
            await asyncio.sleep(LOOK_SECONDS)


async def all_dropped(server: Instance, healthy: int) -> Stall:
    """Wait until only the healthy phones are left, and watch the server's memory meanwhile."""
    clock = asyncio.get_running_loop().time
    began, peak = clock(), 0
    while True:
        peak = max(peak, server.memory_bytes)
        now = await server.metrics()
        if now[CONNECTIONS] <= healthy or clock() - began > LIMIT_SECONDS:
            return Stall(clock() - began, peak, now[DROPPED])
        await asyncio.sleep(LOOK_SECONDS)


def long_posts(groups: Sequence[Group]) -> list[Make]:
    """Posts of about 4 KiB in all groups."""
    numbers = itertools.count(1)

    def make(chance: random.Random) -> Deed:
        body = {"content": f"{next(numbers)} ".ljust(CHARACTERS, "x")}
        return Deed(chance.choice(groups).trainer, "POST", FEED, body, creates=True)

    return [make] * WRITERS


SCENARIO = Scenario(
    "slow-consumer",
    "Phones stop reading in rooms where others listen to 200 facts of 4 KiB a second.",
    run,
    counted="stalled phones",
    full=1_000,
    quick=10,
)
