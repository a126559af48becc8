"""The account of every push: batches, another try, fairness, and death between any two lines."""

import asyncio
import itertools
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from community.away import NoticeDesk
from config.deps import Deps
from push import notices
from push.gateway import MOST_AT_ONCE, Answer, BadCredentials, Outcome, Push
from push.phones import TO_MANY, TO_ONE, Chunk
from store.notices import CLAIM_FOR, NoticeDraft, PendingNotice
from store.records import TRAINEE, TRAINER
from tests.support.clock import FakeClock
from tests.support.phones import FakeGateway, counted, phones_of, send_all

AGAIN = Answer(Outcome.AGAIN, "Unavailable")
NOTICE = notices.earned(achievement_id=1, name="First post")


@pytest.fixture(autouse=True)
async def alone(deps: Deps) -> None:
    """Nobody else's notices are left in the database."""
    await deps.store.database.table("notices").delete_many({})


async def person(deps: Deps, *, devices: int = 1) -> tuple[int, list[str]]:
    """Somebody with so many devices; gives their id and tokens."""
    (user_id,), tokens = await people(deps, 1, devices=devices)
    return user_id, tokens


async def people(
    deps: Deps, count: int, *, devices: int = 1, trainer_id: int | None = None
) -> tuple[list[int], list[str]]:
    """So many trainees with so many devices each."""
    new = deps.store.ids.new
    ids = [new() for _ in range(count)]
    await deps.store.database.table("users").insert_many(
        [{"_id": user_id, "role": TRAINEE, "is_active": True, "parent_trainer": trainer_id, "email_key": str(user_id)}
         for user_id in ids]
    )  # fmt: skip
    tokens = [
        {"_id": new(), "user_id": user_id, "token": secrets.token_hex(8), "platform": "ios", "is_active": True,
         "registered_at": deps.clock.now()}
        for user_id in ids for _ in range(devices)
    ]  # fmt: skip
    if tokens:
        await deps.store.database.table("device_tokens").insert_many(tokens)
    return ids, [str(each["token"]) for each in tokens]


async def keep(deps: Deps, draft: NoticeDraft) -> str:
    """Keep a notice with a cause of its own, and give its id."""
    cause = {"_id": deps.store.ids.new()}
    await deps.store.database.table("causes").insert(cause)
    document = deps.store.notices.document(draft, cause="causes", cause_id=cause["_id"])
    await deps.store.database.transact(lambda session: deps.store.notices.add(document, session=session))
    return str(document["_id"])


def to(user_id: int) -> NoticeDraft:
    content = {"title": NOTICE.title, "body": NOTICE.body, "data": dict(NOTICE.data)}
    return NoticeDraft(recipient_id=user_id, community_id=None, actor_id=None, content=content)


def to_all(trainer_id: int) -> NoticeDraft:
    return replace(to(0), recipient_id=None, community_id=trainer_id)


async def group(deps: Deps, count: int, *, devices: int = 1) -> tuple[int, list[str]]:
    """A trainer with so many trainees; gives the trainer's id and the trainees' tokens."""
    trainer_id = deps.store.ids.new()
    await deps.store.database.table("users").insert(
        {"_id": trainer_id, "role": TRAINER, "is_active": True, "email_key": str(trainer_id)}
    )
    _, tokens = await people(deps, count, devices=devices, trainer_id=trainer_id)
    return trainer_id, tokens


async def left(deps: Deps) -> int:
    return len(await deps.store.database.table("notices").find({}))


async def test_ten_thousand_devices_are_reached_in_batches_once_each(deps: Deps) -> None:
    trainer_id, tokens = await group(deps, 500, devices=20)
    gateway = FakeGateway()
    await keep(deps, to_all(trainer_id))
    await send_all(phones_of(deps, gateway))
    assert Counter(push.token for push in gateway.taken) == Counter(tokens)
    assert max(gateway.batches) <= MOST_AT_ONCE
    assert counted(deps, "pushes") == {"sent": 10_000}
    assert await left(deps) == 0


async def test_many_notices_to_single_people_share_batches(deps: Deps) -> None:
    ids, tokens = await people(deps, 60)
    gateway = FakeGateway()
    for user_id in ids:
        await keep(deps, to(user_id))
    await send_all(phones_of(deps, gateway))
    assert {push.token for push in gateway.taken} == set(tokens)
    assert gateway.batches == [50, 10]


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
    assert await left(deps) == 0


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
    assert await left(deps) == 0


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
    assert await left(deps) == 0


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
    assert await left(deps) == 1


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


class Death(BaseException):
    """The process is gone: no line after this one runs."""


