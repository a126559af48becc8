"""Achievements: noticing what somebody has earned, awarding it once, and what they see of it.

What has to be done for one is in ``community.criteria``. Whatever may earn one (a log, a first post or comment) marks
its person in its own transaction; ``check`` comes right after it, and ``finish_checks`` does what a crash left.
"""

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from community import away, present
from community.actor import Actor
from community.criteria import METRICS, SEEDS, is_earned, is_told, progress_of, share_done
from community.errors import Invalid, NotFound
from community.facts import post_created
from config.deps import Deps
from push import notices
from store.achievements import Achievement, Standing
from store.errors import Gone, StoreError
from store.records import User
from store.store import Store

RECENT = 5
# Checks that one pass does of what crashes left: a few seconds of work.
PASS = 1_000
LONGEST_NAME, LONGEST_DESCRIPTION = 100, 300

log = logging.getLogger("cohort.achievements")


async def seed(store: Store) -> None:
    """Make the achievements of the house, where they are not there; what an admin changed stays changed."""
    await store.achievements.seed(SEEDS)


async def check(deps: Deps, user_id: int, *, tells: bool = True) -> None:
    """Award what somebody has earned since their progress was last looked at. Never fails who caused it.

    Unless it ``tells``, no award makes an entry in the feed: for what is written as of long ago. Where the database does not answer, their mark stays and a later check finds it.
    """
    try:
        standing = await deps.store.achievements.standing(user_id)
        # Without a mark, somebody has looked after the change that this check is about.
        if standing is None or standing.due is None:
            return
        for achievement in await _earned(deps, standing):
            await _award(deps, standing.user, achievement, tells=tells)
        await deps.store.achievements.looked_at(user_id, standing.due)
    except Gone:
        pass  # the account has just ended, and its mark with it
    except StoreError as error:
        log.warning("the achievements of %d are looked at later: %s", user_id, error)


async def finish_checks(deps: Deps) -> int:
    """Check everybody whose check did not end, and give how many there were, at most a thousand."""
    user_ids = await deps.store.achievements.due(limit=PASS)
    for user_id in user_ids:
        await check(deps, user_id)
    return len(user_ids)


async def _earned(deps: Deps, standing: Standing) -> list[Achievement]:
    """Give what is earned and not awarded yet."""
    progress = progress_of(standing, deps.clock.now())
    had = {award.achievement_id for award in await deps.store.achievements.awards(standing.user.id)}
    return [
        each
        for each in await deps.store.achievements.all()
        if each.id not in had and is_earned(each, progress)
    ]


async def _award(deps: Deps, user: User, achievement: Achievement, *, tells: bool = True) -> None:
    """Award an achievement, and tell of it; all that follows an award follows here, once. Raises ``Gone``."""
    entry = partial(entry_of, achievement) if tells else _nothing
    notice = notices.earned(achievement_id=achievement.id, name=achievement.name)
    told = away.to_oneself(deps, user.id, notice) if tells else None
    awarded = await deps.store.achievements.award(user.id, achievement.id, entry, told)
    if awarded is None:
        return
    away.accept(deps, told)
    if awarded.post is not None and awarded.fact is not None:
        by = await deps.people.author(user.id)
        deps.realtime.publish(post_created(awarded.fact, present.post(awarded.post, by, ())))


def entry_of(achievement: Achievement, user: User) -> str | None:
    """Give what the feed says of an award; None where its owner wants nothing said, or it is nobody else's business."""
    if not user.auto_post_workouts or not is_told(achievement):
        return None
    return f"Earned an achievement: {achievement.name}!"


def _nothing(_user: User) -> None:
    """What the feed says of an award that is not told."""


async def list_achievements(deps: Deps, actor: Actor) -> list[present.Json]:
    """Give all achievements with the actor's own progress. What they have earned unnoticed is awarded first.

    That may be by a goal that was set, or an achievement that is new. Raises ``NotFound`` for an account that has
    just ended.
    """
    standing = await deps.store.achievements.standing(actor.id)
    if standing is None:
        raise NotFound
    try:
        for achievement in await _earned(deps, standing):
            await _award(deps, standing.user, achievement)
    except Gone as error:
        raise NotFound from error
    progress = progress_of(standing, deps.clock.now())
    awards = {each.achievement_id: each for each in await deps.store.achievements.awards(actor.id)}
    return [
        present.achievement(each, awards.get(each.id), share_done(each, progress))
        for each in await deps.store.achievements.all()
    ]


async def list_recent(deps: Deps, actor: Actor) -> list[present.Json]:
    """Give the achievements that the actor earned last, the latest first."""
    awards = (await deps.store.achievements.awards(actor.id))[:RECENT]
    known = {each.id: each for each in await deps.store.achievements.all()} if awards else {}
    return [present.achievement(known[award.achievement_id], award, 1.0) for award in awards]


async def add_achievement(
    deps: Deps, *, metric: str, threshold: int, name: str, description: str
) -> Achievement:
    """Make another achievement. For scripts: who may run those may do this. Raises ``Invalid``.

    Whoever has earned it already is awarded it when they next look, log, or write for the first time.
    """
    if metric not in METRICS:
        raise Invalid({"metric": [f"Must be one of {', '.join(METRICS)}."]})
    given = _valid(metric, {"threshold": threshold, "name": name, "description": description})
    return await deps.store.achievements.add(metric=metric, **given)


async def update_achievement(
    deps: Deps, *, achievement_id: int, changes: Mapping[str, object]
) -> Achievement:
    """Change an achievement; who has earned it keeps it. For scripts. Raises ``NotFound``, ``Invalid``."""
    achievement = await deps.store.achievements.get(achievement_id)
    if achievement is None:
        raise NotFound("There is no achievement of that id.")
    changed = await deps.store.achievements.update(achievement_id, _valid(achievement.metric, changes))
    return changed or achievement


def _valid(metric: str, given: Mapping[str, object]) -> dict[str, Any]:
    """Give the fields of an achievement, stripped. Raises ``Invalid`` with a message for each that is wrong."""
    fields = {name: value.strip() if isinstance(value, str) else value for name, value in given.items()}
    wrong: dict[str, list[str]] = {}
    for name, most in (("name", LONGEST_NAME), ("description", LONGEST_DESCRIPTION)):
        if name in fields and not 1 <= len(str(fields[name])) <= most:
            wrong[name] = [f"Must have 1 to {most} characters."]
    most = METRICS[metric].most
    threshold = fields.get("threshold", 1)
    if not isinstance(threshold, int) or not 1 <= threshold <= most:
        wrong["threshold"] = [f"Must be from 1 to {most}."]
    if wrong:
        raise Invalid(wrong)
    return fields
