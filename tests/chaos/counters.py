"""Reactions, comments and deletions through three instances, one of which is killed every few seconds.

Afterwards every count must equal a recount, and what was acknowledged must be there.
"""

import asyncio
import json
import os
import sys

from tests.chaos.cluster import Cluster
from tests.chaos.frame import Options, Report, Scenario
from tests.chaos.load import Load
from tests.chaos.writers import open_posts, writers
from tests.e2e.wholeness import contradictions
from tests.support.processes import ROOT
from tests.support.written import Written, differences

# What a killed server had locked stays so for some seconds: many rooms, so that the others go on, and in each of
# them some who meet at the same few posts.
ROOMS, QUICK_ROOMS, MEMBERS, POSTS = 32, 8, 3, 3
# Faster than any machine: the writers never pause. A quick run leaves some of the machine to other tests.
NO_PAUSE, QUICK_RATE = 1e6, 40
KILL_SECONDS = 5.0


async def run(options: Options, report: Report) -> None:
    written = Written()
    kills = 0
    async with Cluster(options, instances=3, redis=True) as cluster:
        rooms = int(options.pick(ROOMS, QUICK_ROOMS))
        groups = await cluster.groups(rooms, trainees=MEMBERS, posts=0)
        posts = await open_posts(cluster.store, groups, POSTS)
        rate = options.pick(NO_PAUSE, QUICK_RATE)
        makers = writers(posts, written, rooms * (MEMBERS + 1))
        load = Load(cluster.instances, makers, rate=rate, seed=options.seed)
        async with load:
            while (done := good(load)) < options.n:
                await asyncio.sleep(options.pick(KILL_SECONDS, 2))
                victim = options.random.choice(cluster.instances)
                options.say(f"{done:,} writes; kill -9 of {victim.name}")
                await victim.kill()
                await victim.start()
                kills += 1
        report.add("writes acknowledged", good(load), least=options.n)
        report.add("servers killed", kills, least=1)
        report.add("requests without an answer", len(load.ledger.unanswered))
        recount = await recounted(cluster.mongo.uri)
        report.none_of("miscounts", [str(each) for each in recount["miscounts"]])
        report.none_of("holes in event logs", [str(each) for each in recount["gaps"]])
        report.none_of(
            "acknowledged and not there, or there twice", await differences(cluster.store, written)
        )
        report.none_of("contradictions in the database", await contradictions(cluster.store))
        strange = [
            f"HTTP {status}" for status in load.ledger.statuses if status >= 300 and status not in EXPECTED
        ]
        report.none_of("answers that nobody should get", strange)
        report.none_of("errors in the servers' logs", cluster.errors())


# The first try was carried out (404 to a deletion) or is under way (409); the dead one still holds a lock (503).
EXPECTED = frozenset({404, 409, 503})


def good(load: Load) -> int:
    return sum(count for status, count in load.ledger.statuses.items() if status < 300)


async def recounted(uri: str) -> dict[str, list[object]]:
    """What ``python -m scripts.recount`` says."""
    command = (sys.executable, "-m", "scripts.recount", "--json")
    env = {**os.environ, "MONGODB_URI": uri}
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=env, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    found: dict[str, list[object]] = json.loads(out)
    return found


SCENARIOS = (
    Scenario(
        "counters",
        "Members react, comment and delete through three servers, one of which is killed every 5 s.",
        run,
        counted="writes",
        full=100_000,
        quick=120,
    ),
)
