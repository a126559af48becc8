"""Stripe fails in every way while many are paid, and forgets its keys: everybody is paid once, and to the cent.

The clock jumps over hours; every choice comes from the seed.
"""

import asyncio

from community.errors import DomainError
from config.deps import Deps
from payments.pay_out import pay_out
from payments.reconcile import RECONCILER, reconcile_all
from tests.chaos.frame import Options, Report, Scenario
from tests.chaos.payout_world import World, inside_world
from tests.support.ambassadors import TERMINAL
from tests.support.clock import FakeClock
from tests.support.stripe_double import FAULTS, UNCLEAR

ADMINS = 8
# Of an ambassador; each is paid many times.
PAYOUTS_EACH = 25
FAILING = 0.3
HOUR = 3600
# A payout that Stripe never had is proved absent after 27 hours; calls that fail take some hours more.
HOURS = 60
TRANSFERS = ("POST", "/v1/transfers")


async def run_faults(options: Options, report: Report) -> None:
    async with inside_world() as (world, deps, clock):
        await faults(options, report, world, deps, clock)


async def faults(options: Options, report: Report, world: World, deps: Deps, clock: FakeClock) -> None:
    people = await world.ambassadors(max(ADMINS, options.n // PAYOUTS_EACH))
    asked = [options.random.choice(people) for _ in range(options.n)]
    failed: list[str] = []

    def choose(_: str, __: str) -> str | None:
        fault = options.random.choice(FAULTS) if options.random.random() < FAILING else None
        failed.extend([fault] if fault else [])
        return fault

    world.stripe.chooser = choose
    waiting = iter(asked)

    async def admin() -> None:
        for person in waiting:
            await world.earn(person, options.random.randrange(1, 100_000))
            await try_to_pay(deps, person)

    await asyncio.gather(*(admin() for _ in range(ADMINS)))
    hours = await settle_all(deps, clock)
    # Those whose payouts failed are paid by new ones, still by a Stripe that fails, and at last by one that works.
    for person in people:
        await try_to_pay(deps, person)
    hours += await settle_all(deps, clock)
    world.stripe.chooser = None
    for person in people:
        await try_to_pay(deps, person)
    calls = len(world.stripe.requests)
    report.exactly("payouts asked for", len(asked), options.n)
    report.add("calls to Stripe", calls)
    report.add("of them failed", len(failed), least=1)
    report.add("kinds of failure", len(set(failed)), least=1 if options.quick else len(FAULTS))
    report.add("hours until nothing was open", hours, most=2 * HOURS)
    await world.reckon(report)
    report.none_of("left unpaid", [str(each) for each in await deps.store.commissions.payable()])


async def try_to_pay(deps: Deps, person: int) -> None:
    try:
        await pay_out(deps, TERMINAL, person)
    except DomainError:
        pass  # refused, or nothing to pay: what that left is looked at in the end


async def settle_all(deps: Deps, clock: FakeClock) -> int:
    """Reconcile every hour until nothing is open; how many hours that took."""
    for hour in range(HOURS):
        clock.advance(HOUR)
        settled = [each async for each in reconcile_all(deps, by=RECONCILER)]
        if not any(each.is_open for each in settled):
            return hour + 1
    return HOURS


async def run_keyexpiry(options: Options, report: Report) -> None:
    async with inside_world() as (world, deps, clock):
        await key_expiry(options, report, world, deps, clock)


async def key_expiry(options: Options, report: Report, world: World, deps: Deps, clock: FakeClock) -> None:
    people = await world.ambassadors(options.n)
    world.stripe.chooser = lambda *call: options.random.choice(UNCLEAR) if call == TRANSFERS else None
    gate = asyncio.Semaphore(ADMINS)

    async def lose(person: int) -> bool:
        async with gate:
            await world.earn(person, options.random.randrange(1, 100_000))
            return (await pay_out(deps, TERMINAL, person)).is_open

    unknown = sum(await asyncio.gather(*(lose(person) for person in people)))
    report.exactly("unknown results", unknown, options.n)
    world.stripe.chooser = None
    # Nobody looked for a day: Stripe has forgotten all keys.
    clock.advance(24 * HOUR + options.random.randrange(HOUR))
    before = sum(call[:2] == TRANSFERS for call in world.stripe.requests)
    done = len(world.stripe.transfers)
    hours = await settle_all(deps, clock)
    sent = sum(call[:2] == TRANSFERS for call in world.stripe.requests) - before
    report.exactly("sent after 20 hours", sent, 0)
    report.add("had been carried out", done, least=1)
    report.add("proved absent", options.n - done, least=1)
    report.add("hours until nothing was open", hours, most=5)
    for person in people:
        await try_to_pay(deps, person)
    await world.reckon(report)
    report.none_of("left unpaid", [str(each) for each in await deps.store.commissions.payable()])


SCENARIOS = (
    Scenario(
        name="payout-faults",
        says="payouts while 30 % of all calls to Stripe fail in all ways",
        run=run_faults,
        counted="payouts",
        full=5_000,
        quick=60,
    ),
    Scenario(
        name="payout-keyexpiry",
        says="payouts of unknown outcome, looked at when Stripe has forgotten their keys",
        run=run_keyexpiry,
        counted="unknown results",
        full=500,
        quick=20,
    ),
)
