"""The training log: what a trainee did, ate and weighed on a day, and the entry that a workout makes in the feed.

How days become streaks is in ``community.streaks``, how people compare in ``community.leaderboards``.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from functools import partial

from community import achievements, present
from community.actor import Actor
from community.errors import Invalid, NotFound
from community.facts import post_created, post_deleted
from community.streaks import today_in
from config.deps import Deps
from store.daily_logs import DailyLog, LogWritten
from store.errors import Gone
from store.pages import Page, PageRequest
from store.records import User

# Before any phone kept a log; the days of a person's whole life in training take 1.2 KB from here on.
EARLIEST = date(2000, 1, 1)
# Whoever brings years of logs from elsewhere does not fill their group's feed with them.
NEWS_FOR = timedelta(days=7)


async def put_log(deps: Deps, actor: Actor, *, on: date, changes: Mapping[str, object]) -> LogWritten:
    """Write one's log of a day; fields that are left out stay, None takes one away. The same when done twice.

    The first workout of a day shows in the group's feed at once, as far as the person wants that, and goes with it.
    Raises ``Invalid`` for a day that has not begun where the person lives, and for one before 2000.
    """
    now = deps.clock.now()
    today = today_in(actor.user.timezone, now)
    if on > today:
        raise Invalid({"date": [f"Must not be in the future. In your time zone it is {today}."]})
    if on < EARLIEST:
        raise Invalid({"date": [f"Must not be before {EARLIEST}."]})
    try:
        written = await deps.store.daily_logs.put(actor.id, on, changes, partial(entry_of, on, now))
    except Gone as error:
        raise NotFound from error
    if written.fact is not None and written.post is not None:
        by = await deps.people.author(actor.id)
        deps.realtime.publish(post_created(written.fact, present.post(written.post, by, ())))
    elif written.fact is not None:
        deps.realtime.publish(post_deleted(written.fact))
    await achievements.check(deps, actor.id)
    return written


def entry_of(on: date, now: datetime, user: User) -> str | None:
    """Give what the feed says of a workout on that day; None where its owner wants nothing said, or it is old.

    Nothing of the log itself is told: what somebody did and weighs is theirs to tell.
    """
    ago = today_in(user.timezone, now) - on
    if not user.auto_post_workouts or ago >= NEWS_FOR:
        return None
    return f"Completed {on:%A}'s workout." if ago > timedelta() else "Completed today's workout!"


async def list_logs(
    deps: Deps, actor: Actor, *, since: date | None, until: date | None, request: PageRequest
) -> Page[DailyLog]:
    """Give a page of one's own logs of these days (both included), the latest day first. Raises ``Invalid``."""
    since, until = since or date.min, until or date.max
    if since > until:
        raise Invalid({"to": ["Must not be before `from`."]})
    return await deps.store.daily_logs.page(actor.id, since, until, request)
