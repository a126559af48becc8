"""Ambassadors and what they earn, through HTTP and Stripe's webhook: the contract's words, roles and figures."""

import logging
from typing import Any

import pytest

from community.actor import Actor
from community.invites import ALPHABET
from config.deps import Deps
from payments.ambassadors import TRIES, create_ambassador, subject_of
from store.ambassadors import Ambassadors
from store.database import Session
from store.errors import Duplicate
from store.money_records import Ambassador
from store.records import User
from tests.support.clock import FakeClock
from tests.support.earnings import AMBASSADORS, Earners
from tests.support.groups import Person
from tests.support.stripe_events import charge, event, invoice, subscription

DASHBOARD = "/api/ambassador/dashboard/"
REFERRALS = "/api/ambassador/referrals/"
STATEMENT = "/api/ambassador/statement/"


async def detail(admin: Person, ambassador: Person) -> dict[str, Any]:
    answer = await admin.get(f"{AMBASSADORS}{ambassador.id}/")
    assert answer.status == 200
    found: dict[str, Any] = answer.json
    return found


async def put(admin: Person, ambassador: Person, body: object) -> Any:
    return await admin.api.put(f"{AMBASSADORS}{ambassador.id}/", body, token=admin.token)


# Ambassadors


async def test_ambassador_is_made_and_sets_a_password_by_mail(earners: Earners, deps: Deps) -> None:
    admin = await earners.admin()
    ambassador, code = await earners.ambassador(admin, commission_rate="0.25")
    assert len(code) == 8
    assert set(code) <= set(ALPHABET)
    found = await detail(admin, ambassador)
    assert (found["commission_rate"], found["is_active"], found["payable_amount"]) == ("0.25", True, "0.00")
    assert found["stripe"]["has_account"] is False
    answer = await ambassador.get("/api/ambassador/referral-code/")
    assert answer.json["referral_code"] == code
    assert code in answer.json["share_message"]
    (line,) = await deps.store.audit.about(subject_of(ambassador.id))
    assert (line.action, line.user_id) == ("ambassador.created", admin.id)


async def test_taken_address_is_refused_in_the_contracts_words(earners: Earners) -> None:
    admin = await earners.admin()
    body = {"email": admin.email.upper(), "first_name": "A", "last_name": "B"}
    answer = await admin.post(AMBASSADORS, body)
    assert (answer.status, answer.json) == (400, {"email": ["Email already in use."]})


@pytest.mark.parametrize("rate", ["1.01", "-0.1", "0.12345", "x", 0.2, ""])
async def test_rate_that_is_none_is_refused(earners: Earners, rate: object) -> None:
    admin = await earners.admin()
    body = {"email": "x@example.org", "first_name": "A", "last_name": "B", "commission_rate": rate}
    answer = await admin.post(AMBASSADORS, body)
    assert answer.status == 400
    assert set(answer.json) == {"commission_rate"}


async def test_same_request_again_makes_one_ambassador(earners: Earners) -> None:
    admin = await earners.admin()
    body = {"email": f"{admin.id}@example.org", "first_name": "A", "last_name": "B"}
    key = {"Idempotency-Key": f"make {admin.id}"}
    first = await admin.post(AMBASSADORS, body, headers=key)
    again = await admin.post(AMBASSADORS, body, headers=key)
    assert (first.status, again.status) == (201, 201)
    assert first.json == again.json


async def test_s37_changes_of_terms_leave_a_line_with_who_and_where(earners: Earners, deps: Deps) -> None:
    admin = await earners.admin()
    ambassador, _ = await earners.ambassador(admin)
    assert (await put(admin, ambassador, {"commission_rate": "0.3"})).json["commission_rate"] == "0.30"
    assert (await put(admin, ambassador, {})).status == 200
    assert (await admin.delete(f"{AMBASSADORS}{ambassador.id}/")).status == 204
    assert (await admin.delete(f"{AMBASSADORS}{ambassador.id}/")).status == 204
    lines = (await deps.store.audit.about(subject_of(ambassador.id)))[1:]
    assert [each.details["commission_rate"] for each in lines] == [["0.20", "0.30"], ["0.30", "0.30"]]
    assert [each.details["is_active"] for each in lines] == [[True, True], [True, False]]
    assert {(each.action, each.user_id, each.origin) for each in lines} == {
        ("ambassador.changed", admin.id, "127.0.0.1")
    }
    assert (await ambassador.get(DASHBOARD)).json["is_active"] is False


