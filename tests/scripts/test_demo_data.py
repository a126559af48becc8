"""Filling a database with the demo by the script: once and not twice, whole after any interruption, true to its plan.

Filling it takes some seconds, so that one test sees all that is to be seen of it.
"""

import asyncio
import dataclasses
import secrets
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from community.criteria import SEEDS, run_of
from community.demo import PICTURES, fill_if_empty
from community.demo_plan import QUIET, GroupPlan, PlannedPost, make_plan
from community.demo_training import NEWS, STREAKS
from community.demo_words import load_words
from community.leaderboards import scores
from config.deps import Deps
from scripts import demo_data, media_sweep, recount
from store.markers import Markers
from store.pages import PageRequest
from store.store import Store
from tests.scripts.conftest import Run, outcome
from tests.support.clock import FakeClock
from tests.support.demo import Crash, CrashingHub


class CrashingHashing:
    """The process is gone at the first password."""

    async def hash(self, _password: str) -> str:
        raise Crash


@pytest.mark.long
async def test_demo_data_is_whole_when_it_was_interrupted_again_and_again(
    own_deps: Deps, clock: FakeClock, run_script: Run, own_mongo_uri: str, tmp_path: Path
) -> None:
    said: list[str] = []
    begun_at = clock.now()
    await interrupted(own_deps, said, hashing=CrashingHashing())
    clock.advance(60)
    await interrupted(own_deps, said, realtime=CrashingHub(0))
    await take_away_the_last_to_join(own_deps.store, make_plan(begun_at)[0])
    clock.advance(60)
    await interrupted(own_deps, said, realtime=CrashingHub(40))
    clock.advance(60)
    await interrupted(own_deps, said, realtime=CrashingHub(200))
    marker = await Markers(own_deps.store.database, clock).get("demo")
    assert marker is not None
    assert marker.done_at is None
    assert "empty" in said[0]
    assert "interrupted" in said[-1]

    command = partial(run_script, env={"MONGODB_URI": own_mongo_uri})
    options = ("--data-dir", str(tmp_path))
    filled = await asyncio.to_thread(command, demo_data.main, *options, "--json")
    assert filled.exit_code == 0, filled.output
    told = outcome(filled)
    assert told["filled"]
    assert [len(trainees) for trainees in told["accounts"].values()] == [19, 11]
    for group, cast_of_it in zip(make_plan(begun_at), load_words().casts, strict=True):
        await assert_as_planned(own_deps.store, group)
        streaks = await streaks_of(own_deps.store, group, begun_at - QUIET)
        assert streaks == [each for each in STREAKS[: len(cast_of_it.trainees)] if each]
        assert len(streaks) > len(set(streaks))  # a tie
    swept = await asyncio.to_thread(command, media_sweep.main, *options, "--now", "--json")
    assert swept.exit_code == 0, swept.output
    recounted = await asyncio.to_thread(command, recount.main, *options, "--json")
    assert recounted.exit_code == 0, recounted.output
    assert outcome(recounted) == {"ok": True, "miscounts": [], "summaries": [], "gaps": [], "fixed": 0}

    # Complete: whatever people do from now on is left alone.
    await own_deps.store.database.table("posts").delete({})
    refused = await asyncio.to_thread(command, demo_data.main, *options)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "not empty" in refused.stderr
    assert await own_deps.store.database.raw["posts"].count_documents({}) == 199 + 2 * (NEWS + 1)


async def interrupted(deps: Deps, said: list[str], **parts: object) -> None:
    with pytest.raises(Crash):
        await fill_if_empty(dataclasses.replace(deps, **cast("Any", parts)), say=said.append)


async def take_away_the_last_to_join(store: Store, group: GroupPlan) -> None:
    """Leave the database as if the process had died while people were joining."""
    late = [person.id for person in group.trainees[-4:]]
    await store.database.raw["users"].delete_many({"_id": {"$in": late}})
    await store.database.raw["invites"].update_one({"_id": group.invite_id}, {"$inc": {"uses": -len(late)}})


