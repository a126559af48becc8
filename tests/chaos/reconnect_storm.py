"""Thousands of phones come back at once, after `kill -9` of one instance and after the orderly end of the other.

They must have every fact exactly once and in order, soon, and with next to no reads of the database.
"""

import asyncio

from tests.chaos.cluster import Cluster, Instance
from tests.chaos.frame import Options, Report, Scenario
from tests.chaos.load import unheard
from tests.chaos.other_instance import Facts, other_instance, trainers
from tests.chaos.phones import Crowd, percentile
from tests.support.population import PARAGRAPH

READS = "cohort_event_log_reads_total"
# Written by neither of the two instances, so that there are as many while they are away.
FACTS_A_SECOND, QUICK_FACTS_A_SECOND, TOGETHER = 50, 5, 5
# Returning phones are spread over 10 s by the server itself; this is for a machine in trouble.
LIMIT_SECONDS = 120.0


async def run(options: Options, report: Report) -> None:
    rooms = int(options.pick(100, 3))
    async with Cluster(options, redis=True, pinned=True) as cluster:
        groups = await cluster.groups(rooms, trainees=-(-options.n // rooms))
        async with other_instance(cluster) as other, Crowd(cluster.instances, options.seed) as crowd:
            crowd.settle_in(groups, options.n)
            await crowd.arrive()
            options.say("all phones are there")
            asked = options.pick(FACTS_A_SECOND, QUICK_FACTS_A_SECOND)
            actors = await trainers(other, groups)
            load = Facts(other, actors, PARAGRAPH, rate=asked, together=TOGETHER, seed=options.seed)
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
        report.add("facts a second", rate, least=0.9 * asked, timed=True)
        report.none_of("facts not written", load.ledger.errors())
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
