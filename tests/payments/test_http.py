"""Payouts and accounts at Stripe through HTTP: the contract's words, roles, and who may ask again."""

import asyncio
import dataclasses
import secrets

import pytest

from community.accounts import new_epoch
from config.deps import Deps
from payments import connect_state
from payments.gateway_door import GatewayDoor
from tests.support import stripe_double as faults
from tests.support.ambassadors import Payees
from tests.support.clock import FakeClock
from tests.support.groups import PASSWORD, Groups, Person
from tests.support.mail import Mailbox
from tests.support.stripe_double import StripeDouble

CONNECT = "/api/ambassador/connect/"
OWN = "/api/ambassador/payouts/"


@dataclasses.dataclass
class Office:
    """An admin, and an ambassador who is logged in and can be paid."""

    groups: Groups
    deps: Deps
    payees: Payees

    async def admin(self) -> Person:
        email = f"{secrets.token_hex(6)}@example.org"
        user = await self.deps.store.users.add(
            email=email, password_hash=await self.deps.hashing.hash(PASSWORD), first_name="Ad", last_name="Min",
            role="ADMIN", timezone="UTC", epoch=new_epoch(),
        )  # fmt: skip
        return await self.groups.log_in(email, user_id=user.id, role="ADMIN")

    async def ambassador(self, *cents: int, ready: bool = True) -> Person:
        password_hash = await self.deps.hashing.hash(PASSWORD)
        user = (
            await self.payees.ready(*cents, password_hash=password_hash)
            if ready
            else await self.payees.person(password_hash=password_hash)
        )
        return await self.groups.log_in(user.email, user_id=user.id, role="AMBASSADOR")


@pytest.fixture
def office(groups: Groups, deps: Deps, payees: Payees) -> Office:
    return Office(groups, deps, payees)


def path_of(person: Person) -> str:
    return f"/api/admin/ambassadors/{person.id}/payout/"


async def test_admin_pays_and_both_see_it(office: Office, mailbox: Mailbox) -> None:
    admin, ambassador = await office.admin(), await office.ambassador(12_900, 50)
    answer = await admin.post(path_of(ambassador))
    assert answer.status == 200
    assert (answer.json["total_amount"], answer.json["commissions_paid"]) == ("129.50", 2)
    own = (await ambassador.get(OWN)).json["results"]
    assert own == (await admin.get(f"/api/admin/ambassadors/{ambassador.id}/payouts/")).json["results"]
    (payout,) = own
    assert payout["id"] == answer.json["payout_record_id"]
    assert (payout["amount"], payout["status"], payout["commissions_count"]) == ("129.50", "completed", 2)
    assert payout["stripe_transfer_id"] == answer.json["stripe_transfer_id"]
    again = await admin.post(path_of(ambassador), {"expected_total": None})
    assert (again.status, again.json["detail"]) == (400, "No approved commissions to pay out.")
    letter = await mailbox.letter_to(admin.email, subject="129.50")
    assert ambassador.email in letter.text


async def test_payouts_are_listed_by_pages(office: Office) -> None:
    admin, ambassador = await office.admin(), await office.ambassador()
    paid = []
    for _ in range(3):
        await office.payees.earn(ambassador.id, 100)
        paid.append((await admin.post(path_of(ambassador))).json["payout_record_id"])
    first = (await ambassador.get(OWN + "?page_size=2")).json
    assert [each["id"] for each in first["results"]] == [paid[2], paid[1]]
    assert [each["id"] for each in (await ambassador.get(first["next"])).json["results"]] == [paid[0]]
    other = await office.ambassador()
    assert (await other.get(OWN)).json["results"] == []


async def test_two_admins_at_the_same_moment_make_one_transfer(office: Office, stripe: StripeDouble) -> None:
    admins, ambassador = [await office.admin() for _ in range(4)], await office.ambassador(1_000)
    answers = await asyncio.gather(*(each.post(path_of(ambassador)) for each in admins))
    assert sorted(each.status for each in answers) == [200, 400, 400, 400]
    assert {each.json["detail"] for each in answers if each.status == 400} == {
        "No approved commissions to pay out."
    }
    assert len(stripe.transfers) == 1


