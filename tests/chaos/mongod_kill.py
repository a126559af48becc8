"""`kill -9` of the database under writes, again and again: what was acknowledged is there, and nothing else is said.

The database comes back by itself, and the servers find it again without a restart of theirs.
"""

import asyncio
import contextlib
import os
import signal

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from tests.chaos.cluster import Cluster
from tests.chaos.frame import Options, Report, Scenario
from tests.chaos.load import Ledger, Load
from tests.chaos.phones import percentile
from tests.chaos.writers import open_posts, writers
from tests.e2e.wholeness import contradictions
from tests.support.processes import until
from tests.support.written import Written, differences

# So many that 300 writes a second are asked for while each waits some seconds to hear that the database is away.
ROOMS, POSTS, MEMBERS, QUICK_MEMBERS = 16, 5, 200, 8
WRITERS, QUICK_WRITERS = 2_600, 32
ASKED_A_SECOND, QUICK_ASKED_A_SECOND = 300, 20
# A database that dies three times in a row within 2 s of its start is given up for broken.
LIFE_SECONDS = 2.2
# How long it stays away, in turns: as long as its start takes, and longer than servers let a request wait.
AWAY_SECONDS = (0.0, 8.0)
LIMIT_SECONDS = 60.0


async def run(options: Options, report: Report) -> None:
    written = Written()
    async with Cluster(options) as cluster:
        groups = await cluster.groups(ROOMS, trainees=int(options.pick(MEMBERS, QUICK_MEMBERS)), posts=0)
        posts = await open_posts(cluster.store, groups, POSTS)
        before = {instance: instance.process for instance in cluster.instances}
        asked = options.pick(ASKED_A_SECOND, QUICK_ASKED_A_SECOND)
        load = Load(
            cluster.instances,
            writers(posts, written, int(options.pick(WRITERS, QUICK_WRITERS))),
            rate=asked,
            seed=options.seed,
        )
        async with load:
            began = asyncio.get_running_loop().time()
            serving_seconds = [
                await kill_once(cluster, load.ledger, options, AWAY_SECONDS[number % len(AWAY_SECONDS)])
                for number in range(options.n)
            ]
            await asyncio.sleep(LIFE_SECONDS)
            lasted = asyncio.get_running_loop().time() - began
            tries = len(load.ledger.exchanges) + len(load.ledger.unanswered)
        statuses = load.ledger.statuses
        good = sum(count for status, count in statuses.items() if status < 300)
        report.exactly("kills", len(serving_seconds), options.n)
        report.add("writes asked for a second", tries / lasted, least=0.9 * asked, timed=True)
        report.add("writes acknowledged", good, least=5 * options.n)
        report.add("writes acknowledged a second, while the database was away too", good / lasted)
        report.add("refused with 503", statuses[503], least=1 if options.n > 1 else 0)
        report.add("refused with 409, since the first try was under way", statuses[409])
        refused = [each for each in load.ledger.exchanges if each.status >= 300]
        allowed = {409, 503}
        report.none_of("other answers", [str(each.status) for each in refused if each.status not in allowed])
        silent = [
            str(each.instance.name) for each in refused if each.status == 503 and not each.has_retry_after
        ]
        report.none_of("503 without Retry-After", silent)
        report.none_of("requests without an answer", load.ledger.unanswered)
        seconds = [each.seconds for each in load.ledger.exchanges]
        report.add("slowest answer", max(seconds), "s", most=30, timed=True)
        report.add("serving again after the database, p50", percentile(serving_seconds, 50), "s")
        report.add(
            "serving again after the database, at most", max(serving_seconds), "s", most=10, timed=True
        )
        ended = [
            each.name for each, process in before.items() if each.process is not process or process.has_ended
        ]
        report.none_of("servers that ended", ended)
        report.none_of(
            "acknowledged and not there, or there twice", await differences(cluster.store, written)
        )
        report.none_of("contradictions in the database", await contradictions(cluster.store))
        report.none_of("holes in event logs", [str(each) for each in await cluster.store.recount.gaps()])
        report.none_of("errors in the servers' logs", cluster.errors())


async def kill_once(cluster: Cluster, ledger: Ledger, options: Options, away_seconds: float) -> float:
    """Kill the database at some moment of its life; the seconds from its return until every server writes again."""
    clock = asyncio.get_running_loop().time
    mongo = cluster.mongo
    await asyncio.sleep(LIFE_SECONDS + options.random.random())
    pid = mongo.pid
    os.kill(pid, signal.SIGKILL)
    await until(lambda: mongo.pid != pid, LIMIT_SECONDS, "another life of the database")
    if away_seconds:
        # It does not listen yet, so connections are refused meanwhile.
        os.kill(mongo.pid, signal.SIGSTOP)
        await asyncio.sleep(away_seconds)
        os.kill(mongo.pid, signal.SIGCONT)
    await is_primary(mongo.uri)
    back = clock()

    def everybody_writes() -> bool:
        later = (each for each in reversed(ledger.exchanges) if each.at > back)
        return {each.instance for each in later if each.status < 300} == set(cluster.instances)

    await until(everybody_writes, LIMIT_SECONDS, "serving")
    return clock() - back


async def is_primary(uri: str) -> None:
    """Return when the database takes writes."""
    client: AsyncMongoClient[dict[str, object]] = AsyncMongoClient(uri, serverSelectionTimeoutMS=200)
    async with client, asyncio.timeout(LIMIT_SECONDS):
        while True:
            with contextlib.suppress(PyMongoError):
                if (await client.admin.command("hello"))["isWritablePrimary"]:
                    return
            await asyncio.sleep(0.02)


SCENARIOS = (
    Scenario(
        "mongod-kill",
        "The database is killed under 300 writes a second, and comes back by itself.",
        run,
        counted="kills",
        full=30,
        quick=2,
    ),
)
