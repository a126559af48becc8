"""What deleting an account leaves to be done: its files, which are the own picture and an export.

It is written down in the transaction of the deletion, so a crash at any moment only delays it. What goes at once is in
``store.erasures``.
"""

import logging

from config.deps import Deps
from store.errors import StoreUnavailable

log = logging.getLogger("cohort.erasure")


async def finish_erasure(deps: Deps, user_id: int) -> None:
    """Delete the files of somebody who was deleted. Doing it twice, or at once, is harmless.

    Raises ``StoreUnavailable``.
    """
    files = await deps.store.erasures.files(user_id)
    await deps.media.delete(files)
    await deps.store.erasures.finish(user_id, files)


async def try_to_finish(deps: Deps, user_id: int) -> None:
    """As ``finish_erasure``; where the database or the media are away, it is left to ``finish_erasures``."""
    try:
        await finish_erasure(deps, user_id)
    except StoreUnavailable as error:
        log.warning("an erasure is left to be finished: %s", error)


async def finish_erasures(deps: Deps) -> int:
    """Finish what crashes left; gives how many there were. Raises ``StoreUnavailable``."""
    pending = await deps.store.erasures.pending()
    for user_id in pending:
        await finish_erasure(deps, user_id)
    return len(pending)
