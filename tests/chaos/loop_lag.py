"""Minutes of everything at once: phones come and go, members read, write and react, and no request waits for the loop.

The lag is the server's own measure, so the load's sluggishness is not in it. A slow machine has its core full by 200
requests a second (the report says so); then requests wait for each other longer, and the loop must lag no more.
"""

import asyncio
import re

from tests.chaos.cluster import Cluster
from tests.chaos.frame import Options, Report, Scenario
from tests.chaos.load import Load, mixed
from tests.chaos.phones import Crowd, percentile

MEMBERS, QUICK_MEMBERS, ROOMS, READS = 50, 15, 10, 0.6
LIMIT_MS = 50
BUCKET = re.compile(r'cohort_loop_lag_seconds_bucket\{le="([^"]+)"\}')
LIMIT_SECONDS = 60.0
# A server that has just been started is slow for a moment.
WARM_UP_SECONDS = 5.0


async def run(options: Options, report: Report) -> None:
    rooms, members = int(options.pick(ROOMS, 2)), int(options.pick(MEMBERS, QUICK_MEMBERS))
    async with Cluster(options, instances=1, redis=True, pinned=True) as cluster:
        server = cluster.instances[0]
        groups = await cluster.groups(rooms, trainees=members)
        load = Load(
            cluster.instances, mixed(groups, reads=READS), rate=options.pick(200, 20), seed=options.seed
        )
        async with Crowd(cluster.instances, options.seed) as crowd:
            crowd.settle_in(groups, rooms * members)
            await crowd.arrive()
            async with load:
                await asyncio.sleep(options.pick(WARM_UP_SECONDS, 0.5))
                before, used = lags(await server.metrics()), server.cpu_seconds
                began = asyncio.get_running_loop().time()
                await come_and_go(crowd, options)
                busy = (server.cpu_seconds - used) / (asyncio.get_running_loop().time() - began)
            found = {bound: count - before[bound] for bound, count in lags(await server.metrics()).items()}
            await crowd.all_at(await cluster.truth(), LIMIT_SECONDS)
        total = found["+Inf"]
        seconds = [exchange.seconds for exchange in load.ledger.exchanges]
        report.add("beats of the loop", total, least=options.n * 10)
        report.add("requests", len(seconds), least=1)
        report.add("phones that came back", crowd.tally.reconnects, least=1)
        for percent in (50, 99, 99.9):
            judged = LIMIT_MS if percent == 99.9 else None
            report.add(f"lag, p{percent:g}", upper_bound(found, percent) * 1e3, "ms", most=judged, timed=True)
        report.add("beats later than 50 ms", 100 * (1 - found["0.05"] / total), "%")
        report.add("the server's core", 100 * busy, "%")
        report.add("REST p99", percentile(seconds, 99) * 1e3, "ms")
        report.none_of("REST errors", load.ledger.errors())
        report.none_of("errors in the servers' logs", cluster.errors())


async def come_and_go(crowd: Crowd, options: Options) -> None:
    """For `n` seconds: every second one phone of fifty loses its connection and comes back."""
    for _ in range(options.n):
        await asyncio.sleep(1)
        for phone in options.random.sample(crowd.phones, max(1, len(crowd.phones) // 50)):
            phone.drop()
    await crowd.all_back(LIMIT_SECONDS)


def lags(metrics: dict[str, float]) -> dict[str, float]:
    """How many beats were at most so late, by seconds as Prometheus writes them."""
    return {match[1]: value for series, value in metrics.items() if (match := BUCKET.fullmatch(series))}


def upper_bound(counts: dict[str, float], percent: float) -> float:
    """The least of the histogram's bounds that so many percent of the beats keep, in seconds."""
    wanted = counts["+Inf"] * percent / 100
    return min(float(bound) for bound, count in counts.items() if count >= wanted)


SCENARIOS = (
    Scenario(
        "loop-lag",
        "Phones come and go while members read, write and react: how long requests wait for the event loop.",
        run,
        counted="seconds",
        full=300,
        quick=3,
    ),
)
