"""Rolling restarts behind a real load balancer, under load: no request fails, and every socket is told when to return.

The balancers run with the configuration that is shipped; what it must let through otherwise is tested elsewhere.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from tests.chaos.cluster import Cluster, Instance
from tests.chaos.frame import Options, Report, Scenario
from tests.chaos.load import FEED, Ledger, Load, mixed
from tests.chaos.phones import GOING_AWAY, Crowd, Tally, percentile
from tests.support.balancers import Balancer, HAProxy, Nginx
from tests.support.http_connection import HttpConnection, NoAnswer

# What production has: see config/settings.py.
SETTINGS = {"DRAIN_NOTICE": "5"}
# Of twenty requests nineteen read the feed; half of them all come each on a connection of its own.
REQUESTS_A_SECOND, QUICK_REQUESTS_A_SECOND, READS, QUICK_READS = 300, 10, 0.95, 0.5
# Fewer than two hundred on a server may come back in the same second by chance: a quick run does not judge that.
PHONES, QUICK_PHONES, GROUPS, TRAINEES = 600, 80, 40, 4
# A machine in trouble may need this long for one step.
STEP_SECONDS = 90.0
POLL_SECONDS = 0.2


@dataclass
class Restarts:
    """What was seen of all restarts of one run."""

    exit_codes: list[int] = field(default_factory=list)
    # Of each, which part was told to come back within the same second, and which did.
    called_back: list[float] = field(default_factory=list)
    returned: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


async def run(kind: type[Balancer], options: Options, report: Report) -> None:
    async with Cluster(options, instances=2, redis=True, settings=SETTINGS) as cluster:
        groups = await cluster.groups(GROUPS, trainees=TRAINEES)
        async with kind(cluster.folder / kind.program, cluster.addresses) as balancer:
            asked = options.pick(REQUESTS_A_SECOND, QUICK_REQUESTS_A_SECOND)
            rate = asked / 2
            # Whoever asks, asks often: a server remembers each for a second.
            trainers = [replace(group, trainees=[]) for group in groups]
            make = mixed(trainers, reads=options.pick(READS, QUICK_READS))
            kept = Load([balancer], make, rate=rate, seed=options.seed)
            fresh = Load([balancer], make, rate=rate, seed=options.seed + 1, keep_alive=False)
            async with Crowd([balancer], options.seed) as crowd:
                crowd.settle_in(groups, int(options.pick(PHONES, QUICK_PHONES)))
                await crowd.arrive()
                async with kept, fresh:
                    began = asyncio.get_running_loop().time()
                    restarts = await roll(cluster.instances, crowd, options)
                    lasted = asyncio.get_running_loop().time() - began
                # From here on they hang up by themselves.
                closes = Counter(crowd.tally.closes)
            ledgers = [kept.ledger, fresh.ledger]
            report_requests(report, ledgers, await stored_comments(cluster))
            answered = sum(len(ledger.exchanges) for ledger in ledgers)
            report.add("requests a second", answered / lasted, least=0.9 * asked, timed=True)
            report_sockets(report, closes, crowd.tally, restarts)
            report.none_of(
                "ended with another code than 0", [str(code) for code in restarts.exit_codes if code]
            )
            report.add("a restart, longest", max(restarts.seconds), "s")
            report.none_of("errors in the servers' logs", cluster.errors())
            report.none_of("tokens in the balancer's log", tokens_in(balancer.log))


async def roll(instances: Sequence[Instance], crowd: Crowd, options: Options) -> Restarts:
    """Restart one after the other, as often as asked for, each when the one before has its share again."""
    restarts, loop = Restarts(), asyncio.get_running_loop()
    for number in range(options.n):
        for instance in instances:
            options.say(f"restart {number + 1} of {options.n}: {instance.name}")
            tally, began = crowd.tally, loop.time()
            calls, returns = len(tally.called_back_at), len(tally.returned_at)
            restarts.exit_codes.append(await instance.terminate())
            await instance.start()
            await step("ready", partial(is_ready, instance))
            await step("used by the balancer", partial(is_used, instance))
            await step("everybody back", partial(are_back, crowd))
            restarts.seconds.append(loop.time() - began)
            restarts.called_back.append(largest_share(tally.called_back_at[calls:]))
            restarts.returned.append(largest_share(tally.returned_at[returns:]))
    return restarts


async def step(what: str, condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something. Raises ``TimeoutError`` that says what for."""
    try:
        async with asyncio.timeout(STEP_SECONDS):
            while not await condition():  # noqa: ASYNC110 - another process has no event for us
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError as error:
        raise TimeoutError(f"not {what} in {STEP_SECONDS:.0f} s") from error


async def is_ready(instance: Instance) -> bool:
    connection = HttpConnection(instance.address)
    try:
        return (await connection.send("GET", "/readyz")).status == 200
    except NoAnswer:
        return False
    finally:
        connection.close()


async def is_used(instance: Instance) -> bool:
    """Whether it has answered a request for the feed, which all come through the balancer."""
    label = f'route="{FEED}"'
    return any(label in series and count > 0 for series, count in (await instance.metrics()).items())


async def are_back(crowd: Crowd) -> bool:
    return all(phone.joined.is_set() for phone in crowd.phones)


def largest_share(moments: Sequence[float]) -> float:
    """Which part of all is in the fullest second, counted from the first."""
    seconds = Counter(int(moment - min(moments)) for moment in moments)
    return max(seconds.values()) / len(moments) if moments else 0.0


async def stored_comments(cluster: Cluster) -> Counter[int]:
    """How often each comment is there, by its id."""
    comments = cluster.store.database.raw["comments"]
    return Counter([document["_id"] async for document in comments.find({}, {"_id": 1})])


def report_requests(report: Report, ledgers: Sequence[Ledger], stored: Counter[int]) -> None:
    acknowledged = {fact for ledger in ledgers for fact in ledger.acknowledged}
    seconds = [each.seconds for ledger in ledgers for each in ledger.exchanges]
    report.add("requests", len(seconds), least=1)
    report.none_of("failed or cut requests", [error for ledger in ledgers for error in ledger.errors()])
    report.exactly("comments written and not acknowledged, or lost", len(stored.keys() ^ acknowledged), 0)
    report.add("answered, p99", percentile(seconds, 99) * 1e3, "ms")
    report.add("answered, slowest", max(seconds) * 1e3, "ms")


def report_sockets(report: Report, closes: Counter[int], tally: Tally, restarts: Restarts) -> None:
    others = [f"{code}: {count} times" for code, count in closes.items() if code != GOING_AWAY]
    report.add("sockets told to come back (1001)", closes[GOING_AWAY], least=1)
    report.none_of("sockets ended in another way", others)
    report.add(
        "told to come back in the fullest second", max(restarts.called_back) * 100, "%", most=20, timed=True
    )
    report.add("back in the fullest second", max(restarts.returned) * 100, "%", most=20, timed=True)
    report.none_of("facts missed by sockets", tally.holes)
    report.none_of("facts double or out of order", tally.doubled + tally.disordered)
    report.exactly("sockets told to reload", tally.resyncs, 0)


def tokens_in(log: str) -> list[str]:
    """The lines that hold something like an access token."""
    return [line for line in log.splitlines() if "token" in line or "eyJ" in line]


SCENARIOS = tuple(
    Scenario(
        name=f"drain-{kind.program}",
        says=f"rolling restarts of two servers behind {kind.program}, under load",
        run=partial(run, kind),
        counted="rolling restarts of both servers",
        full=10,
        quick=1,
        needs=kind.program,
    )
    for kind in (HAProxy, Nginx)
)
