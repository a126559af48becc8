"""Registration, one's own account, passwords and deletion, through the real interface."""

import asyncio
import secrets

import pytest

from config.deps import Deps
from tests.support.client import Api
from tests.support.clock import FakeClock
from tests.support.groups import PASSWORD, Groups
from tests.support.mail import Mailbox

USERS = "/api/auth/users/"
ME = "/api/auth/users/me/"


def registration(**fields: object) -> dict[str, object]:
    return {
        "email": f"{secrets.token_hex(6)}@example.org",
        "password": PASSWORD,
        "first_name": "Ann",
        "last_name": "Archer",
        "role": "TRAINEE",
        **fields,
    }


async def test_register_gives_the_account_when_all_is_well(api: Api) -> None:
    body = registration(role="TRAINER", timezone="Europe/Vienna")
    answer = await api.post(USERS, body)
    assert answer.status == 201
    assert answer.json == {
        "id": answer.json["id"],
        "email": body["email"],
        "first_name": "Ann",
        "last_name": "Archer",
        "role": "TRAINER",
        "parent_trainer": None,
    }


async def test_register_works_without_the_slash_at_the_end(api: Api) -> None:
    assert (await api.post("/api/auth/users", registration())).status == 201


async def test_register_refuses_when_the_address_is_taken_in_other_case(api: Api) -> None:
    body = registration(email=f"Ann.{secrets.token_hex(4)}@Example.org")
    assert (await api.post(USERS, body)).status == 201
    again = await api.post(USERS, {**body, "email": str(body["email"]).upper()})
    assert again.status == 400
    assert again.json == {"email": ["Email already in use."]}


async def test_register_makes_one_account_when_two_ask_at_once(api: Api) -> None:
    body = registration()
    answers = await asyncio.gather(*(api.post(USERS, body) for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [201] + [400] * 7
    assert all(a.json == {"email": ["Email already in use."]} for a in answers if a.status == 400)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"email": "not an address"}, "email"),
        ({"email": None}, "email"),
        ({"email": "a" * 250 + "@example.org"}, "email"),
        ({"password": "short"}, "password"),
        ({"password": "password1234"}, "password"),
        ({"password": "x" * 129}, "password"),
        ({"first_name": "   "}, "first_name"),
        ({"first_name": "x" * 151}, "first_name"),
        ({"last_name": 7}, "last_name"),
        ({"role": "ADMIN"}, "role"),
        ({"role": "AMBASSADOR"}, "role"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": "../../etc/passwd"}, "timezone"),
        ({"invite_code": "NO-SUCH-CODE"}, "invite_code"),
        ({"is_admin": True}, "is_admin"),
        ({"email": {"$ne": None}}, "email"),
    ],
)
async def test_s13_register_names_the_field_when_it_is_wrong(
    api: Api, fields: dict[str, object], field: str
) -> None:
    answer = await api.post(USERS, registration(**fields))
    assert answer.status == 400
    assert list(answer.json) == [field]
    assert answer.json[field][0]


async def test_register_names_every_field_when_nothing_is_sent(api: Api) -> None:
    answer = await api.post(USERS, {})
    assert answer.status == 400
    assert set(answer.json) == {"email", "password", "first_name", "last_name", "role"}
    assert answer.json["email"] == ["This field is required."]


async def test_register_goes_on_when_the_referral_code_is_strange(api: Api, deps: Deps) -> None:
    answer = await api.post(USERS, registration(role="TRAINER", referral_code="  whatever 123 "))
    assert answer.status == 201
    kept = await deps.store.database.raw["users"].find_one({"_id": answer.json["id"]})
    assert kept is not None
    # It was looked at, and leads nowhere.
    assert "referral_code" not in kept


@pytest.mark.parametrize("code", ["x" * 1000, {"a": 1}, 5, "", None])
async def test_register_goes_on_whatever_the_referral_code_is(api: Api, code: object) -> None:
    assert (await api.post(USERS, registration(role="TRAINER", referral_code=code))).status == 201


async def test_register_joins_the_group_when_the_code_is_typed_by_a_person(groups: Groups, api: Api) -> None:
    trainer = await groups.trainer()
    code = (await trainer.post("/api/trainer/invites/", {})).json["code"]
    typed = f" {code[:4].lower()}-{code[4:8]} {code[8:]} "
    answer = await api.post(USERS, registration(invite_code=typed))
    assert answer.status == 201
    assert answer.json["parent_trainer"] == trainer.id


