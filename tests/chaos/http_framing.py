"""Requests with two readings, and hundreds of clients who are slow on purpose: straight, and through both balancers.
What each balancer may let through is in `tests.support.ambiguous_requests`; here nobody else may notice any of it.
"""

import asyncio
import statistics
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial

from tests.chaos.cluster import Cluster
from tests.chaos.frame import Options, Report, Scenario
from tests.chaos.load import FEED
from tests.chaos.phones import percentile
from tests.chaos.slow_clients import PIECE_SECONDS, SlowClients
from tests.support.ambiguous_requests import CASES
from tests.support.balancers import BALANCERS
from tests.support.framing import Way, wrong_straight
from tests.support.http_connection import Address, HttpConnection, NoAnswer
from tests.support.population import Member

# Access lines say which requests a server was asked.
SETTINGS = {"LOG_LEVEL": "INFO"}
# Others ask at this rate over so many connections.
RATE, CONNECTIONS = 50, 8
# Without and with slow clients so many times: the median ratio counts, as in the benchmarks. A p99 of 500 answers is
# the fifth of them: on a machine that others use, too, single turns gave ratios between 0.6 and 3.4.
TURNS = 7

Judge = Callable[[str], Awaitable[list[str]]]


async def seconds_of_others(
    address: Address, member: Member, seconds: float
) -> tuple[list[float], list[str]]:
    """How long honest requests take, at a steady rate, and what went wrong with any."""
    clock = asyncio.get_running_loop().time
    until = clock() + seconds
    took: list[float] = []
    wrong: list[str] = []
    headers = member.headers()

    async def ask(first: float) -> None:
        connection = HttpConnection(address)
        due = clock() + first
        while due < until:
            await asyncio.sleep(max(0.0, due - clock()))
            began = clock()
            try:
                answer = await connection.send("GET", FEED, headers=headers)
                took.append(clock() - began)
                wrong.extend([f"HTTP {answer.status}"] if answer.status != 200 else [])
            except NoAnswer as error:
                wrong.append(str(error))
            due += CONNECTIONS / RATE
        connection.close()

    await asyncio.gather(*(ask(number / RATE) for number in range(CONNECTIONS)))
    return took, wrong


async def judge_slow(name: str, address: Address, member: Member, options: Options, report: Report) -> None:
    """Others' answers without and with slow clients, in turns: other work of the machine weighs on a turn, not on all."""
    await seconds_of_others(address, member, options.pick(2, 0.5))  # what is first is slow
    calm_ms: list[float] = []
    beside_ms: list[float] = []
    wrong: list[str] = []
    most = cut_off = 0
    for _ in range(int(options.pick(TURNS, 1))):
        calm, failed = await seconds_of_others(address, member, options.pick(10, 1))
        async with SlowClients(address, options.n, options.seed) as slow:
            await asyncio.sleep(options.pick(2 * PIECE_SECONDS, 0.5))
            beside, failed_beside = await seconds_of_others(address, member, options.pick(12, 1))
        calm_ms.append(percentile(calm, 99) * 1e3)
        beside_ms.append(percentile(beside, 99) * 1e3)
        wrong += failed + failed_beside
        most = max(most, slow.most)
        cut_off += slow.cut_off
    ratio = statistics.median(after / before for before, after in zip(calm_ms, beside_ms, strict=True))
    report.add(f"{name}: slow clients at a time", most, least=options.n * 0.9)
    report.add(f"{name}: that were cut off", cut_off, least=options.pick(1, 0))
    report.add(f"{name}: others' p99, calm", statistics.median(calm_ms), "ms")
    report.add(f"{name}: others' p99, with them", statistics.median(beside_ms), "ms")
    report.add(f"{name}: median ratio of the turns", ratio, "x", most=1.2, timed=True)
    report.none_of(f"{name}: others who were not served", wrong)


async def run(options: Options, report: Report) -> None:
    cases = options.random.sample(list(CASES), 5) if options.quick else list(CASES)
    # A server for each way: what comes to it late is then nobody else's.
    async with (
        Cluster(options, instances=1 + len(BALANCERS), pinned=True, settings=SETTINGS) as cluster,
        AsyncExitStack() as stack,
    ):
        member = (await cluster.group("others", trainees=1)).trainees[0]
        straight, *behind = cluster.instances
        ways: dict[str, tuple[Address, Judge]] = {
            "straight": (straight.address, partial(wrong_straight, straight.process, straight.address))
        }
        for kind, server in zip(BALANCERS, behind, strict=True):
            balancer = kind(cluster.folder / kind.program, [server.address, server.address])
            way = Way(await stack.enter_async_context(balancer), server.process)
            ways[kind.program] = (balancer.address, way.wrong_with)
        for name, (_, judge) in ways.items():
            options.say(f"{name}: {len(cases)} framings")
            wrong = [f"{case}: {each}" for case in cases for each in await judge(case)]
            report.none_of(f"{name}: of {len(cases)} framings, read in two ways", wrong)
        for name, (address, _) in ways.items():
            options.say(f"{name}: {options.n} slow clients")
            await judge_slow(name, address, member, options, report)
        report.none_of("errors in the servers' logs", cluster.errors())


SCENARIOS = (
    Scenario(
        "http-framing",
        "Requests with two readings, and slow clients, straight and through both balancers.",
        run,
        counted="slow clients at a time",
        full=500,
        quick=20,
        needs="haproxy nginx",
    ),
)
