"""An hour of an ordinary day: phones on the feed that come and go, members who read and write. Nothing may pile up.

Memory, descriptors and tasks are the server's own figures. What a server keeps up to a bound (the last facts of each
room, signed tokens it has seen) is filled first; after a while a line is laid through the samples, and its slope is what
an hour adds.
"""

import asyncio
import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from community.tokens import ACCESS_FOR, REMEMBERED
from realtime.history import RING_FACTS
from tests.chaos.cluster import Cluster, Instance
from tests.chaos.frame import Options, Report, Scenario
from tests.chaos.load import FEED, Deed, Load, Make, comment_anywhere
from tests.chaos.phones import Crowd, percentile
from tests.chaos.writers import open_posts, writers
from tests.support.http_connection import HttpConnection
from tests.support.population import Group
from tests.support.processes import until
from tests.support.written import Written

ROOMS, MEMBERS, QUICK_ROOMS, QUICK_MEMBERS = 10, 200, 2, 10
REQUESTS_A_SECOND, QUICK_REQUESTS_A_SECOND = 100, 30
# Of the requests; the others write: half of them react, and most of the rest comment or take a comment back.
READS, LOGS = 0.4, 0.05
WRITERS, QUICK_WRITERS = 40, 8
# In a second one phone of so many loses its connection and comes back.
LOSE_ONE_OF = 400
# Not judged: pools and the memory's own order find their size. A fifth of a short run.
WARM_UP_SECONDS = 600
# A slope is judged where at least so much was measured: memory comes and goes by some hundred KiB.
JUDGED_SECONDS = 1_800
SAMPLE_SECONDS, QUICK_SAMPLE_SECONDS = 5.0, 0.5
LIMIT_SECONDS = 60.0
# Some 3,000 comments, of which a machine that others use, too, takes 15 a second.
FILL_SECONDS = 300.0
# What an hour may add: of memory by what was asked for, of the others less than any leak by the request would.
MIB, SLOPE_MIB, SLOPE_COUNT = 1 << 20, 2.0, 20.0
HOUR = 3_600
READ_PATHS = (
    FEED,
    FEED,
    FEED,
    "/api/community/achievements/",
    "/api/community/leaderboard/?metric=workout_count&period=weekly",
    "/api/auth/users/me/",
)
MEMORY, FILES = "process_resident_memory_bytes", "process_open_fds"
TASKS, CONNECTIONS = "cohort_asyncio_tasks", "cohort_connections"


@dataclass(frozen=True)
class Sample:
    """What a server said of itself at a moment (monotonic seconds)."""

    at: float
    memory_bytes: float
    files: float
    tasks: float
    connections: float


async def run(options: Options, report: Report) -> None:
    rooms, members = int(options.pick(ROOMS, QUICK_ROOMS)), int(options.pick(MEMBERS, QUICK_MEMBERS))
    samples: list[Sample] = []
    async with Cluster(options, instances=1, redis=True, pinned=True) as cluster:
        server = cluster.instances[0]
        groups = await cluster.groups(rooms, trainees=members - 1, posts=0)
        posts = await open_posts(cluster.store, groups, 10)
        count = int(options.pick(WRITERS, QUICK_WRITERS))
        load = Load(
            cluster.instances,
            [busy_member(make, groups) for make in writers(posts, Written(), count)],
            rate=options.pick(REQUESTS_A_SECOND, QUICK_REQUESTS_A_SECOND),
            seed=options.seed,
        )
        before = await look(server)
        options.say(
            f"{before.memory_bytes / MIB:.1f} MiB, {before.files:.0f} descriptors, {before.tasks:.0f} tasks"
        )
        async with Crowd(cluster.instances, options.seed) as crowd:
            crowd.settle_in(groups, rooms * members)
            await crowd.arrive()
            if not options.quick:
                await fill_up(cluster, [replace(group, post_ids=posts[group]) for group in groups], options)
            async with load:
                await watch(server, crowd, samples, options)
            await crowd.all_at(await cluster.truth(), LIMIT_SECONDS)
            behind = crowd.behind(await cluster.truth())
        after = await alone(server, before)
        errors = cluster.errors()
    warm = [each for each in samples if each.at >= samples[0].at + warm_up_seconds(options)]
    report_growth(report, warm, is_judged=options.n >= JUDGED_SECONDS)
    report.add("requests", len(load.ledger.exchanges), least=1)
    report.add("phones that came back", crowd.tally.reconnects, least=1)
    report.add("facts told", crowd.tally.facts, least=1)
    report.add("REST p99", percentile([each.seconds for each in load.ledger.exchanges], 99) * 1e3, "ms")
    report.exactly("tasks left when everybody is gone", after.tasks - before.tasks, 0)
    report.exactly("connections left", after.connections, 0)
    report.add("descriptors more than at the start", after.files - before.files)
    report.none_of("missed by phones", behind + crowd.tally.holes)
    report.none_of("double or out of order", crowd.tally.doubled + crowd.tally.disordered)
    report.none_of("REST errors", load.ledger.errors())
    report.none_of("errors in the server's log", errors)


