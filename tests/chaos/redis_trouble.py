"""Redis dies or freezes under load, again and again: requests must not notice, and events may be late by seconds.

Redis itself is killed or stopped, or the servers' way to it is cut or swallows everything.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from tests.chaos.cluster import Cluster
from tests.chaos.frame import Options, Report, Scenario
from tests.chaos.load import Load, lateness, mixed, unheard
from tests.chaos.phones import Crowd, percentile
from tests.support.redis_server import RedisServer

LIMIT_SECONDS = 60.0
# Servers that have just been started are slow for a moment.
WARM_UP_SECONDS = 5.0
MEMBERS, QUICK_MEMBERS = 20, 6
READS = 0.5


Change = Callable[[Cluster], Awaitable[None]]


@dataclass(frozen=True)
class Trouble:
    """A way in which Redis is away, and its end."""

    says: str
    begin: Change
    end: Change


@dataclass
class Rounds:
    """The times at which Redis was away (monotonic seconds), and how long phones then took to be equal again."""

    away: list[tuple[float, float]]
    equal_seconds: list[float]


async def run(troubles: Sequence[Trouble], options: Options, report: Report) -> None:
    rooms, members = int(options.pick(10, 2)), int(options.pick(MEMBERS, QUICK_MEMBERS))
    async with Cluster(options, redis=True, pinned=True) as cluster:
        groups = await cluster.groups(rooms, trainees=members)
        load = Load(
            cluster.instances, mixed(groups, reads=READS), rate=options.pick(100, 12), seed=options.seed
        )
        async with Crowd(cluster.instances, options.seed) as crowd:
            crowd.settle_in(groups, rooms * members)
            await crowd.arrive()
            async with load:
                clock = asyncio.get_running_loop().time
                await asyncio.sleep(options.pick(WARM_UP_SECONDS, 0.5))
                began = clock()
                await asyncio.sleep(options.pick(30, 2))
                calm = (began, clock())
                rounds = await rounds_of(troubles, cluster, crowd, options)
            truth = await cluster.truth()
            await crowd.all_at(truth, LIMIT_SECONDS)
            missed = crowd.behind(truth)
        normal = load.ledger.seconds(*calm)
        meanwhile = [seconds for span in rounds.away for seconds in load.ledger.seconds(*span)]
        late = [
            seconds
            for span in rounds.away
            for seconds in lateness(crowd.rooms, load.ledger.acknowledged, *span)
        ]
        ratio = percentile(meanwhile, 99) / percentile(normal, 99)
        per_room = dict.fromkeys(truth.heads, members)
        report.add("facts acknowledged", len(load.ledger.acknowledged), least=1)
        report.none_of("REST errors", load.ledger.errors())
        report.add("REST p99, normally", percentile(normal, 99) * 1e3, "ms")
        report.add("REST p99, without Redis", percentile(meanwhile, 99) * 1e3, "ms")
        report.add("REST p99, without Redis : normally", ratio, "x", most=2, timed=True)
        report.add(
            "latest event, normally",
            max(lateness(crowd.rooms, load.ledger.acknowledged, *calm), default=math.nan),
            "s",
        )
        report.add("latest event, without Redis", max(late, default=math.nan), "s", most=3, timed=True)
        report.add("all equal afterwards", max(rounds.equal_seconds), "s", most=2, timed=True)
        report.none_of("missed", missed + unheard(crowd.rooms, load.ledger, per_room) + crowd.tally.holes)
        report.none_of("double", crowd.tally.doubled)
        report.none_of("out of order", crowd.tally.disordered)
        report.exactly("connections lost", crowd.tally.reconnects, 0)
        report.none_of("errors in the servers' logs", cluster.errors())


async def rounds_of(troubles: Sequence[Trouble], cluster: Cluster, crowd: Crowd, options: Options) -> Rounds:
    """Each trouble in its turn for `n` rounds, with calm after each."""
    clock = asyncio.get_running_loop().time
    rounds = Rounds([], [])
    for number in range(options.n):
        trouble = troubles[number % len(troubles)]
        options.say(f"round {number + 1} of {options.n}: {trouble.says}")
        began = clock()
        await trouble.begin(cluster)
        await asyncio.sleep(options.pick(30, 3))
        await trouble.end(cluster)
        ended = clock()
        rounds.away.append((began, ended))
        # What had happened by then must be everywhere soon; what happens meanwhile is the next round's.
        await crowd.all_at(await cluster.truth(), LIMIT_SECONDS)
        rounds.equal_seconds.append(clock() - ended)
        await asyncio.sleep(options.pick(10, 1))
    return rounds


def redis_of(cluster: Cluster) -> RedisServer:
    assert cluster.redis is not None
    return cluster.redis


async def kill(cluster: Cluster) -> None:
    redis_of(cluster).kill()


async def start(cluster: Cluster) -> None:
    await asyncio.to_thread(redis_of(cluster).start)


async def freeze(cluster: Cluster) -> None:
    redis_of(cluster).freeze()


async def thaw(cluster: Cluster) -> None:
    redis_of(cluster).thaw()


async def cut_off(cluster: Cluster) -> None:
    for way in cluster.redis_ways:
        await way.refuse()
        way.cut()


async def swallow(cluster: Cluster) -> None:
    for way in cluster.redis_ways:
        way.blackhole()


async def mend(cluster: Cluster) -> None:
    for way in cluster.redis_ways:
        await way.mend()


def scenario(name: str, says: str, *troubles: Trouble) -> Scenario:
    async def run_it(options: Options, report: Report) -> None:
        await run(troubles, options, report)

    return Scenario(name, says, run_it, counted="rounds", full=5, quick=2)


SCENARIOS = (
    scenario(
        "redis-kill",
        "Redis is killed for half a minute and started again, or the servers are cut off from it.",
        Trouble("Redis is killed", kill, start),
        Trouble("the servers are cut off from Redis", cut_off, mend),
    ),
    scenario(
        "redis-freeze",
        "Redis is stopped in its tracks for half a minute (SIGSTOP), or the network swallows everything.",
        Trouble("Redis is frozen", freeze, thaw),
        Trouble("the network swallows what goes to Redis and comes from it", swallow, mend),
    ),
)
