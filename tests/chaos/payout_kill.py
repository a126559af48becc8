"""`kill -9` of the server at random moments and at every named point of a payout, while eight admins pay fifty people.

It comes back at once, and settles by asking Stripe: nobody is paid twice, and nothing that was earned is lost.
"""

import asyncio
import os
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from payments.crash_points import CRASH_POINTS
from tests.chaos.cluster import SETTINGS, Cluster
from tests.chaos.frame import Options, Report, Scenario
from tests.chaos.payout_world import STRIPE, World, outside_world
from tests.support.http_connection import Address, HttpConnection, NoAnswer
from tests.support.mortal_payouts import DIE_AT, PID, PROGRAM, wish
from tests.support.population import Member
from tests.support.processes import Processes, ServerProcess, until
from tests.support.stripe_double import DECLINED, StripeDouble

ADMINS, PEOPLE, QUICK_PEOPLE = 8, 50, 10
# Of the point, for each random kill: 10 for 100.
POINT_SHARE = 10
# What a payout goes through; the webhook's own point has its own scenario.
POINTS = tuple(each for each in CRASH_POINTS if not each.startswith("webhook."))
LIMIT_SECONDS = 60.0


@dataclass
class Life:
    """The server that dies, and what was answered meanwhile."""

    process: ServerProcess
    folder: Path
    address: Address
    world: World
    options: Options
    statuses: Counter[int] = field(default_factory=Counter)
    unanswered: int = 0
    over: bool = False
    working: list["asyncio.Task[None]"] = field(default_factory=list)

    @property
    def pid(self) -> int:
        try:
            return int((self.folder / PID).read_text())
        except FileNotFoundError:
            return 0

    async def born(self, before: int) -> None:
        await until(lambda: self.pid not in {0, before}, LIMIT_SECONDS, "another life of the server")

    async def kill(self) -> None:
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        await self.born(pid)

    async def die_at(self, point: str) -> None:
        """Wait until the server has died at that point."""
        pid = self.pid
        if point == "reconcile.after_list":
            # There must be something open that was sent.
            await self.die_at("send.after_cas")
            pid = self.pid
        wish(self.folder, point)
        if point == "fail.before_commit":
            self.world.stripe.chooser = lambda method, path: (
                DECLINED if (method, path) == ("POST", "/v1/transfers") else None
            )
        await until(
            lambda: not (self.folder / DIE_AT).exists() or any(each.done() for each in self.working),
            LIMIT_SECONDS,
            f"a death {point}",
        )
        for each in self.working:
            if each.done():
                each.result()
        self.world.stripe.chooser = None
        await self.born(pid)

    async def admin(self, by: Member, people: list[int]) -> None:
        """Pay somebody who has earned something, again and again."""
        line = HttpConnection(self.address)
        while not self.over:
            person = self.options.random.choice(people)
            await self.world.earn(person, self.options.random.randrange(1, 100_000))
            await self.click(line, by, person)
        line.close()

    async def click(self, line: HttpConnection, by: Member, person: int) -> None:
        path = f"/api/admin/ambassadors/{person}/payout/"
        try:
            answer = await line.send("POST", path, {}, headers=by.headers())
        except NoAnswer:
            self.unanswered += 1
            await asyncio.sleep(0.02)
        else:
            self.statuses[answer.status] += 1


async def run(options: Options, report: Report) -> None:
    stripe = StripeDouble.for_a_run()
    async with (
        stripe.serving(),
        Cluster(options, instances=0) as cluster,
        outside_world(cluster.store, stripe) as world,
    ):
        processes = Processes(cluster.folder / "mortal")
        try:
            await kills(options, report, world, processes, cluster.mongo.uri)
        finally:
            await asyncio.to_thread(processes.clean_up)


async def kills(options: Options, report: Report, world: World, processes: Processes, uri: str) -> None:
    settings = {**SETTINGS, **STRIPE, "MONGODB_URI": uri, "STRIPE_API_BASE": world.stripe.base_url}
    process = processes.start(data_dir="mortal", program=PROGRAM, **settings)
    await process.listening()
    # Every life listens where the first one did.
    address = ("127.0.0.1", int(process.base_url.rpartition(":")[2]))
    life = Life(process, processes.data_dir("mortal"), address, world, options)
    # What the dead leave open is ended after this time; 5 s in production.
    client = world.deps.store.database.raw.client
    await client.admin.command("setParameter", 1, transactionLifetimeLimitSeconds=1)
    admins, people = (
        await world.admins(ADMINS),
        await world.ambassadors(int(options.pick(PEOPLE, QUICK_PEOPLE))),
    )
    life.working = [asyncio.create_task(life.admin(each, people)) for each in admins]
    each_point = max(1, options.n // POINT_SHARE)
    deaths = [*([""] * options.n), *(POINTS * each_point)]
    options.random.shuffle(deaths)
    for point in deaths:
        if point:
            await life.die_at(point)
        else:
            await asyncio.sleep(options.random.uniform(0.02, options.pick(0.5, 0.1)))
            await life.kill()
    # And now that nobody dies, admins are answered.
    await until(lambda: life.statuses[200] >= ADMINS, LIMIT_SECONDS, "payouts after the last death")
    life.over = True
    await asyncio.gather(*life.working)
    await life.kill()
    back = time.monotonic()
    while await world.deps.store.payouts.open():
        if time.monotonic() - back > LIMIT_SECONDS:
            break
        await asyncio.sleep(0.05)
    report.exactly("random kills", options.n, options.n)
    report.exactly("kills at named points", len(deaths) - options.n, len(POINTS) * each_point)
    report.add("nothing open after the last kill", time.monotonic() - back, "s", most=60)
    report.add("payouts answered", life.statuses[200] + life.statuses[202], least=1)
    report.add("clicks without an answer", life.unanswered)
    allowed = {200, 202, 400, 502, 503}
    report.none_of("other answers", [str(each) for each in life.statuses if each not in allowed])
    await world.reckon(report)
    report.none_of("errors in the server's log", process.errors())


SCENARIOS = (
    Scenario(
        name="payout-kill",
        says="kill -9 at random and at each named point, while 8 admins pay 50 ambassadors",
        run=run,
        counted="random kills (and a tenth of it at each named point)",
        full=100,
        quick=1,
    ),
)
