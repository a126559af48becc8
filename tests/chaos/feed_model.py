"""A million steps of the seeded model of the live feed: servers, clients, a lossy bus, crashes and returns.

The model is `tests.realtime.model`; nothing here is measured, only counted.
"""

import asyncio
import logging
import random
from collections import Counter

from tests.chaos.frame import Options, Report, Scenario
from tests.realtime.model import walk

# One walk after the other, each with a seed of its own: a log that never ends would only make steps slower.
STEPS_A_WALK = 5_000
SAY_EVERY = 20


async def run(options: Options, report: Report) -> None:
    # What goes wrong on purpose is logged by the parts it happens to.
    logging.getLogger("realtime").setLevel(logging.CRITICAL + 1)
    steps, violations, told = await asyncio.to_thread(walk_all, options)
    report.add("steps", steps, least=options.n)
    report.none_of("violations", violations)
    for what, count in sorted(told.items()):
        # Something that never happened would prove nothing.
        report.add(f"clients were told: {what}", count, least=1)


def walk_all(options: Options) -> tuple[int, list[str], Counter[str]]:
    """Walk until `n` steps are done; the steps, what was not kept, and how often clients were told what."""
    steps, violations, told = 0, [], Counter[str]()
    chance = random.Random(options.seed)
    a_walk = min(options.n, STEPS_A_WALK)
    for number in range(-(-options.n // a_walk)):
        seed, is_lossless = chance.randrange(10**9), number % 2 == 0
        try:
            told.update(walk(seed, a_walk, is_lossless=is_lossless))
        except AssertionError as error:
            violations.append(f"walk({seed}, {a_walk}, is_lossless={is_lossless}): {error}")
        steps += a_walk
        if (number + 1) % SAY_EVERY == 0:
            options.say(f"{steps:,} steps, {len(violations)} violations")
    return steps, violations, told


SCENARIOS = (
    Scenario(
        "feed-model",
        "A seeded model of server, clients and a lossy bus, with crashes and returns, in virtual time.",
        run,
        counted="steps",
        full=1_000_000,
        quick=2_000,
    ),
)