class Busy(Ambassadors):
    """Somebody else is faster, so many times."""

    def __init__(self, deps: Deps, times: int) -> None:
        super().__init__(deps.store.database, deps.clock)
        self._times = times

    async def get(self, user_id: int, *, session: Session | None = None) -> Ambassador | None:
        found = await super().get(user_id, session=session)
        if found is not None and self._times:
            self._times -= 1
            rate = f"0.{10 + self._times}"
            assert await self.set_terms(found, commission_rate=rate, is_active=True) is not None
        return found

    async def add(self, user_id: int, **profile: Any) -> Ambassador:
        if self._times:
            self._times -= 1
            raise Duplicate("referral_code")
        return await super().add(user_id, **profile)


@pytest.mark.parametrize(("times", "status"), [(2, 200), (99, 409)])
async def test_change_meanwhile_is_seen_and_not_lost(
    earners: Earners, deps: Deps, times: int, status: int
) -> None:
    admin = await earners.admin()
    ambassador, _ = await earners.ambassador(admin)
    deps.store.ambassadors = Busy(deps, times)
    answer = await put(admin, ambassador, {"is_active": False})
    assert answer.status == status
    deps.store.ambassadors = Ambassadors(deps.store.database, deps.clock)
    found = await deps.store.ambassadors.get(ambassador.id)
    assert found is not None
    assert (found.is_active, found.version) == (status == 409, 1 + min(times + 1, TRIES))


async def test_code_that_somebody_has_is_drawn_again(earners: Earners, deps: Deps) -> None:
    admin = await earners.admin()
    deps.store.ambassadors = Busy(deps, 2)
    body = {"email": f"code{admin.id}@example.org", "first_name": "A", "last_name": "B"}
    assert (await admin.post(AMBASSADORS, body)).status == 201


async def test_try_that_lost_its_answer_finds_the_ambassador_it_made(earners: Earners, deps: Deps) -> None:
    admin = await earners.admin()
    actor = Actor(user=await user_of(deps, admin.id), session_id="", expires_at=0)
    made = [
        await create_ambassador(
            deps, actor, email=f"again{admin.id}@example.org", first_name="A", last_name="B",
            commission_rate=None, origin="here", public_url="https://x.example", reserved_id=admin.id + 1,
        )
        for _ in range(2)
    ]  # fmt: skip
    assert made[0] == made[1]


async def user_of(deps: Deps, user_id: int) -> User:
    found = await deps.store.users.get(user_id)
    assert found is not None
    return found


async def test_ambassador_without_a_profile_is_not_found(earners: Earners, deps: Deps) -> None:
    admin = await earners.admin()
    user = await deps.store.users.add(
        email=f"bare{admin.id}@example.org", password_hash="x", first_name="A", last_name="B",
        role="AMBASSADOR", timezone="UTC", epoch="e1",
    )  # fmt: skip
    assert (await admin.get(f"{AMBASSADORS}{user.id}/")).status == 404
    assert (await admin.delete(f"{AMBASSADORS}{user.id}/")).status == 404
    assert (await admin.get(f"{AMBASSADORS}?search=bare{admin.id}")).json["results"] == []


