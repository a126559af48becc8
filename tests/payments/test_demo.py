"""The demo's money: figures to look at, made by the real rules, whole after an interruption."""

import dataclasses
from contextlib import suppress
from typing import Any, cast

from community import demo as groups
from config.deps import Deps
from payments import demo
from payments.audit import audit
from store.markers import Markers
from store.records import TRAINER
from tests.support.demo import Crash, CrashingHub


async def half_filled(deps: Deps, people: int) -> Markers:
    """As a fill that died after so many trainers had joined, and before any money was told."""
    markers = Markers(deps.store.database, deps.clock)
    for name in (groups.MARKER, demo.MARKER):
        await markers.begin(name)
    await markers.finish(groups.MARKER)
    for address in list(groups.accounts())[:people]:
        await deps.store.users.add(
            email=address, password_hash="x", first_name="A", last_name="B", role=TRAINER, timezone="UTC",
            epoch="e1",
        )  # fmt: skip
    return markers


def ignore(_: str) -> None:
    """Nobody reads along."""


async def test_ambassador_has_earned_by_the_real_rules(own_deps: Deps) -> None:
    await half_filled(own_deps, 2)
    assert await demo.fill_if_empty(own_deps, say=ignore)
    ambassador = await own_deps.store.users.by_email(demo.EMAIL)
    assert ambassador is not None
    earned = (await own_deps.store.commissions.earned([ambassador.id]))[ambassador.id]
    cents = sum(sum(each) for each in demo.PAID)
    assert earned.total_cents == cents // 5
    assert (await own_deps.store.referrals.counts([ambassador.id]))[ambassador.id].active == 2
    assert (await audit(own_deps, with_stripe=False)).findings == []
    assert not await demo.fill_if_empty(own_deps, say=ignore)
    assert demo.EMAIL in "\n".join(demo.log_ins())


async def test_empty_database_is_marked_before_anybody_is_in_it(own_deps: Deps) -> None:
    dying = dataclasses.replace(own_deps, realtime=cast("Any", CrashingHub(0)))
    with suppress(Crash):
        await demo.fill_if_empty(dying, say=ignore)
    marker = await Markers(own_deps.store.database, own_deps.clock).get(demo.MARKER)
    assert marker is not None
    assert marker.done_at is None


async def test_interrupted_fill_is_finished(own_deps: Deps) -> None:
    await half_filled(own_deps, 1)
    before = await demo._ambassador(own_deps, own_deps.clock.now())
    assert await demo.fill_if_empty(own_deps, say=ignore)
    found = await own_deps.store.users.by_email(demo.EMAIL)
    assert found is not None
    assert found.id == before.id


async def test_people_who_are_no_demo_are_left_alone(own_deps: Deps) -> None:
    await own_deps.store.users.add(
        email="a@example.org", password_hash="x", first_name="A", last_name="B", role=TRAINER, timezone="UTC",
        epoch="e1",
    )  # fmt: skip
    assert not await demo.fill_if_empty(own_deps, say=ignore)
    assert await own_deps.store.users.by_email(demo.EMAIL) is None
