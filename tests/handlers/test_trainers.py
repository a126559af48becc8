"""Invite codes and trainees."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.clock import FakeClock
from tests.support.groups import PASSWORD, Groups
from tests.support.mail import Mailbox

INVITES = "/api/trainer/invites/"
TRAINEES = "/api/trainer/trainees/"


async def test_s41_invite_has_65_bits_and_no_look_alikes(groups: Groups) -> None:
    trainer = await groups.trainer()
    answer = await trainer.post(INVITES, {})
    assert answer.status == 201
    assert answer.json["is_active"] is True
    assert (answer.json["max_uses"], answer.json["expires_at"], answer.json["uses"]) == (None, None, 0)
    assert len(answer.json["code"]) == 13
    assert not set(answer.json["code"]) & set("0O1I")


async def test_invites_are_listed_and_revoked_by_their_trainer_only(groups: Groups) -> None:
    trainer, other = await groups.trainer(), await groups.trainer()
    first = (await trainer.post(INVITES, {})).json
    second = (await trainer.post(INVITES, {"max_uses": 3})).json
    assert [each["id"] for each in (await trainer.get(INVITES)).json["results"]] == [
        second["id"],
        first["id"],
    ]
    assert (await other.get(INVITES)).json["results"] == []
    assert (await other.delete(f"{INVITES}{first['id']}/")).status == 404
    assert (await trainer.delete(f"{INVITES}{first['id']}/")).status == 204
    assert (await trainer.delete(f"{INVITES}{first['id']}/")).status == 204
    listed = (await trainer.get(INVITES)).json["results"]
    assert [each["is_active"] for each in listed] == [True, False]
    refused = await join(groups, first["code"])
    assert refused.json == {"invite_code": ["Invalid or expired invite code."]}


async def join(groups: Groups, code: str):
    body = {
        "email": f"{datetime.now(UTC).timestamp()}-{id(object())}@example.org",
        "password": PASSWORD,
        "first_name": "A",
        "last_name": "B",
        "role": "TRAINEE",
        "invite_code": code,
    }
    return await groups.api.post("/api/auth/users/", body)


async def test_s41_invite_lets_in_as_many_as_it_says_when_all_come_at_once(groups: Groups) -> None:
    trainer = await groups.trainer()
    code = (await trainer.post(INVITES, {"max_uses": 3})).json["code"]
    answers = await asyncio.gather(*(join(groups, code) for _ in range(9)))
    assert sorted(answer.status for answer in answers) == [201] * 3 + [400] * 6
    listed = (await trainer.get(INVITES)).json["results"][0]
    assert (listed["uses"], listed["is_active"]) == (3, False)
    assert len((await trainer.get(TRAINEES)).json["results"]) == 3


async def test_invite_ends_when_its_time_is_over(groups: Groups, clock: FakeClock) -> None:
    trainer = await groups.trainer()
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    invite = (await trainer.post(INVITES, {"expires_at": until})).json
    assert (await join(groups, invite["code"])).status == 201
    clock.advance(3660)
    assert (await join(groups, invite["code"])).status == 400


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"max_uses": 0}, "max_uses"),
        ({"max_uses": 1.5}, "max_uses"),
        ({"max_uses": "many"}, "max_uses"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-23:59"}, "expires_at"),
        ({"expires_at": 5}, "expires_at"),
        ({"email": "nobody"}, "email"),
        ({"code": "MINE"}, "code"),
    ],
)
async def test_invite_is_refused_when_a_field_is_wrong(groups: Groups, body: object, field: str) -> None:
    trainer = await groups.trainer()
    answer = await trainer.post(INVITES, body)
    assert answer.status == 400
    assert list(answer.json) == [field]


async def test_invite_is_mailed_when_an_address_is_given(groups: Groups, mailbox: Mailbox) -> None:
    trainer = await groups.trainer(first_name="Toni", last_name="Trainer")
    wanted = {"email": "new@example.org", "expires_at": "2099-12-05T18:30:00+01:00"}
    invite = (await trainer.post(INVITES, wanted)).json
    letter = await mailbox.letter_to("new@example.org")
    assert invite["code"] in letter.text
    assert invite["code"] in letter.html
    assert "Toni Trainer" in letter.text
    assert "until 2099-12-05 17:30 UTC." in letter.text


async def test_trainees_are_listed_by_pages(groups: Groups) -> None:
    trainer, *members = await groups.group(3)
    await groups.group(1)
    listed = (await trainer.get(TRAINEES + "?page_size=2")).json
    assert [each["id"] for each in listed["results"]] == [members[2].id, members[1].id]
    assert listed["results"][0]["email"] == members[2].email
    assert listed["results"][0]["joined_at"]
    rest = (await trainer.get(listed["next"])).json
    assert [each["id"] for each in rest["results"]] == [members[0].id]


async def test_trainee_is_out_at_once_when_removed(groups: Groups) -> None:
    trainer, trainee, other = await groups.group(2)
    post = await trainee.write("Still here")
    stranger = await groups.trainer()
    assert (await stranger.delete(f"{TRAINEES}{trainee.id}/")).status == 404
    assert (await trainer.delete(f"{TRAINEES}{trainee.id}/")).status == 204
    assert (await trainer.delete(f"{TRAINEES}{trainee.id}/")).status == 404
    assert await trainee.feed() == []
    assert (await trainee.get(f"/api/community/feed/{post['id']}/")).status == 403
    assert (await trainee.delete(f"/api/community/feed/{post['id']}/")).status == 403
    assert (await other.feed())[0]["author"]["id"] == trainee.id
    assert (await trainee.get("/api/auth/users/me/")).json["parent_trainer"] is None
