"""An instance that dies between any two lines, or is too slow: no push twice, and none lost without a word.

Death of a whole process is in ``tests.e2e.test_push``.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest

from community.away import NoticeDesk
from config.deps import Deps
from push.gateway import Push
from push.phones import TO_MANY, TO_ONE, Chunk
from store.notices import CLAIM_FOR, PendingNotice
from tests.support.clock import FakeClock
from tests.support.phones import (
    AGAIN,
    FakeGateway,
    counted,
    group,
    keep,
    left,
    person,
    phones_of,
    send_all,
    to,
    to_all,
)

pytestmark = pytest.mark.usefixtures("no_notices")


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
        assert await left(deps.store) == 0
        if not died:
            assert not dropped
            break
        deaths += 1
    assert deaths >= 4


async def test_death_while_handing_over_drops_the_push_and_says_so(
    deps: Deps, clock: FakeClock, caplog: pytest.LogCaptureFixture
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
    assert await left(deps.store) == 1
    clock.advance(CLAIM_FOR.total_seconds() + 1)
    await send_all(survivor)
    assert gateway.to(token) == []
    assert counted(deps, "pushes") == {"dropped": 1}
    assert "1 pushes dropped, which were being handed over when an instance died" in caplog.text
    assert await left(deps.store) == 0


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
    assert await left(deps.store) == 1
    assert await deps.store.notices.claim(TO_ONE, limit=1) == []
