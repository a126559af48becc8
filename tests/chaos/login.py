"""Guessing at log-ins: limits hold over two instances, with Redis alive and dead; time does not tell who has an account.

The clients come from many addresses, as a proxy says of them. What is limited to what is in the tests of `handlers`.
"""

import asyncio
import itertools
import random
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from statistics import median

from community.passwords import Hashing
from tests.chaos.cluster import Cluster, Instance
from tests.chaos.frame import Options, Report, Scenario
from tests.chaos.redis_trouble import kill
from tests.support.http_connection import HttpConnection
from tests.support.population import Group

LOG_IN = "/api/auth/jwt/create/"
RESET = "/api/auth/users/reset_password/"
PASSWORD, GUESS = "steep hills at dawn", "a guess of many"
# By the hour, so that no run is long enough to earn another guess.
LIMIT = 5
SETTINGS = {"TRUSTED_PROXIES": "127.0.0.0/8", "RATE_LIMIT_AUTH": f"{LIMIT}/hour"}
AT_ONCE = 6
GUESSED, THROTTLED = 401, 429
# A median that is further off than this tells an attacker something after a few hundred tries.
TELLING = 1.05

Guess = tuple[str, str, str]  # address, e-mail, password


def addresses(numbers: Iterator[int]) -> Iterator[str]:
    """Addresses of clients, each another network."""
    return (f"198.18.{number // 250}.{number % 250 + 1}" for number in numbers)


async def all_guesses(instances: list[Instance], guesses: Iterable[Guess]) -> Counter[int]:
    """Try all of these, some at a time, at all instances in turn; gives how often each status was answered."""
    waiting = list(zip(guesses, itertools.cycle(instances)))
    statuses: Counter[int] = Counter()

    async def guess() -> None:
        connections = {instance: HttpConnection(instance.address) for instance in instances}
        while waiting:
            (address, email, password), instance = waiting.pop()
            body = {"email": email, "password": password}
            answer = await connections[instance].send(
                "POST", LOG_IN, body, headers={"X-Forwarded-For": address}
            )
            statuses[answer.status] += 1
        for connection in connections.values():
            connection.close()

    await asyncio.gather(*(guess() for _ in range(AT_ONCE)))
    return statuses


async def judge_limits(
    cluster: Cluster,
    email: Callable[[], str],
    clients: Iterator[str],
    *,
    guesses: int,
    allowed: int,
    when: str,
    report: Report,
) -> str:
    """One e-mail guessed at from everywhere, and one address that guesses at everybody; gives the e-mail."""
    victim, attacker = email(), next(clients)
    by_email = await all_guesses(cluster.instances, [(next(clients), victim, GUESS) for _ in range(guesses)])
    by_address = await all_guesses(cluster.instances, [(attacker, email(), GUESS) for _ in range(guesses)])
    for what, found in (("one e-mail", by_email), ("one address", by_address)):
        report.add(f"guesses at {what}, {when}", found[GUESSED], least=1, most=allowed)
        report.exactly(f"all others refused, {when}", found[GUESSED] + found[THROTTLED], guesses)
    right = await all_guesses(
        cluster.instances, [(next(clients), victim, PASSWORD) for _ in cluster.instances]
    )
    report.exactly(f"even the right password, {when}", right[THROTTLED], len(cluster.instances))
    return victim


async def seconds_of(
    server: Instance,
    path: str,
    bodies: dict[bool, Callable[[], dict[str, str]]],
    n: int,
    chance: random.Random,
) -> dict[bool, list[float]]:
    """How long `n` answers each took for known and for unknown addresses, one at a time, in no order."""
    clock = asyncio.get_running_loop().time
    order = [True, False] * n
    chance.shuffle(order)
    found: dict[bool, list[float]] = {True: [], False: []}
    with closing(HttpConnection(server.address)) as connection:
        for known in order:
            began = clock()
            answer = await connection.send("POST", path, bodies[known]())
            found[known].append(clock() - began)
            if answer.status not in {204, GUESSED}:
                raise RuntimeError(f"{path}: {answer.status} {answer.body!r}")
    return found


async def judge_time(server: Instance, emails: list[str], options: Options, report: Report) -> None:
    known, unknown = (
        itertools.cycle(emails),
        (f"{secrets.token_hex(8)}@example.org" for _ in itertools.count()),
    )
    for what, path, more in (("log-in", LOG_IN, {"password": GUESS}), ("reset", RESET, {})):
        bodies: dict[bool, Callable[[], dict[str, str]]] = {
            True: lambda more=more: {"email": next(known), **more},  # type: ignore[misc]
            False: lambda more=more: {"email": next(unknown), **more},  # type: ignore[misc]
        }
        await seconds_of(
            server, path, bodies, max(3, options.n // 20), options.random
        )  # what is first is slow
        found = await seconds_of(server, path, bodies, options.n, options.random)
        medians = {each: median(seconds) * 1e3 for each, seconds in found.items()}
        report.add(f"{what}, known", medians[True], "ms")
        report.add(f"{what}, unknown", medians[False], "ms")
        ratio = medians[True] / medians[False]
        report.add(f"{what}, known : unknown", ratio, "x", least=1 / TELLING, most=TELLING, timed=True)


async def emails_of(cluster: Cluster, group: Group) -> list[str]:
    users = cluster.store.database.table("users")
    found = await users.find({"_id": {"$in": [member.user_id for member in group.members]}}, fields=["email"])
    return [each["email"] for each in found]


async def run(options: Options, report: Report) -> None:
    with closing(Hashing()) as hashing:
        password_hash = await hashing.hash(PASSWORD)
    async with Cluster(options, redis=True, pinned=True, settings=SETTINGS) as cluster:
        emails = await emails_of(
            cluster, await cluster.group("guessed", trainees=20, posts=0, password_hash=password_hash)
        )
        victims, clients = iter(emails), addresses(itertools.count())
        email = itertools.chain(victims, (f"{number}@example.org" for number in itertools.count())).__next__
        guesses = int(options.pick(60, 12))
        before = await judge_limits(
            cluster, email, clients, guesses=guesses, allowed=LIMIT, when="with Redis", report=report
        )
        await kill(cluster)
        more = await all_guesses(cluster.instances, [(next(clients), before, GUESS) for _ in range(guesses)])
        each_alone = LIMIT * len(cluster.instances)
        report.add("guesses at the first e-mail, Redis dead", more[GUESSED], most=each_alone - LIMIT)
        await judge_limits(
            cluster, email, clients, guesses=guesses, allowed=each_alone, when="Redis dead", report=report
        )
        server = cluster.instances[0]
        await server.kill()
        await server.start(RATE_LIMIT_AUTH="off")
        options.say("timing answers")
        await judge_time(server, emails, options, report)
        report.none_of("errors in the servers' logs", cluster.errors())


SCENARIOS = (
    Scenario(
        "login",
        "Passwords are guessed at with Redis alive and dead; answers are timed.",
        run,
        counted="timed answers of each kind",
        full=1_000,
        quick=5,
    ),
)