async def test_register_with_a_key_is_answered_again_when_sent_again(api: Api, deps: Deps) -> None:
    body = registration()
    headers = {"Idempotency-Key": secrets.token_hex(8)}
    first = await api.post(USERS, body, headers=headers)
    second = await api.post(USERS, body, headers=headers)
    assert (first.status, second.status) == (201, 201)
    assert first.json == second.json
    assert second.headers["Idempotent-Replayed"] == "true"
    other = await api.post(USERS, {**body, "password": "another steep hill"}, headers=headers)
    assert other.status == 422
    kept = [each async for each in deps.store.database.raw["idempotency"].find({})]
    assert PASSWORD not in str(kept)


async def test_s3_me_shows_the_own_account_when_logged_in(groups: Groups) -> None:
    trainer, trainee = await groups.group(1)
    answer = await trainee.get(ME)
    assert answer.status == 200
    assert answer.json["email"] == trainee.email
    assert answer.json["parent_trainer"] == trainer.id
    assert "password" not in answer.body.decode()
    assert answer.headers["Cache-Control"] == "no-store"


async def test_me_changes_what_is_named_and_nothing_else(groups: Groups) -> None:
    person = await groups.trainee()
    changes = {
        "first_name": " Bea ",
        "timezone": "Asia/Tokyo",
        "auto_post_workouts": False,
        "goal_weight_kg": 71.5,
    }
    answer = await person.patch(ME, changes)
    assert answer.status == 200
    assert (answer.json["first_name"], answer.json["last_name"]) == ("Bea", "Person")
    assert answer.json["goal_weight_kg"] == 71.5
    assert (await person.patch(ME, {"goal_weight_kg": None})).json["goal_weight_kg"] is None
    again = await person.get(ME)
    assert again.json["timezone"] == "Asia/Tokyo"
    assert again.json["auto_post_workouts"] is False
    assert (await person.patch(ME, {})).json == again.json


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"role": "ADMIN"}, "role"),
        ({"email": "new@example.org"}, "email"),
        ({"parent_trainer": 1}, "parent_trainer"),
        ({"auto_post_workouts": "yes"}, "auto_post_workouts"),
        ({"auto_post_workouts": 1}, "auto_post_workouts"),
        ({"goal_weight_kg": 5000}, "goal_weight_kg"),
        ({"goal_weight_kg": "heavy"}, "goal_weight_kg"),
        ({"first_name": ""}, "first_name"),
        ({"timezone": None}, "timezone"),
    ],
)
async def test_s3_me_refuses_a_field_when_it_is_not_to_change(
    groups: Groups, changes: dict[str, object], field: str
) -> None:
    person = await groups.trainee()
    answer = await person.patch(ME, changes)
    assert answer.status == 400
    assert list(answer.json) == [field]


async def test_set_password_ends_other_sessions_when_it_succeeds(
    groups: Groups, mailbox: Mailbox, clock: FakeClock
) -> None:
    person = await groups.trainee()
    elsewhere = await groups.log_in(person.email)
    wrong = await person.post(
        "/api/auth/users/set_password/",
        {"current_password": "not this one", "new_password": "new hills at dusk"},
    )
    assert wrong.status == 400
    assert list(wrong.json) == ["current_password"]
    weak = await person.post(
        "/api/auth/users/set_password/", {"current_password": PASSWORD, "new_password": "password123"}
    )
    assert list(weak.json) == ["new_password"]
    done = await person.post(
        "/api/auth/users/set_password/", {"current_password": PASSWORD, "new_password": "new hills at dusk"}
    )
    assert done.status == 204
    assert (await person.get(ME)).status == 200
    assert (await elsewhere.get(ME)).status == 401
    assert (await groups.api.post("/api/auth/jwt/refresh/", {"refresh": elsewhere.refresh})).status == 401
    old = await groups.api.post("/api/auth/jwt/create/", {"email": person.email, "password": PASSWORD})
    assert old.status == 401
    await groups.log_in(person.email, "new hills at dusk")
    letter = await mailbox.letter_to(person.email, subject="changed")
    assert "http" not in letter.text


