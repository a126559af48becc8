"""Stripe's events: taken in once, whoever dies in between; dealt with until done, or until a person must look."""

import dataclasses
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest

from community.accounts import register
from config.deps import Deps
from payments import inbox, referrals
from payments.errors import PaymentsNotConfigured
from store import turns
from store.database import GATE_SIZE
from store.errors import StoreUnavailable
from store.inbox import TAKEN_FOR
from store.records import TRAINER
from store.store import Store
from tests.support.clock import FakeClock
from tests.support.earnings import WEBHOOK, Earners
from tests.support.groups import PASSWORD
from tests.support.stripe_events import body_of, event, invoice, signature


def paid(deps: Deps, **more: Any) -> dict[str, Any]:
    now = deps.clock.now()
    return event("invoice.paid", invoice("in_1", 5_000, now), now, **more)


class Crash(Exception):
    """Stands for the end of the process."""


def die(_: str) -> None:
    raise Crash


# Taking in


async def test_s38_event_is_taken_in_once_by_its_id(own_deps: Deps) -> None:
    deps, body = own_deps, body_of(paid(own_deps, name="evt_1"))
    for _ in range(3):
        await inbox.receive(deps, body, signature(body, deps.clock.now()))
    assert (await deps.store.inbox.counts()).waiting == 1
    assert await inbox.work_through(deps) == 1
    await inbox.receive(deps, body, signature(body, deps.clock.now()))
    assert await inbox.work_through(deps) == 0


@pytest.mark.parametrize(("seconds", "status"), [(-302, 400), (-298, 200), (298, 200), (302, 400)])
async def test_s38_signature_is_good_for_five_minutes(
    earners: Earners, deps: Deps, seconds: int, status: int
) -> None:
    body = body_of(paid(deps))
    header = signature(body, deps.clock.now() + timedelta(seconds=seconds))
    answer = await earners.groups.api.post(WEBHOOK, raw=body, headers={"Stripe-Signature": header})
    assert answer.status == status
    assert status == 200 or answer.json["code"] == "bad_signature"


@pytest.mark.parametrize(
    "header", ["", "t=1", "v1=abc", "t=x,v1=abc", "t=,v1=", "t=99999999999999,v1=a", "t=٣,v1=a"]
)
async def test_s38_header_that_is_no_signature_is_refused(earners: Earners, deps: Deps, header: str) -> None:
    headers = {"Stripe-Signature": header.encode().decode("latin-1")}
    answer = await earners.groups.api.post(WEBHOOK, raw=body_of(paid(deps)), headers=headers)
    assert (answer.status, answer.json["code"]) == (400, "bad_signature")


async def test_s38_signature_is_of_the_raw_body_by_one_of_our_secrets(earners: Earners, deps: Deps) -> None:
    told, now = paid(deps), deps.clock.now()
    assert (await earners.send(told, secret="whsec_of_somebody")).status == 400
    header = signature(body_of(told), now)
    spaced = body_of(told) + b" "
    changed = await earners.groups.api.post(WEBHOOK, raw=spaced, headers={"Stripe-Signature": header})
    assert changed.status == 400
    both = f"{signature(body_of(told), now, secret='whsec_new')},v1={header.rpartition('v1=')[2]}"
    good = await earners.groups.api.post(WEBHOOK, raw=body_of(told), headers={"Stripe-Signature": both})
    assert (good.status, good.json) == (200, {})


async def test_s38_event_of_the_other_mode_is_refused(earners: Earners, deps: Deps) -> None:
    answer = await earners.send({**paid(deps), "livemode": True})
    assert (answer.status, answer.json["code"]) == (400, "wrong_mode")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"id": "evt_1"}'])
async def test_s38_signed_nonsense_is_refused(earners: Earners, deps: Deps, body: bytes) -> None:
    header = {"Stripe-Signature": signature(body, deps.clock.now())}
    answer = await earners.groups.api.post(WEBHOOK, raw=body, headers=header)
    assert (answer.status, answer.json["code"]) == (400, "bad_event")


async def test_webhook_needs_a_secret(deps: Deps) -> None:
    none = dataclasses.replace(deps, settings=dataclasses.replace(deps.settings, stripe_webhook_secrets=()))
    with pytest.raises(PaymentsNotConfigured):
        await inbox.receive(none, b"{}", "")