async def streaks_of(store: Store, group: GroupPlan, now: datetime) -> list[int]:
    """Give the streaks on the group's board, the longest first."""
    board = await store.training.board(group.trainer.id)
    found = scores(board.contenders, "current_streak", "weekly", now)
    return sorted((value for value, _ in found), reverse=True)


async def assert_as_planned(store: Store, group: GroupPlan) -> None:
    people = {person.id: person for person in (group.trainer, *group.trainees)}
    users = await store.users.some(list(people))
    assert {user.id: (user.email, user.created_at) for user in users.values()} == {
        person.id: (person.email, person.joined_at) for person in people.values()
    }
    assert {user.community_id for user in users.values()} == {group.trainer.id}
    posts = await store.posts.some([entry.id for entry in group.entries if isinstance(entry, PlannedPost)])
    reactions = {post.id: planned for post, planned in group.reactions}
    room = await store.events.head(group.trainer.id)
    assert room is not None
    facts = await store.events.after(room, 0, limit=10_000)
    planned = len(group.entries)
    assert [(fact.seq, fact.comment_id or fact.post_id, fact.at) for fact in facts[:planned]] == [
        (seq, entry.id, entry.at) for seq, entry in enumerate(group.entries, 1)
    ]
    news = await store.posts.some([fact.post_id for fact in facts[planned:]])
    assert sorted((each.post_type, each.content) for each in news.values()) == [
        ("achievement", "Earned an achievement: Fortnight!"),
        *[("workout_completed", "Completed today's workout!")] * NEWS,
    ]
    for entry in group.entries:
        if isinstance(entry, PlannedPost):
            post = posts[entry.id]
            assert (post.content, post.author_id, post.created_at) == (entry.text, entry.author.id, entry.at)
            assert sum(post.reactions.values()) == len(reactions[entry.id])
    assert sum(post.image is not None for post in posts.values()) == PICTURES
    assert users[group.trainer.id].profile_image is not None
    rows = store.database.raw["reactions"].find({"community_id": group.trainer.id}).sort("_id", 1)
    found = [(row["post_id"], row["user_id"], row["reaction_type"]) async for row in rows]
    assert len(found) == len(set(found)) == sum(map(len, reactions.values()))
    await assert_announced(store, group)
    await assert_awarded(store, group)


async def assert_announced(store: Store, group: GroupPlan) -> None:
    """All is there once, the pinned one first, and every trainee has read all but the latest."""
    page = await store.announcements.page(group.trainer.id, PageRequest())
    latest, *earlier = sorted(group.announcements, key=lambda each: each.at, reverse=True)
    assert [each.id for each in page.items] == [earlier.pop().id, latest.id, *(each.id for each in earlier)]
    assert page.items[0].is_pinned
    for person in group.trainees:
        read_up_to = await store.announcements.read_up_to(person.id, group.trainer.id)
        assert await store.announcements.unread(group.trainer.id, read_up_to) == 1


async def assert_awarded(store: Store, group: GroupPlan) -> None:
    """Whoever has written or trained enough was awarded for it, and nobody is left to look at."""
    wanted = {(entry.author.id, 19 if isinstance(entry, PlannedPost) else 20) for entry in group.entries}
    for person in (group.trainer, *group.trainees):
        days = (await store.training.get(person.id)).workouts
        wanted |= {
            (person.id, seed.id)
            for seed in SEEDS
            if (seed.metric == "workout_count" and len(days) >= seed.threshold)
            or (seed.metric == "workout_streak" and run_of(days, days.latest or 0).longest >= seed.threshold)
        }
        found = {(person.id, award.achievement_id) for award in await store.achievements.awards(person.id)}
        assert found == {each for each in wanted if each[0] == person.id}
    assert await store.achievements.due(limit=1) == []


def test_demo_data_refuses_production(run_script: Run, tmp_path: Path) -> None:
    production = {
        "ENVIRONMENT": "production",
        "JWT_SECRET": secrets.token_urlsafe(48),
        "PUBLIC_URL": "https://cohort.example.org",
    }
    result = run_script(demo_data.main, "--data-dir", str(tmp_path), env=production)
    assert result.exit_code == 2
    assert "production" in result.stderr