async def test_reset_sets_a_new_password_once_when_the_link_is_good(groups: Groups, mailbox: Mailbox) -> None:
    person = await groups.trainee()
    asked = await groups.api.post("/api/auth/users/reset_password/", {"email": person.email.upper()})
    assert asked.status == 204
    letter = await mailbox.letter_to(person.email, subject="Reset")
    assert "/password/reset/confirm?uid=" in letter.text
    assert "<a href=" in letter.html
    uid, token = mailbox.link(letter)
    confirm = "/api/auth/users/reset_password_confirm/"
    weak = await groups.api.post(confirm, {"uid": uid, "token": token, "new_password": "short"})
    assert list(weak.json) == ["new_password"]
    body = {"uid": uid, "token": token, "new_password": "new hills at dusk"}
    answers = await asyncio.gather(*(groups.api.post(confirm, body) for _ in range(5)))
    assert sorted(answer.status for answer in answers) == [204] + [400] * 4
    assert (await person.get(ME)).status == 401
    await groups.log_in(person.email, "new hills at dusk")


async def test_reset_answers_the_same_when_nobody_has_the_address(api: Api, mailbox: Mailbox) -> None:
    answer = await api.post("/api/auth/users/reset_password/", {"email": "nobody@example.org"})
    assert (answer.status, answer.body) == (204, b"")
    assert mailbox.letters == []


async def test_reset_is_refused_when_the_link_is_old_or_anothers(
    groups: Groups, mailbox: Mailbox, clock: FakeClock
) -> None:
    person, other = await groups.trainee(), await groups.trainee()
    await groups.api.post("/api/auth/users/reset_password/", {"email": person.email})
    uid, token = mailbox.link(await mailbox.letter_to(person.email, subject="Reset"))
    confirm = "/api/auth/users/reset_password_confirm/"
    for said in (
        {"uid": str(other.id)},
        {"uid": "x"},
        {"uid": "٣"},
        {"token": "guess"},
        {"token": person.refresh[:256]},
    ):
        body = {"uid": uid, "token": token, "new_password": "new hills at dusk", **said}
        assert (await groups.api.post(confirm, body)).status == 400
    clock.advance(3601)
    late = await groups.api.post(confirm, {"uid": uid, "token": token, "new_password": "new hills at dusk"})
    assert late.json == {"token": ["This link is invalid or expired."]}


async def test_s11_a_newer_password_ends_older_links(groups: Groups, mailbox: Mailbox) -> None:
    person = await groups.trainee()
    await groups.api.post("/api/auth/users/reset_password/", {"email": person.email})
    uid, token = mailbox.link(await mailbox.letter_to(person.email, subject="Reset"))
    await person.post(
        "/api/auth/users/set_password/", {"current_password": PASSWORD, "new_password": "new hills at dusk"}
    )
    body = {"uid": uid, "token": token, "new_password": "third hills at noon"}
    assert (await groups.api.post("/api/auth/users/reset_password_confirm/", body)).status == 400


async def test_delete_erases_the_person_and_keeps_what_they_wrote(groups: Groups, deps: Deps) -> None:
    _trainer, leaving, staying = await groups.group(2)
    post = await leaving.write("I was here.")
    await leaving.comment(post["id"], "So was this.")
    wrong = await leaving.delete(ME, {"current_password": "not this one"})
    assert wrong.status == 400
    assert (await leaving.delete(ME, {"current_password": PASSWORD})).status == 204
    assert (await leaving.get(ME)).status == 401
    log_in = await groups.api.post("/api/auth/jwt/create/", {"email": leaving.email, "password": PASSWORD})
    assert log_in.status == 401
    seen = (await staying.feed())[0]
    assert seen["author"] == {
        "id": leaving.id,
        "first_name": "Deleted",
        "last_name": "user",
        "profile_image": None,
    }
    assert seen["content"] == "I was here."
    comments = await staying.get(f"/api/community/feed/{post['id']}/comments/")
    assert comments.json["results"][0]["author"]["first_name"] == "Deleted"
    everything = [
        str(document)
        for name in await deps.store.database.raw.list_collection_names()
        async for document in deps.store.database.raw[name].find({})
    ]
    assert not [text for text in everything if leaving.email in text]
    again = await groups.api.post(USERS, registration(email=leaving.email))
    assert again.status == 201


async def test_delete_dissolves_the_group_when_the_trainer_leaves(groups: Groups) -> None:
    trainer, trainee = await groups.group(1)
    code = (await trainer.post("/api/trainer/invites/", {})).json["code"]
    await trainer.write("Last words.")
    assert (await trainer.delete(ME, {"current_password": PASSWORD})).status == 204
    assert (await trainee.get(ME)).json["parent_trainer"] is None
    assert await trainee.feed() == []
    assert (await groups.api.post(USERS, registration(invite_code=code))).status == 400