async def test_ambassadors_are_searched_and_filtered_by_pages(earners: Earners) -> None:
    admin = await earners.admin()
    word = f"Zeb{admin.id}"
    people = [(await earners.ambassador(admin, last_name=word))[0] for _ in range(3)]
    await put(admin, people[0], {"is_active": False})
    first = (await admin.get(f"{AMBASSADORS}?search=ama+{word.upper()}&page_size=2")).json
    assert [each["id"] for each in first["results"]] == [people[2].id, people[1].id]
    assert [each["id"] for each in (await admin.get(first["next"])).json["results"]] == [people[0].id]
    inactive = (await admin.get(f"{AMBASSADORS}?search={word}&is_active=false")).json["results"]
    assert [each["id"] for each in inactive] == [people[0].id]
    by_address = (await admin.get(f"{AMBASSADORS}?search={people[1].email}")).json["results"]
    assert [each["email"] for each in by_address] == [people[1].email]
    assert (await admin.get(f"{AMBASSADORS}?search=.*")).json["results"] == []
    for wrong in ("is_active=maybe", f"search={'x' * 201}"):
        assert (await admin.get(f"{AMBASSADORS}?{wrong}")).status == 400


async def test_unknown_ambassador_is_not_found(earners: Earners) -> None:
    admin = await earners.admin()
    for method in ("GET", "PUT", "DELETE"):
        body = {} if method == "PUT" else None
        answer = await admin.api.send(method, f"{AMBASSADORS}{admin.id}/", body, token=admin.token)
        assert (answer.status, answer.json["detail"]) == (404, "Ambassador not found.")


# Referrals


async def test_trainer_who_registers_with_a_code_is_a_pending_referral(earners: Earners) -> None:
    ambassador, code = await earners.ambassador(await earners.admin())
    typed = f" {code[:4].lower()} {code[4:]} "
    trainer = await earners.groups.trainer(referral_code=typed)
    (referral,) = (await ambassador.get(REFERRALS)).json["results"]
    assert referral["trainer"]["email"] == trainer.email
    assert (referral["status"], referral["commission_earned"]) == ("PENDING", "0.00")
    assert (await ambassador.get(f"{REFERRALS}?status=ACTIVE")).json["results"] == []
    assert (await ambassador.get(f"{REFERRALS}?status=OTHER")).status == 400


async def test_code_that_leads_nowhere_never_stops_a_registration(
    earners: Earners, deps: Deps, caplog: pytest.LogCaptureFixture
) -> None:
    admin = await earners.admin()
    ambassador, code = await earners.ambassador(admin)
    await put(admin, ambassador, {"is_active": False})
    for wrong in (code, "NOBODYS1", "x" * 500, 7):
        with caplog.at_level(logging.WARNING, "cohort.referrals"):
            caplog.clear()
            trainer = await earners.groups.trainer(referral_code=wrong)
        assert await deps.store.referrals.of_trainer(trainer.id) is None
        assert len(caplog.records) == (0 if wrong == 7 else 1)
    trainee = await earners.groups.trainee(referral_code=code)
    assert await deps.store.referrals.of_trainer(trainee.id) is None


# Commissions


async def test_paid_invoice_earns_a_commission(earners: Earners) -> None:
    admin = await earners.admin()
    ambassador, code = await earners.ambassador(admin)
    trainer = await earners.groups.trainer(referral_code=code)
    name = await earners.pay(trainer)
    found = await detail(admin, ambassador)
    assert (found["payable_amount"], found["payable_commissions_count"]) == ("25.80", 1)
    (commission,) = found["commissions"]
    assert commission["status"] == "APPROVED"
    assert (commission["base_amount"], commission["commission_amount"]) == ("129.00", "25.80")
    assert [each["invoice"] for each in commission["lines"]] == [name]
    (referral,) = found["referrals"]
    assert (referral["status"], referral["commission_earned"], referral["flags"]) == ("ACTIVE", "25.80", [])
    figures = (await ambassador.get(DASHBOARD)).json
    assert (figures["total_referrals"], figures["active_referrals"]) == (1, 1)
    assert (figures["total_earnings"], figures["pending_earnings"]) == ("25.80", "25.80")
    assert len(figures["monthly_earnings"]) == 6
    assert figures["monthly_earnings"][-1]["amount"] == "25.80"
    assert [each["status"] for each in figures["recent_referrals"]] == ["ACTIVE"]
    assert figures["stale_since"] is None