async def test_restricted_account_is_refused_in_the_contracts_words(office: Office) -> None:
    admin, ambassador = await office.admin(), await office.ambassador(ready=False)
    await office.payees.earn(ambassador.id, 100)
    answer = await admin.post(path_of(ambassador))
    assert answer.status == 400
    assert answer.json["detail"] == (
        "Ambassador's Stripe account cannot receive payouts. Complete account verification first."
    )


async def test_refusal_of_stripe_is_told_in_its_words(office: Office, stripe: StripeDouble) -> None:
    admin, ambassador = await office.admin(), await office.ambassador(1_000)
    stripe.faults.append(faults.DECLINED)
    answer = await admin.post(path_of(ambassador), headers={"Idempotency-Key": "k-1"})
    assert (answer.status, answer.json) == (502, {"detail": "No.", "code": "payment_refused"})
    (payout,) = (await ambassador.get(OWN)).json["results"]
    assert (payout["status"], payout["error_message"]) == ("failed", "No.")
    # The next try is a new payout, with the same Idempotency-Key, too.
    assert (await admin.post(path_of(ambassador), headers={"Idempotency-Key": "k-1"})).status == 200


async def test_unknown_outcome_is_pending_until_it_is_known(office: Office, stripe: StripeDouble) -> None:
    admin, ambassador = await office.admin(), await office.ambassador(1_000)
    stripe.faults.append(faults.SILENCE_AFTER)
    key = {"Idempotency-Key": "k-2"}
    first = await admin.post(path_of(ambassador), headers=key)
    assert (first.status, first.json["status"]) == (202, "pending")
    assert (await ambassador.get(OWN)).json["results"][0]["status"] == "pending"
    second = await admin.post(path_of(ambassador), headers=key)
    assert (second.status, second.json["payout_record_id"]) == (200, first.json["payout_record_id"])
    third = await admin.post(path_of(ambassador), headers=key)
    assert third.headers["Idempotent-Replayed"] == "true"
    assert third.json == second.json
    assert len(stripe.transfers) == 1


async def test_total_that_changed_is_a_conflict_with_the_new_one(office: Office) -> None:
    admin, ambassador = await office.admin(), await office.ambassador(1_000)
    answer = await admin.post(path_of(ambassador), {"expected_total": "9.99"})
    assert (answer.status, answer.json["code"], answer.json["total_amount"]) == (
        409,
        "total_changed",
        "10.00",
    )
    assert (await admin.post(path_of(ambassador), {"expected_total": "10.00"})).status == 200


@pytest.mark.parametrize("total", ["10", 10, 10.0, "-1.00", "ten", "1e3", ""])
async def test_total_is_refused_when_it_is_no_amount(office: Office, total: object) -> None:
    admin, ambassador = await office.admin(), await office.ambassador(1_000)
    answer = await admin.post(path_of(ambassador), {"expected_total": total})
    assert answer.status == 400
    assert list(answer.json) == ["expected_total"]


async def test_nobody_is_paid_who_is_no_ambassador(office: Office) -> None:
    admin, trainer = await office.admin(), await office.groups.trainer()
    for path in (path_of(trainer), "/api/admin/ambassadors/7/payout/"):
        answer = await admin.post(path)
        assert (answer.status, answer.json["detail"]) == (404, "Ambassador not found.")
    assert (await admin.get(f"/api/admin/ambassadors/{trainer.id}/payouts/")).status == 404


async def test_s39_payout_wants_a_recent_log_in(office: Office, clock: FakeClock) -> None:
    admin, ambassador = await office.admin(), await office.ambassador(1_000)
    clock.advance(14 * 60)
    fresh = (await office.groups.api.post("/api/auth/jwt/refresh/", {"refresh": admin.refresh})).json
    clock.advance(61)
    renewed = dataclasses.replace(admin, token=fresh["access"])
    answer = await renewed.post(path_of(ambassador))
    assert (answer.status, answer.json["code"]) == (403, "reauthentication_required")
    (line,) = await office.deps.store.audit.about(f"ambassador:{ambassador.id}")
    assert (line.user_id, line.origin, line.action) == (admin.id, "127.0.0.1", "payout.refused")
    again = await office.groups.log_in(admin.email)
    assert (await again.post(path_of(ambassador))).status == 200