class MortalDesk(NoticeDesk):
    """Dies at its n-th call: before it changes anything, or after."""

    def __init__(self, deps: Deps, moment: str, left_calls: int) -> None:
        super().__init__(deps.store)
        self._moment = moment
        self._left_calls = left_calls

    def _die(self, moment: str) -> None:
        if moment == "before":
            self._left_calls -= 1
        if self._left_calls == 0 and moment == self._moment:
            raise Death

    async def claim(self, lane: str, limit: int) -> list[PendingNotice]:
        self._die("before")
        found = await super().claim(lane, limit)
        self._die("after")
        return found

    async def chunks(self, claimed: Sequence[PendingNotice]) -> Mapping[str, Chunk]:
        self._die("before")
        found = await super().chunks(claimed)
        self._die("after")
        return found

    async def begin(self, claim: str, counts: Mapping[str, int], after: int | None) -> set[str]:
        self._die("before")
        found = set(await super().begin(claim, counts, after))
        self._die("after")
        return found

    async def finish(self, claim: str, ids: Sequence[str]) -> None:
        self._die("before")
        await super().finish(claim, ids)
        self._die("after")

    async def go_on(self, kept: PendingNotice) -> None:
        self._die("before")
        await super().go_on(kept)
        self._die("after")

    async def postpone(self, kept: PendingNotice, device_ids: Sequence[int], wait_seconds: float) -> None:
        self._die("before")
        await super().postpone(kept, device_ids, wait_seconds)
        self._die("after")


@pytest.mark.parametrize("lane", [TO_ONE, TO_MANY])
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_death_at_any_line_sends_nothing_twice_and_loses_nothing_unreported(
    deps: Deps, clock: FakeClock, moment: str, lane: str
) -> None:
    """Some pushes must wait for another try, so that the way there is died on, too."""
    deaths = 0
    for calls in range(1, 40):
        before = counted(deps, "pushes").get("dropped", 0)
        if lane == TO_ONE:
            user_id, tokens = await person(deps, devices=3)
            await keep(deps, to(user_id))
        else:
            trainer_id, tokens = await group(deps, 6, devices=20)
            await keep(deps, to_all(trainer_id))
        gateway = FakeGateway({tokens[0]: [AGAIN], tokens[-1]: [AGAIN]})
        died = False
        try:
            await send_all(phones_of(deps, gateway, desk=MortalDesk(deps, moment, calls)))
        except Death:
            died = True
        survivor = phones_of(deps, gateway)
        for _ in range(3):
            clock.advance(CLAIM_FOR.total_seconds() + 1)
            await send_all(survivor)
        times = Counter(push.token for push in gateway.taken)
        dropped = counted(deps, "pushes").get("dropped", 0) - before
        assert max(times.values(), default=0) <= 1, (calls, "twice")
        assert len(times) + dropped >= len(tokens), (calls, "lost without a word")
        assert await left(deps) == 0
        if not died:
            assert not dropped
            break
        deaths += 1
    assert deaths >= 4


@pytest.mark.parametrize("moment", ["before it was taken", "after it was taken"])
async def test_death_while_handing_over_drops_the_push_and_says_so(
    deps: Deps, clock: FakeClock, moment: str, caplog: pytest.LogCaptureFixture
) -> None:
    def die(_: Sequence[Push]) -> None:
        raise Death

    user_id, (token,) = await person(deps)
    gateway = FakeGateway(before=die)
    await keep(deps, to(user_id))
    with pytest.raises(Death):
        await send_all(phones_of(deps, gateway))
    survivor = phones_of(deps, gateway)
    gateway.before = lambda _: None
    await send_all(survivor)
    assert await left(deps) == 1, moment
    clock.advance(CLAIM_FOR.total_seconds() + 1)
    await send_all(survivor)
    assert gateway.to(token) == []
    assert counted(deps, "pushes") == {"dropped": 1}
    assert "1 pushes dropped, which were being handed over when an instance died" in caplog.text
    assert await left(deps) == 0


async def test_instance_that_was_too_slow_may_not_hand_over_what_others_have(
    deps: Deps, clock: FakeClock
) -> None:
    user_id, _ = await person(deps)
    await keep(deps, to(user_id))
    slow = await deps.store.notices.claim(TO_ONE, limit=1)
    clock.advance(CLAIM_FOR.total_seconds() + 1)
    quick = await deps.store.notices.claim(TO_ONE, limit=1)
    assert [each.id for each in slow] == [each.id for each in quick]
    assert await deps.store.notices.begin(slow[0].claim, {slow[0].id: 1}) == set()
    assert await deps.store.notices.begin(quick[0].claim, {quick[0].id: 1}) == {quick[0].id}
    await deps.store.notices.finish(slow[0].claim, [slow[0].id])
    await deps.store.notices.postpone(slow[0], [1], wait=timedelta(0))
    assert await left(deps) == 1
    assert await deps.store.notices.claim(TO_ONE, limit=1) == []
