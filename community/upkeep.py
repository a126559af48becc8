"""What is done by itself now and then: forgetting facts of the event log that nobody will ask for again.

Every instance does it; doing it twice, or at once, is harmless.
"""

import asyncio
import logging
import random
from datetime import timedelta

from config.deps import Deps
from store.errors import StoreUnavailable

EVERY_SECONDS = 3600
# Promised to returning clients: a day, and a thousand facts in any case.
KEPT_FACTS, KEPT_FOR = 1_000, timedelta(hours=24)

log = logging.getLogger("cohort.upkeep")


async def keep_up(deps: Deps) -> None:
    """Forget old facts every hour, at an uneven beat so that instances do not meet; ends when cancelled."""
    while True:
        await asyncio.sleep(EVERY_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - a beat, no secret
        try:
            forgotten = await deps.store.events.forget(kept=KEPT_FACTS, kept_for=KEPT_FOR)
        except StoreUnavailable as error:
            log.warning("upkeep: the database did not answer: %s", error)
        else:
            log.info("upkeep: forgot %d facts of the event log", forgotten)
