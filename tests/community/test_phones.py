"""Pushes on their way: batches, another try, fairness, several instances, and the end of one.

What is left where an instance dies is in ``test_phones_crash``.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import pytest

from config.deps import Deps
from push.gateway import MOST_AT_ONCE, Answer, BadCredentials, Outcome, Push
from store.notices import CLAIM_FOR
from tests.support.clock import FakeClock
from tests.support.phones import (
    AGAIN,
    NOTICE,
    FakeGateway,
    counted,
    group,
    keep,
    left,
    people,
    person,
    phones_of,
    send_all,
    to,
    to_all,
)

pytestmark = pytest.mark.usefixtures("no_notices")


async def test_ten_thousand_devices_are_reached_in_batches_once_each(deps: Deps) -> None:
    trainer_id, tokens = await group(deps, 500, devices=20)
    gateway = FakeGateway()
    await keep(deps, to_all(trainer_id))
    await send_all(phones_of(deps, gateway))
    assert Counter(push.token for push in gateway.taken) == Counter(tokens)
    assert max(gateway.batches) <= MOST_AT_ONCE
    assert counted(deps, "pushes") == {"sent": 10_000}
    assert await left(deps.store) == 0


async def test_many_notices_to_single_people_share_batches(deps: Deps) -> None:
    ids, tokens = await people(deps, 60)
    gateway = FakeGateway()
    for user_id in ids:
        await keep(deps, to(user_id))
    await send_all(phones_of(deps, gateway))
    assert {push.token for push in gateway.taken} == set(tokens)
    assert gateway.batches == [50, 10]


async def test_notices_that_nobody_asked_for_in_a_day_are_forgotten(deps: Deps, clock: FakeClock) -> None:
    (first, second), _ = await people(deps, 2)
    await keep(deps, to(first))
    clock.advance(2 * 3600)
    await keep(deps, to(second))
    clock.advance(23 * 3600)
    assert await deps.store.notices.forget(kept_for=timedelta(days=1)) == 1
    assert await left(deps.store) == 1


async def test_people_without_devices_are_walked_past(deps: Deps) -> None:
    trainer_id, _ = await group(deps, 250, devices=0)
    _, tokens = await people(deps, 1, trainer_id=trainer_id)
    gateway = FakeGateway()
    await keep(deps, to_all(trainer_id))
    await send_all(phones_of(deps, gateway))
    assert [push.token for push in gateway.taken] == tokens
    assert gateway.batches == [1]


async def test_dead_token_is_not_tried_again(deps: Deps, caplog: pytest.LogCaptureFixture) -> None:
    user_id, (dead, alive) = await person(deps, devices=2)
    gateway = FakeGateway({dead: [Answer(Outcome.DEAD, "Unregistered")]})
    phones = phones_of(deps, gateway)
    for _ in range(2):
        await keep(deps, to(user_id))
        await send_all(phones)
    assert [push.token for push in gateway.taken] == [alive, alive]
    assert gateway.batches == [2, 1]
    assert counted(deps, "pushes") == {"sent": 2, "dead": 1}
    assert not [record for record in caplog.records if record.name == "push.phones"]


async def test_push_that_was_not_taken_is_tried_again_alone_and_later(deps: Deps, clock: FakeClock) -> None:
    user_id, (slow, quick) = await person(deps, devices=2)
    gateway = FakeGateway({slow: [AGAIN, Answer(Outcome.AGAIN, "QuotaExceeded", 90.0)]})
    phones = phones_of(deps, gateway)
    await keep(deps, to(user_id))
    await send_all(phones)
    assert [push.token for push in gateway.taken] == [quick]
    await send_all(phones)
    assert gateway.batches == [2]
    clock.advance(1)
    await send_all(phones)
    clock.advance(89)
    await send_all(phones)
    assert gateway.batches == [2, 1]
    clock.advance(1)
    await send_all(phones)
    assert [push.token for push in gateway.taken] == [quick, slow]
    assert await left(deps.store) == 0


async def test_walk_goes_on_while_some_wait_for_another_try(deps: Deps, clock: FakeClock) -> None:
    trainer_id, tokens = await group(deps, 150)
    gateway = FakeGateway({tokens[0]: [AGAIN], tokens[120]: [AGAIN, AGAIN]})
    phones = phones_of(deps, gateway)
    await keep(deps, to_all(trainer_id))
    await send_all(phones)
    assert len(gateway.taken) == 148
    for _ in range(3):
        clock.advance(5)
        await send_all(phones)
    assert Counter(push.token for push in gateway.taken) == Counter(tokens)
    assert await left(deps.store) == 0


@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, Outcome.REFUSED])
async def test_push_that_may_have_been_taken_or_never_will_be_is_counted_and_let_go(
    deps: Deps, clock: FakeClock, outcome: Outcome
) -> None:
    user_id, (token,) = await person(deps)
    gateway = FakeGateway({token: [Answer(outcome, "Unknown")]})
    phones = phones_of(deps, gateway)
    await keep(deps, to(user_id))
    await send_all(phones)
    clock.advance(CLAIM_FOR.total_seconds() + 1)
    await send_all(phones)
    assert gateway.batches == [1]
    name = "dropped" if outcome is Outcome.UNKNOWN else "refused"
    assert counted(deps, "pushes") == {name: 1}


async def test_while_fcm_answers_nobody_the_others_wait(deps: Deps) -> None:
    ids, tokens = await people(deps, 6)
    gateway = FakeGateway({token: [Answer(Outcome.UNKNOWN, "DeadlineExceeded")] for token in tokens[:3]})
    phones = phones_of(deps, gateway)
    for user_id in ids[:2]:
        await keep(deps, to(user_id))
    await send_all(phones)
    for user_id in ids[2:]:
        await keep(deps, to(user_id))
    await send_all(phones)
    # All that there is; one that has no answer either; one that has; then all that there is again.
    assert gateway.batches == [2, 1, 1, 2]
    assert counted(deps, "pushes") == {"dropped": 3, "sent": 3}


async def test_notice_older_than_a_quarter_of_an_hour_is_dropped_and_counted(
    deps: Deps, clock: FakeClock
) -> None:
    user_id, (token,) = await person(deps)
    gateway = FakeGateway({token: [AGAIN] * 100})
    phones = phones_of(deps, gateway)
    await keep(deps, to(user_id))
    for _ in range(16):
        await send_all(phones)
        clock.advance(60)
    await send_all(phones)
    assert gateway.taken == []
    assert counted(deps, "push_notices") == {"expired": 1}
    assert await left(deps.store) == 0


async def test_account_that_google_refuses_turns_pushes_off_with_one_warning(
    deps: Deps, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_: Sequence[Push]) -> None:
        raise BadCredentials("Google refuses the service account (invalid_grant)")

    user_id, _ = await person(deps)
    phones = phones_of(deps, FakeGateway(before=refuse))
    assert phones.wants(NOTICE)
    for _ in range(3):
        await keep(deps, to(user_id))
    await send_all(phones)
    assert not phones.wants(NOTICE)
    said = [record.getMessage() for record in caplog.records if record.name == "push.phones"]
    assert said == [
        "No push notifications until the next start: Google refuses the service account (invalid_grant)"
    ]
    assert counted(deps, "pushes") == {"dropped": 3}


async def test_announcement_to_a_large_group_does_not_delay_a_comment(deps: Deps) -> None:
    trainer_id, tokens = await group(deps, 300)
    user_id, (own,) = await person(deps)
    gateway = FakeGateway()
    gateway.opened.clear()
    phones = phones_of(deps, gateway)
    await keep(deps, to_all(trainer_id))
    phones.accept(NOTICE, to_many=True)
    await phones.start()
    await gateway.begun.wait()
    order: list[str] = []
    gateway.before = lambda pushes: order.append("group" if len(pushes) > 1 else "one")
    await keep(deps, to(user_id))
    phones.accept(NOTICE)
    gateway.opened.set()
    await phones.drain(20)
    assert Counter(push.token for push in gateway.taken) == Counter([*tokens, own])
    assert order.index("one") < len(order) - 1, "the last of all"


async def test_groups_take_turns(deps: Deps, clock: FakeClock) -> None:
    gateway = FakeGateway()
    phones = phones_of(deps, gateway)
    whose: dict[str, int] = {}
    for _ in range(2):
        trainer_id, tokens = await group(deps, 250)
        await keep(deps, to_all(trainer_id))
        whose |= dict.fromkeys(tokens, trainer_id)
        clock.advance(0.001)
    order: list[int] = []

    def seen(pushes: Sequence[Push]) -> None:
        order.append(whose[pushes[0].token])
        clock.advance(0.001)

    gateway.before = seen
    await send_all(phones)
    assert len(order) == 6
    assert all(one != other for one, other in itertools.pairwise(order))


async def test_two_instances_send_each_push_once(deps: Deps) -> None:
    gateway = FakeGateway()
    trainer_id, tokens = await group(deps, 250)
    ids, own = await people(deps, 60)
    await keep(deps, to_all(trainer_id))
    for user_id in ids:
        await keep(deps, to(user_id))
    instances = [phones_of(deps, gateway) for _ in range(3)]
    await asyncio.gather(*(send_all(each) for each in instances))
    await send_all(instances[0])
    assert Counter(push.token for push in gateway.taken) == Counter([*tokens, *own])
    assert counted(deps, "pushes") == {"sent": 310}


async def test_drain_sends_what_was_accepted_and_leaves_the_rest_for_others(deps: Deps) -> None:
    ids, tokens = await people(deps, 10)
    gateway = FakeGateway()
    phones = phones_of(deps, gateway)
    await phones.start()
    for user_id in ids:
        await keep(deps, to(user_id))
        phones.accept(NOTICE)
    await phones.drain(20)
    assert {push.token for push in gateway.taken} == set(tokens)
    await keep(deps, to(ids[0]))
    phones.accept(NOTICE)
    assert await left(deps.store) == 1


async def test_drain_ends_in_its_time_while_fcm_hangs(deps: Deps) -> None:
    user_id, _ = await person(deps)
    gateway = FakeGateway()
    gateway.opened.clear()
    phones = phones_of(deps, gateway)
    await phones.start()
    await keep(deps, to(user_id))
    phones.accept(NOTICE)
    await gateway.begun.wait()
    await phones.drain(0.01)
    assert gateway.batches == []