async def test_event_that_was_taken_in_survives_the_end_of_the_process(own_deps: Deps) -> None:
    deps, body = own_deps, body_of(paid(own_deps))
    with pytest.raises(Crash):
        await inbox.receive(
            dataclasses.replace(deps, crash_point=die), body, signature(body, deps.clock.now())
        )
    assert await inbox.work_through(deps) == 1


# Working through


async def test_event_that_somebody_took_and_died_with_is_taken_again(
    own_deps: Deps, clock: FakeClock
) -> None:
    body = body_of(paid(own_deps))
    await inbox.receive(own_deps, body, signature(body, clock.now()))
    assert await own_deps.store.inbox.take() is not None
    assert await inbox.work_through(own_deps) == 0
    clock.advance(TAKEN_FOR.total_seconds())
    assert await inbox.work_through(own_deps) == 1


async def test_event_that_fails_ten_times_is_stuck_until_a_person_lets_it_go(
    own_deps: Deps, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    told = paid(own_deps)
    told["data"]["object"]["amount_paid"] = "much"
    good = paid(own_deps)
    for each in (told, good):
        await inbox.receive(own_deps, body_of(each), signature(body_of(each), clock.now()))
    assert await inbox.work_through(own_deps) == 1
    for number in range(2, inbox.MOST_ATTEMPTS + 1):
        assert await inbox.work_through(own_deps) == 0
        clock.advance(2**number)
    assert await inbox.work_through(own_deps) == 0
    assert b"cohort_webhook_events_stuck 1.0" in own_deps.metrics.render()[0]
    (stuck,) = await own_deps.store.inbox.stuck()
    assert stuck[:2] == (told["id"], "invoice.paid")
    assert "cents" in stuck[2]
    assert [each.levelname for each in caplog.records if each.name == "cohort.inbox"][-1] == "ERROR"
    caplog.clear()
    assert await own_deps.store.inbox.retry_stuck() == 1
    assert (await own_deps.store.inbox.counts()).waiting == 1


async def test_stripe_is_told_to_come_again_when_the_database_does_not_take_an_event(
    earners: Earners, deps: Deps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.05)
    body = body_of(paid(deps))
    headers = {"Stripe-Signature": signature(body, deps.clock.now())}
    async with AsyncExitStack() as stack:
        for _ in range(GATE_SIZE):
            await stack.enter_async_context(deps.store.database.gate)
        answer = await earners.groups.api.post(WEBHOOK, raw=body, headers=headers)
    assert (answer.status, answer.json["code"]) == (503, "service_unavailable")
    assert answer.headers["Retry-After"]
    assert (await earners.groups.api.post(WEBHOOK, raw=body, headers=headers)).status == 200


async def test_database_that_is_away_is_no_fault_of_the_event(own_deps: Deps, clock: FakeClock) -> None:
    body = body_of(paid(own_deps))
    await inbox.receive(own_deps, body, signature(body, clock.now()))

    class Away:
        async def merge(self, _: object) -> None:
            raise StoreUnavailable("gone")

    store = Store(own_deps.store.database, clock)
    store.billing = Away()  # type: ignore[assignment]  # as far as it is used
    with pytest.raises(StoreUnavailable):
        await inbox.work_through(dataclasses.replace(own_deps, store=store))
    clock.advance(TAKEN_FOR.total_seconds())
    assert await inbox.work_through(own_deps) == 1


async def test_transfer_that_is_none_of_ours_is_done_with(own_deps: Deps, clock: FakeClock) -> None:
    transfer = {"id": "tr_1", "amount": 5, "currency": "usd", "destination": "acct_1", "transfer_group": None}
    for account in (None, "acct_1"):
        told = event("transfer.created", transfer, clock.now(), account=account)
        await inbox.receive(own_deps, body_of(told), signature(body_of(told), clock.now()))
    assert await inbox.work_through(own_deps) == 2


async def test_account_that_is_nobodys_here_is_done_with(own_deps: Deps, clock: FakeClock) -> None:
    told = event("account.updated", {"id": "acct_strange"}, clock.now(), account="acct_strange")
    await inbox.receive(own_deps, body_of(told), signature(body_of(told), clock.now()))
    assert await inbox.work_through(own_deps) == 1


async def test_inbox_is_kept_empty_until_cancelled(own_deps: Deps, caplog: pytest.LogCaptureFixture) -> None:
    """With the database gone it goes on trying; with it back, all is done."""
    rounds = 0

    class Clock(FakeClock):
        async def sleep(self, seconds: float) -> None:
            nonlocal rounds
            rounds += 1
            assert seconds == inbox.EVERY_SECONDS
            if rounds == 2:
                raise Crash

    class Away:
        async def claimants(self, _: int) -> None:
            raise StoreUnavailable("gone")

    store = Store(own_deps.store.database, own_deps.clock)
    kept, store.referrals = store.referrals, Away()  # type: ignore[assignment]  # as far as it is used
    with pytest.raises(Crash):
        await inbox.keep_inbox_empty(dataclasses.replace(own_deps, store=store, clock=Clock()))
    assert "was not looked at" in caplog.text
    store.referrals, rounds = kept, 1
    with pytest.raises(Crash):
        await inbox.keep_inbox_empty(dataclasses.replace(own_deps, store=store, clock=Clock()))


# Codes that a crash left unjudged


async def test_code_is_judged_later_when_the_process_ends_after_a_registration(
    own_deps: Deps, caplog: pytest.LogCaptureFixture
) -> None:
    ambassador = await own_deps.store.users.add(
        email="a@example.org", password_hash="x", first_name="A", last_name="B", role="AMBASSADOR",
        timezone="UTC", epoch="e1",
    )  # fmt: skip
    await own_deps.store.ambassadors.add(ambassador.id, referral_code="CODE2345", commission_rate="0.20")
    user = await register(
        own_deps, email="t@example.org", password=PASSWORD, first_name="T", last_name="R", role=TRAINER,
        timezone="UTC", origin="here", referral_code="code-2345",
    )  # fmt: skip
    await referrals.judge_waiting_codes(own_deps)
    referral = await own_deps.store.referrals.of_trainer(user.id)
    assert referral is not None
    assert referral.ambassador_id == ambassador.id
    assert await own_deps.store.referrals.claimants(9) == []
    # Somebody who judges it at the same time, or again, changes nothing.
    await referrals.judge_code(own_deps, user, "CODE2345")
    assert await own_deps.store.referrals.of_trainer(user.id) == dataclasses.replace(
        referral, version=referral.version + 1
    )
    other = await own_deps.store.users.add(
        email="b@example.org", password_hash="x", first_name="A", last_name="B", role="AMBASSADOR",
        timezone="UTC", epoch="e1",
    )  # fmt: skip
    await own_deps.store.ambassadors.add(other.id, referral_code="CODE6789", commission_rate="0.20")
    await referrals.judge_code(own_deps, user, "CODE6789")
    assert "the first one wins" in caplog.text
    kept = await own_deps.store.referrals.of_trainer(user.id)
    assert kept is not None
    assert kept.ambassador_id == ambassador.id


async def test_own_code_is_no_referral(own_deps: Deps, caplog: pytest.LogCaptureFixture) -> None:
    ambassador = await own_deps.store.users.add(
        email="Me@example.org", password_hash="x", first_name="A", last_name="B", role="AMBASSADOR",
        timezone="UTC", epoch="e1",
    )  # fmt: skip
    await own_deps.store.ambassadors.add(ambassador.id, referral_code="CODE2345", commission_rate="0.20")
    trainer = dataclasses.replace(ambassador, id=ambassador.id + 1, role=TRAINER, email="me@EXAMPLE.org")
    await referrals.judge_code(own_deps, trainer, "CODE2345")
    assert "their own" in caplog.text
    assert await own_deps.store.referrals.of_trainer(trainer.id) is None


async def test_registration_does_not_fail_with_its_code(own_deps: Deps) -> None:
    class Away:
        async def by_code(self, _: str) -> None:
            raise StoreUnavailable("gone")

    store = Store(own_deps.store.database, own_deps.clock)
    store.ambassadors = Away()  # type: ignore[assignment]  # as far as it is used
    user = await own_deps.store.users.add(
        email="t@example.org", password_hash="x", first_name="A", last_name="B", role=TRAINER,
        timezone="UTC", epoch="e1", referral_code="CODE2345",
    )  # fmt: skip
    await referrals.judge_code(dataclasses.replace(own_deps, store=store), user, "CODE2345")
    assert len(await own_deps.store.referrals.claimants(9)) == 1
