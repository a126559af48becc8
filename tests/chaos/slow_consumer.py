"""A thousand phones stop reading while others listen: they are dropped soon, cost little, and hurt nobody.

The healthy ones are in the same rooms, so whatever the stalled ones held up would show in their events. They are
compared with themselves, before the stalled ones came and with as many facts a second.

A phone that hurts nobody needs a server with work to spare: where the core is full, whatever is added makes the queue
before it longer, and that is all that a p99 shows. So the facts are written by another instance, and this one has
nothing else to do than what is measured: hearing and delivering them. The report says how busy it was.
"""

import asyncio
import math
import socket
from dataclasses import dataclass

from tests.chaos.cluster import Cluster, Instance
from tests.chaos.frame import Options, Report, Scenario
from tests.chaos.load import Ledger, lateness
from tests.chaos.other_instance import Facts, other_instance, trainers
from tests.chaos.phones import Crowd, percentile
from tests.support.frames import HANDSHAKE
from tests.support.population import Member

ROOMS, HEALTHY = 10, 4
# One room, so that its stalled phones are behind soon.
QUICK_ROOMS, QUICK_HEALTHY = 1, 5
FACTS_A_SECOND, QUICK_FACTS_A_SECOND, TOGETHER = 200, 40, 8
# A frame of 4 KiB: a post with so many characters, and what is around them.
CHARACTERS = 3_700
# What a phone's kernel takes although nobody reads. By itself Linux would grow this to megabytes.
RECEIVE_BYTES = 16 * 1024
LIMIT_SECONDS = 60.0
LOOK_SECONDS = 0.2
# How long the healthy phones are watched, with and without the others, once the writers have found their pace. In turns:
# one write that waits 0.3 s for the disk is all of a p99 of 20 s, on whichever side it falls.
OPENING_SECONDS, WATCH_SECONDS, TURNS = 1.0, 20.0, 3
MIB = 1 << 20
DROPPED, CONNECTIONS = "cohort_slow_consumers_dropped_total", "cohort_connections"


@dataclass
class Phase:
    """What was written in some seconds (between two moments), and what the server went through.

    ``dropped_seconds`` is how long it took until none but the healthy phones were connected.
    """

    ledger: Ledger
    span: tuple[float, float]
    cpu_seconds: float
    dropped_seconds: float
    peak_bytes: int

    @property
    def busy(self) -> float:
        """How much of its core the server used, in percent."""
        return 100 * self.cpu_seconds / (self.span[1] - self.span[0])

    def lateness(self, crowd: Crowd) -> list[float]:
        """From a request to each of the healthy phones, in seconds."""
        return lateness(crowd.rooms, self.ledger.sent, *self.span)


async def run(options: Options, report: Report) -> None:
    rooms, healthy = int(options.pick(ROOMS, QUICK_ROOMS)), int(options.pick(HEALTHY, QUICK_HEALTHY))
    count = -(-options.n // rooms)
    async with Cluster(options, instances=1, redis=True, pinned=True) as cluster:
        server = cluster.instances[0]
        groups = await cluster.groups(rooms, trainees=healthy + count, posts=1)
        async with other_instance(cluster) as other, Crowd(cluster.instances, options.seed) as crowd:
            crowd.settle_in(groups, rooms * healthy)
            await crowd.arrive()
            rate = options.pick(FACTS_A_SECOND, QUICK_FACTS_A_SECOND)
            seconds = options.pick(WATCH_SECONDS, 2)
            actors = await trainers(other, groups)

            def load() -> Facts:
                text = "x" * CHARACTERS
                return Facts(other, actors, text, rate=rate, together=TOGETHER, seed=options.seed)

            start_bytes = server.memory_bytes
            calm: list[Phase] = []
            trouble: list[Phase] = []
            for _ in range(int(options.pick(TURNS, 1))):
                calm.append(await watch(server, load(), rooms * healthy, seconds))
                # They come while nothing is written: a crowd that comes is trouble of another kind.
                stalled = [
                    await stall(server, member) for group in groups for member in group.trainees[healthy:]
                ]
                await connected(server, rooms * healthy + len(stalled))
                options.say(f"{len(stalled)} phones do not read")
                trouble.append(await watch(server, load(), rooms * healthy, seconds))
                for phone in stalled:
                    phone.close()
            dropped = (await server.metrics())[DROPPED]
            await crowd.all_at(await cluster.truth(), LIMIT_SECONDS)
        phases = [*calm, *trouble]
        written = [each.ledger.rate(*each.span) for each in trouble]
        facts = sum(len(each.ledger.acknowledged) for each in phases)
        report.add("facts of 4 KiB acknowledged", facts, least=1)
        report.add("facts a second", min(written), least=0.9 * rate, timed=True)
        report.exactly("dropped as too slow", dropped, len(stalled) * len(trouble))
        longest = max(each.dropped_seconds for each in trouble)
        report.add("all dropped after", longest, "s", most=15, timed=True)
        report.add("memory at the start", start_bytes / MIB, "MiB")
        added = (max(each.peak_bytes for each in trouble) - start_bytes) / MIB
        report.add("memory added at most", added, "MiB", most=300, timed=True)
        p99 = {}
        for name, some in (("normally", calm), ("meanwhile", trouble)):
            p99[name] = percentile([late for each in some for late in each.lateness(crowd)], 99)
            report.add(f"from request to healthy phones, p99 {name}", p99[name] * 1e3, "ms")
            report.add(f"the server's core, {name}", max(each.busy for each in some), "%")
        report.add("p99 meanwhile : normally", p99["meanwhile"] / p99["normally"], "x", most=1.2, timed=True)
        report.exactly("healthy phones lost", crowd.tally.reconnects, 0)
        report.none_of("missed by healthy phones", crowd.behind(await cluster.truth()) + crowd.tally.holes)
        report.none_of("double", crowd.tally.doubled)
        report.none_of("facts not written", [error for each in phases for error in each.ledger.errors()])
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
    """Wait until so many phones are let in."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while True:
            if (await server.metrics())[CONNECTIONS] >= count:
                return
            await asyncio.sleep(LOOK_SECONDS)


async def watch(server: Instance, load: Facts, healthy: int, seconds: float) -> Phase:
    """Write for so many seconds, and until only the healthy phones are left."""
    clock = asyncio.get_running_loop().time
    began, peak, dropped_seconds = clock(), 0, math.inf
    async with load:
        await asyncio.sleep(OPENING_SECONDS)
        opened, used = clock(), server.cpu_seconds
        while clock() < opened + (seconds if dropped_seconds < math.inf else LIMIT_SECONDS):
            peak = max(peak, server.memory_bytes)
            if (await server.metrics())[CONNECTIONS] <= healthy:
                dropped_seconds = min(dropped_seconds, clock() - began)
            await asyncio.sleep(LOOK_SECONDS)
        span = (opened, clock())
        used = server.cpu_seconds - used
    return Phase(load.ledger, span, used, dropped_seconds, peak)


SCENARIOS = (
    Scenario(
        "slow-consumer",
        "Phones stop reading in rooms where others listen to 200 facts of 4 KiB a second.",
        run,
        counted="stalled phones",
        full=1_000,
        quick=10,
    ),
)
