"""Fifty notice the same achievement at once on two servers, one of which is killed in the middle now and then.

Whatever happens, it is awarded once, with one entry in the feed.
"""

import asyncio
from collections import Counter
from contextlib import suppress
from datetime import timedelta

from tests.chaos.cluster import Cluster, Instance
from tests.chaos.frame import Options, Report, Scenario
from tests.support.http_connection import HttpConnection, NoAnswer
from tests.support.population import CLOCK, Member

AT_ONCE = 50
# Every so many rounds a server is killed, after some milliseconds of the round.
KILL_EVERY, KILL_WITHIN_SECONDS = 10, 0.5
# Within this a server that was started again has done what the killed one left, which locked it for some seconds.
HEALING_SECONDS, TRIES = 30.0, 300
TODAY = CLOCK.now().date()
LOG, ALL = "/api/workouts/daily-logs/", "/api/community/achievements/"
FIRST, THREE = 1, 7


async def run(options: Options, report: Report) -> None:
    async with Cluster(options, instances=2) as cluster:
        (group,) = await cluster.groups(1, trainees=options.n)
        statuses: Counter[int] = Counter()
        at_once = int(options.pick(AT_ONCE, 12))
        kills = 0
        for number, member in enumerate(group.trainees, 1):
            requests = [
                request(cluster.instances[each % 2], member, statuses, each) for each in range(at_once)
            ]
            if number % KILL_EVERY == 0 or number == options.n:
                victim = options.random.choice(cluster.instances)
                requests.append(kill_and_start(victim, options.random.random() * KILL_WITHIN_SECONDS))
                kills += 1
            await asyncio.gather(*requests)
        left = await left_to_look_at(cluster)
        report.add("rounds", options.n)
        report.add("servers killed in the middle", kills, least=1)
        report.add("requests answered", sum(statuses.values()), least=options.n * at_once / 4)
        strange = [f"HTTP {status}" for status in statuses if status not in {200, 201, 503}]
        report.none_of("answers that nobody should get", strange)
        report.exactly("people whose achievements nobody has looked at", left, 0)
        report.none_of("not awarded, or twice", await wrong_awards(cluster, group.trainees))
        report.none_of("entries missing or double", await wrong_entries(cluster, group.trainees))
        gaps = await cluster.store.recount.gaps()
        report.none_of("holes in event logs", [str(each) for each in gaps])
        report.none_of("errors in the servers' logs", cluster.errors())


async def request(instance: Instance, member: Member, statuses: Counter[int], number: int) -> None:
    """Log a workout of one of the last three days, or look at one's achievements."""
    connection = HttpConnection(instance.address)
    with suppress(NoAnswer):
        if number % 10 == 9:
            answer = await connection.send("GET", ALL, headers=member.headers())
        else:
            path = f"{LOG}{TODAY - timedelta(number % 3)}/"
            answer = await connection.send("PUT", path, {"workout_data": {}}, headers=member.headers())
        statuses[answer.status] += 1
    connection.close()


async def kill_and_start(victim: Instance, after_seconds: float) -> None:
    await asyncio.sleep(after_seconds)
    await victim.kill()
    await victim.start()


async def left_to_look_at(cluster: Cluster) -> int:
    """Wait until the servers have looked at everybody's achievements; gives how many are left if they do not."""
    for _ in range(TRIES):
        left = await cluster.store.achievements.due(limit=1000)
        if not left:
            return 0
        await asyncio.sleep(HEALING_SECONDS / TRIES)
    return len(left)


async def wrong_awards(cluster: Cluster, members: list[Member]) -> list[str]:
    rows = await cluster.store.database.table("awards").find({})
    found = Counter((row["user_id"], row["achievement_id"]) for row in rows)
    trained = {member.user_id: await cluster.store.training.get(member.user_id) for member in members}
    wanted = Counter(
        (user_id, earned)
        for user_id, summary in trained.items()
        for earned, days in ((FIRST, 1), (THREE, 3))
        if summary.workout_days >= days
    )
    return [str(each) for each in (found - wanted) + (wanted - found)]


async def wrong_entries(cluster: Cluster, members: list[Member]) -> list[str]:
    """Every award of this scenario makes an entry; both are one transaction."""
    rows = await cluster.store.database.table("posts").find({"post_type": "achievement"})
    entries = Counter(row["author_id"] for row in rows)
    awards = Counter(row["user_id"] for row in await cluster.store.database.table("awards").find({}))
    return [str(each.user_id) for each in members if entries[each.user_id] != awards[each.user_id]]


SCENARIOS = (
    Scenario(
        "awards",
        "Fifty at once on two servers earn the same achievements, while now and then a server is killed.",
        run,
        counted="rounds",
        full=200,
        quick=1,
    ),
)
