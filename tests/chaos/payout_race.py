"""Many admins click at once, over two servers: one transfer, one good answer, and the contract's sentence for the rest."""

import asyncio
from collections import Counter

from tests.chaos.cluster import Cluster
from tests.chaos.frame import Options, Report, Scenario
from tests.chaos.payout_world import STRIPE, outside_world
from tests.support.http_connection import HttpAnswer, HttpConnection
from tests.support.population import Member
from tests.support.stripe_double import StripeDouble

ADMINS, QUICK_ADMINS = 50, 16
SENTENCE = "No approved commissions to pay out."


async def run(options: Options, report: Report) -> None:
    admins = int(options.pick(ADMINS, QUICK_ADMINS))
    stripe = StripeDouble.for_a_run()
    async with (
        stripe.serving(),
        Cluster(options, settings={**STRIPE, "STRIPE_API_BASE": stripe.base_url}) as cluster,
        outside_world(cluster.store, stripe) as world,
    ):
        people = await world.admins(admins)
        lines = [HttpConnection(cluster.addresses[number % 2]) for number in range(admins)]
        statuses: Counter[int] = Counter()
        wrong: list[str] = []
        for number in range(options.n):
            (person,) = await world.ambassadors(1)
            await world.earn(person, options.random.randrange(1, 100_000))
            answers = await asyncio.gather(
                *(click(line, by, person) for line, by in zip(lines, people, strict=True))
            )
            statuses.update(each.status for each in answers)
            good = [each for each in answers if each.status == 200]
            others = {each.json.get("detail") for each in answers if each.status != 200}
            transfers = (
                [each for each in stripe.transfers if each["id"] == good[0].json["stripe_transfer_id"]]
                if good
                else []
            )
            if len(good) != 1 or others != {SENTENCE} or len(transfers) != 1:
                wrong.append(f"round {number}: {Counter(each.status for each in answers)}, {others}")
        for line in lines:
            line.close()
        report.exactly("transfers", len(stripe.transfers), options.n)
        report.none_of("rounds without one good answer and the sentence for the rest", wrong)
        report.exactly("answers 200", statuses[200], options.n)
        report.exactly("answers 400", statuses[400], options.n * (admins - 1))
        report.none_of("answers 5xx", [str(each) for each in statuses if each >= 500])
        await world.reckon(report)
        report.none_of("errors in the servers' logs", cluster.errors())


async def click(line: HttpConnection, by: Member, person: int) -> HttpAnswer:
    return await line.send("POST", f"/api/admin/ambassadors/{person}/payout/", {}, headers=by.headers())


SCENARIOS = (
    Scenario(
        name="payout-race",
        says="many admins pay the same ambassador at once, over two instances",
        run=run,
        counted="rounds",
        full=50,
        quick=3,
    ),
)