def busy_member(write: Make, groups: Sequence[Group]) -> Make:
    """Somebody who reads this and that, logs a day now and then, and writes."""
    days = itertools.count()

    def make(chance: random.Random) -> Deed:
        what = chance.random()
        group = chance.choice(groups)
        if what < READS:
            return Deed(chance.choice(group.trainees), "GET", chance.choice(READ_PATHS))
        if what < READS + LOGS:
            # Days that come again: what is kept of them does not grow.
            day = datetime.now(UTC).date() - timedelta(days=next(days) % 14)
            path = f"/api/workouts/daily-logs/{day}/"
            return Deed(chance.choice(group.trainees), "PUT", path, {"workout_data": {"sets": 5}})
        return write(chance)

    return make


async def fill_up(cluster: Cluster, groups: Sequence[Group], options: Options) -> None:
    """Have the server keep all that it ever will: so many tokens, so many facts a room."""
    options.say(f"filling up: {REMEMBERED:,} tokens, {RING_FACTS} facts in each of {len(groups)} rooms")
    left = iter(fresh_tokens(groups))
    await asyncio.gather(*(show(cluster.instances[0], left) for _ in range(WRITERS)))
    async with Load(cluster.instances, comment_anywhere(groups), rate=math.inf, seed=options.seed) as filling:
        by_room = filling.ledger.by_room
        rooms = [group.community_id for group in groups]
        await until(
            lambda: all(len(by_room.get(room, ())) >= RING_FACTS for room in rooms),
            FILL_SECONDS,
            "full rooms",
        )


async def show(server: Instance, tokens: Iterator[str]) -> None:
    """Show the server one token after the other."""
    connection = HttpConnection(server.address)
    for token in tokens:
        await connection.send("GET", READ_PATHS[-1], headers={"Authorization": f"Bearer {token}"})
    connection.close()


def fresh_tokens(groups: Sequence[Group]) -> list[str]:
    """As many tokens as a server remembers, those of a member each good for another time."""
    members = [member for group in groups for member in group.trainees]
    lives = (ACCESS_FOR - timedelta(seconds=number // len(members)) for number in range(REMEMBERED))
    return [member.token(life) for member, life in zip(itertools.cycle(members), lives, strict=False)]


async def watch(server: Instance, crowd: Crowd, samples: list[Sample], options: Options) -> None:
    """For `n` seconds: every second some phones lose their connections, and every few the server is asked."""
    clock = asyncio.get_running_loop().time
    began = clock()
    every = options.pick(SAMPLE_SECONDS, QUICK_SAMPLE_SECONDS)
    losing = asyncio.create_task(come_and_go(crowd))
    try:
        while clock() < began + options.n:
            await asyncio.sleep(every)
            samples.append(await look(server))
            if len(samples) % 12 == 0:
                latest = samples[-1]
                options.say(
                    f"{latest.at - began:.0f} s: {latest.memory_bytes / MIB:.1f} MiB, {latest.files:.0f} descriptors,"
                    f" {latest.tasks:.0f} tasks, {latest.connections:.0f} connections"
                )
    finally:
        losing.cancel()
        await asyncio.gather(losing, return_exceptions=True)
    await crowd.all_back(LIMIT_SECONDS)


async def come_and_go(crowd: Crowd) -> None:
    """Every second some phones lose their connections and come back."""
    while True:
        await asyncio.sleep(1)
        for phone in crowd.random.sample(crowd.phones, max(1, len(crowd.phones) // LOSE_ONE_OF)):
            phone.drop()


async def look(server: Instance) -> Sample:
    said = await server.metrics()
    now = asyncio.get_running_loop().time()
    return Sample(now, said[MEMORY], said[FILES], said[TASKS], said[CONNECTIONS])


async def alone(server: Instance, before: Sample) -> Sample:
    """Wait until the server has no more to do than before anybody came, or for a while."""
    deadline = asyncio.get_running_loop().time() + LIMIT_SECONDS
    while True:
        latest = await look(server)
        is_as_before = latest.tasks <= before.tasks and not latest.connections
        if is_as_before or latest.at > deadline:
            return latest
        await asyncio.sleep(QUICK_SAMPLE_SECONDS)


def warm_up_seconds(options: Options) -> float:
    return min(WARM_UP_SECONDS, options.n / 5)


def report_growth(report: Report, warm: Sequence[Sample], *, is_judged: bool) -> None:
    memory = [(each.at, each.memory_bytes / MIB) for each in warm]
    report.add("memory, median", percentile([value for _, value in memory], 50), "MiB")
    most_mib, most_count = (SLOPE_MIB, SLOPE_COUNT) if is_judged else (None, None)
    report.add("memory, slope", hourly(memory), "MiB/h", most=most_mib)
    for name, points in (
        ("descriptors", [(each.at, each.files) for each in warm]),
        ("tasks", [(each.at, each.tasks) for each in warm]),
    ):
        report.add(f"{name}, median", percentile([value for _, value in points], 50))
        report.add(f"{name}, slope", hourly(points), "/h", most=most_count)


def hourly(points: Sequence[tuple[float, float]]) -> float:
    """The slope of the line through the points that is least far from them (by squares), by the hour."""
    count = len(points)
    mean_at, mean = sum(at for at, _ in points) / count, sum(value for _, value in points) / count
    spread = sum((at - mean_at) ** 2 for at, _ in points)
    return HOUR * sum((at - mean_at) * (value - mean) for at, value in points) / spread


SCENARIOS = (
    Scenario(
        "soak",
        "An hour of 2,000 phones that come and go, and of members who read and write: nothing piles up.",
        run,
        counted="seconds",
        full=HOUR,
        quick=3,
    ),
)