async def test_s37_payout_leaves_a_trail(office: Office) -> None:
    admin, ambassador = await office.admin(), await office.ambassador(1_000)
    payout_id = (await admin.post(path_of(ambassador))).json["payout_record_id"]
    trail = await office.deps.store.audit.about(f"payout:{payout_id}")
    assert [(each.action, each.user_id, each.origin) for each in trail] == [
        ("payout.claimed", admin.id, "127.0.0.1"),
        ("payout.completed", admin.id, "127.0.0.1"),
    ]


async def test_account_is_onboarded_by_way_of_a_browser(office: Office, stripe: StripeDouble) -> None:
    ambassador = await office.ambassador(ready=False)
    status = (await ambassador.get(f"{CONNECT}status/")).json
    assert status == {**dict.fromkeys(status), "has_account": False}
    assert (await ambassador.get(f"{CONNECT}return/")).status == 404
    begun = (await ambassador.post(f"{CONNECT}onboard/")).json
    link = stripe.book.all("account_link")[-1]
    stripe.verify(begun["stripe_account_id"])
    page = await office.groups.api.get(link["return_url"])
    assert page.status == 200
    assert "go back to the app" in page.body.decode()
    status = (await ambassador.get(f"{CONNECT}status/")).json
    assert (status["payouts_enabled"], status["onboarding_completed"]) == (True, True)
    again = await office.groups.api.get(link["refresh_url"])
    assert again.status == 302
    assert again.headers["Location"].startswith("https://connect.stripe.example/setup/")
    assert len(stripe.book.all("account")) == 1
    assert (await ambassador.get(f"{CONNECT}return/")).json == status


async def test_browser_is_told_when_its_address_is_old_or_forged(
    office: Office, clock: FakeClock, stripe: StripeDouble
) -> None:
    ambassador = await office.ambassador()
    state = connect_state.sign(office.deps, ambassador.id)
    clock.advance(3601)
    asked = len(stripe.requests)
    for name, said in (("return", "go back to the app"), ("refresh", "too old")):
        page = await office.groups.api.get(f"{CONNECT}{name}/?state={state}")
        assert page.status == 200
        assert said in page.body.decode()
        assert (await office.groups.api.get(f"{CONNECT}{name}/?state=7.7.{'0' * 64}")).status == 401
        assert (await office.groups.api.get(f"{CONNECT}{name}/")).status == 401
    assert len(stripe.requests) == asked


async def test_payment_calls_are_503_without_a_key(groups: Groups, office: Office, deps: Deps) -> None:
    admin, ambassador = await office.admin(), await office.ambassador(1_000)
    shut = GatewayDoor(dataclasses.replace(deps.settings, stripe_secret_key=None))
    object.__setattr__(deps, "gateway", shut)
    for answer in (
        await admin.post(path_of(ambassador)),
        await ambassador.post(f"{CONNECT}onboard/"),
        await ambassador.get(f"{CONNECT}return/"),
    ):
        assert (answer.status, answer.json["code"]) == (503, "payments_not_configured")
    assert (await ambassador.get(f"{CONNECT}status/")).status == 200


async def test_silent_stripe_is_503_and_changes_nothing(office: Office, stripe: StripeDouble) -> None:
    ambassador = await office.ambassador(ready=False)
    stripe.faults.append(faults.RESET_BEFORE)
    answer = await ambassador.post(f"{CONNECT}onboard/")
    assert (answer.status, answer.json["code"]) == (503, "payments_unavailable")
    stripe.chooser = lambda _, path: faults.ERROR_BEFORE if path.endswith("_links") else None
    assert (await ambassador.post(f"{CONNECT}onboard/")).status == 503
    stripe.chooser = lambda _, path: faults.DECLINED if path.endswith("_links") else None
    assert (await ambassador.post(f"{CONNECT}onboard/")).status == 502