async def test_second_invoice_of_a_month_is_a_line_of_its_commission(earners: Earners) -> None:
    admin = await earners.admin()
    ambassador, code = await earners.ambassador(admin)
    trainer = await earners.groups.trainer(referral_code=code)
    await earners.pay(trainer)
    await earners.pay(trainer, 1_000)
    (commission,) = (await detail(admin, ambassador))["commissions"]
    assert commission["commission_amount"] == "27.80"
    assert [each["kind"] for each in commission["lines"]] == ["commission", "adjustment"]


async def test_refunded_commission_is_shown_as_reversed(earners: Earners, deps: Deps) -> None:
    admin = await earners.admin()
    ambassador, code = await earners.ambassador(admin)
    trainer = await earners.groups.trainer(referral_code=code)
    name = await earners.pay(trainer)
    now = deps.clock.now()
    for cents in (2_500, 12_900):
        await earners.tell(event("charge.refunded", charge(name, cents), now))
    found = await detail(admin, ambassador)
    assert [each["status"] for each in found["commissions"]] == ["REVERSED"]
    assert (found["payable_amount"], found["payable_commissions_count"]) == ("0.00", 0)
    assert await deps.store.ledger.balance(f"payable:{ambassador.id}") == 0


async def test_invoice_waits_until_its_trainer_is_known(earners: Earners, deps: Deps) -> None:
    admin = await earners.admin()
    ambassador, code = await earners.ambassador(admin)
    trainer = await earners.groups.trainer(referral_code=code)
    now, sub = deps.clock.now(), f"sub_{trainer.id}"
    paid = invoice(f"in_{trainer.id}", 5_000, now, subscription=sub, customer=f"cus_{trainer.id}")
    await earners.tell(event("invoice.paid", paid, now))
    assert (await detail(admin, ambassador))["commissions"] == []
    known = subscription(sub, customer=f"cus_{trainer.id}", user_id=trainer.id)
    await earners.tell(event("customer.subscription.created", known, now))
    found = await detail(admin, ambassador)
    assert found["payable_amount"] == "10.00"
    assert found["referrals"][0]["subscription_tier"] == "pro"


async def test_shared_card_is_flagged_for_the_admin_and_not_refused(earners: Earners, deps: Deps) -> None:
    admin = await earners.admin()
    ambassador, code = await earners.ambassador(admin)
    trainer = await earners.groups.trainer(referral_code=code)
    now, account_id = deps.clock.now(), f"acct_{ambassador.id}"
    row = await deps.store.connect_accounts.open(ambassador.id, email=ambassador.email)
    await deps.store.connect_accounts.set_account(row, account_id)
    name = await earners.pay(trainer)
    await earners.tell(event("charge.succeeded", charge(name, card="fp_1"), now))
    account = {
        "id": account_id,
        "payouts_enabled": True,
        "details_submitted": True,
        "external_accounts": {"data": [{"fingerprint": "fp_1"}]},
    }
    await earners.tell(event("account.updated", account, now, account=account_id))
    found = await detail(admin, ambassador)
    assert found["referrals"][0]["flags"] == ["card"]
    assert found["payable_amount"] == "25.80"
    assert found["stripe"]["payouts_enabled"] is True


async def test_erased_trainer_is_shown_without_a_name(earners: Earners, clock: FakeClock) -> None:
    ambassador, code = await earners.ambassador(await earners.admin())
    trainer = await earners.groups.trainer(referral_code=code)
    await trainer.delete("/api/auth/users/me/", {"current_password": "steep hills at dawn"})
    (referral,) = (await ambassador.get(REFERRALS)).json["results"]
    assert (referral["trainer"]["first_name"], referral["trainer"]["email"]) == ("Deleted", None)
