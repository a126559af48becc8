"""Thousands of phones come back at once, after `kill -9` of one instance and after the orderly end of the other.

They must have every fact exactly once and in order, soon, and with next to no reads of the database.
"""

import asyncio

from tests.chaos.cluster import Cluster, Instance
from tests.chaos.frame import Options, Report, Scenario
from tests.chaos.load import Load, comment_anywhere, unheard
from tests.chaos.phones import Crowd, percentile

READS = "cohort_event_log_reads_total"
# Returning phones are spread over 10 s by the server itself; this is for a machine in trouble.
LIMIT_SECONDS = 120.0


async def run(options: Options, report: Report) -> None:
    rooms = int(options.pick(100, 3))
    async with Cluster(options, redis=True, pinned=True) as cluster:
        groups = await cluster.groups(rooms, trainees=-(-options.n // rooms))
        load = Load(cluster.instances, comment_anywhere(groups), rate=options.pick(50, 5), seed=options.seed)
        async with Crowd(cluster.instances, options.seed) as crowd:
            crowd.settle_in(groups, options.n)
            await crowd.arrive()
            options.say("all phones are there")
            async with load:
                began = asyncio.get_running_loop().time()
                reads = await storms(cluster, crowd, options)
                rate = load.ledger.rate(began, asyncio.get_running_loop().time())
            truth = await cluster.truth()
            await crowd.all_at(truth, LIMIT_SECONDS)
            missed = crowd.behind(truth)
        tally = crowd.tally
        per_room = {group.community_id: 0 for group in groups}
        for phone in crowd.phones:
            per_room[phone.room.group.community_id] += 1
        report.add("facts acknowledged", len(load.ledger.acknowledged), least=1)
        report.add("facts a second", rate)
        report.add("returns", tally.reconnects, least=options.n)
        report.none_of("missed", missed + unheard(crowd.rooms, load.ledger, per_room) + tally.holes)
        report.none_of("double", tally.doubled)
        report.none_of("out of order", tally.disordered)
        report.exactly("told to reload", tally.resyncs, 0)
        report.add("caught up, p50", percentile(tally.caught_up_seconds, 50), "s")
        report.add("caught up, p99", percentile(tally.caught_up_seconds, 99), "s", most=10, timed=True)
        report.add("reads of the log a return", reads / max(1, tally.reconnects), most=0.1, timed=True)
        report.none_of("errors in the servers' logs", cluster.errors())


async def storms(cluster: Cluster, crowd: Crowd, options: Options) -> float:
    """End one instance after the other while facts are written; gives how often the log was read for it."""
    first, second = cluster.instances
    calm_seconds = options.pick(5, 1)
    await asyncio.sleep(calm_seconds)
    options.say("kill -9 of the first instance")
    before = await log_reads(second)
    await first.kill()
    await crowd.all_back(LIMIT_SECONDS)
    await first.start()
    await asyncio.sleep(calm_seconds)
    reads = await log_reads(second) - before
    options.say("SIGTERM to the second instance, where everybody is")
    before = await log_reads(first)
    await second.terminate()
    await crowd.all_back(LIMIT_SECONDS)
    reads += await log_reads(first) - before
    await second.start()
    await asyncio.sleep(calm_seconds)
    return reads


async def log_reads(instance: Instance) -> float:
    return (await instance.metrics())[READS]


SCENARIOS = (
    Scenario(
        "reconnect-storm",
        "One of two instances is killed, later the other one ends in order; everybody comes back at once.",
        run,
        counted="phones",
        full=5_000,
        quick=30,
    ),
)
