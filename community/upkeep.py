"""What is done by itself at the start and now and then: finishing what crashes left, forgetting old facts and files.

Every instance does it; doing it twice, or at once, is harmless.
"""

import asyncio
import logging
import random
from datetime import timedelta

from community.achievements import finish_checks
from community.erasure import finish_erasures
from community.media_sweep import sweep
from config.deps import Deps
from store.errors import StoreUnavailable

EVERY_SECONDS = 3600
# Promised to returning clients: a day, and a thousand facts in any case.
KEPT_FACTS, KEPT_FOR = 1_000, timedelta(hours=24)
# Where no instance sends pushes; where one does, they are dropped after 15 minutes.
NOTICES_KEPT_FOR = timedelta(days=1)

log = logging.getLogger("cohort.upkeep")


async def keep_up(deps: Deps) -> None:
    """Finish erasures and checks for achievements at once and every hour; forget old facts and orphaned files every hour.

    Ends when cancelled. The beat is uneven, so that instances do not meet.
    """
    while True:
        try:
            erased = await finish_erasures(deps)
            finished = await finish_checks(deps)
        except StoreUnavailable as error:
            log.warning("upkeep: the database did not answer: %s", error)
        else:
            if erased or finished:
                log.info("upkeep: finished %d erasures, %d checks for achievements", erased, finished)
        await asyncio.sleep(EVERY_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - a beat, no secret
        try:
            forgotten = await deps.store.events.forget(kept=KEPT_FACTS, kept_for=KEPT_FOR)
            await deps.store.notices.forget(kept_for=NOTICES_KEPT_FOR)
        except StoreUnavailable as error:
            log.warning("upkeep: the database did not answer: %s", error)
        else:
            log.info("upkeep: forgot %d facts of the event log", forgotten)
        try:
            swept = await sweep(deps)
        except StoreUnavailable as error:
            log.warning("upkeep: the media could not be swept: %s", error)
        else:
            log.info("upkeep: deleted %d of %d files of media", len(swept.orphans), swept.files)
