"""Verifying an e-mail address, changing it, and keeping it when a thief changes it."""

import asyncio
import secrets

import pytest

from tests.support.clock import FakeClock
from tests.support.groups import PASSWORD, Groups, Person
from tests.support.mail import Mailbox

ME = "/api/auth/users/me/"
VERIFY, VERIFY_CONFIRM = "/api/auth/users/verify_email/", "/api/auth/users/verify_email_confirm/"
SET, CONFIRM, UNDO = (f"/api/auth/users/set_email{name}/" for name in ("", "_confirm", "_undo"))
DAY = 24 * 3600
BAD_LINK = {"token": ["This link is invalid or expired."]}
TAKEN = {"email": ["Email already in use."]}


def an_address() -> str:
    return f"New.{secrets.token_hex(6)}@example.org"


async def link_to(mailbox: Mailbox, address: str, subject: str) -> dict[str, str]:
    uid, token = mailbox.link(await mailbox.letter_to(address, subject=subject))
    return {"uid": uid, "token": token}


async def ask(person: Person, new_email: str) -> int:
    answer = await person.post(SET, {"new_email": new_email, "current_password": PASSWORD})
    assert answer.status in {204, 400}, answer.body
    return int(answer.status)


async def change(person: Person, new_email: str, mailbox: Mailbox) -> None:
    """Change to another address, to the end."""
    assert await ask(person, new_email) == 204
    link = await link_to(mailbox, new_email, "new address")
    assert (await person.api.post(CONFIRM, link)).status == 204


async def test_address_is_verified_once_by_the_mailed_link(groups: Groups, mailbox: Mailbox) -> None:
    person = await groups.trainee()
    assert (await person.get(ME)).json["email_verified"] is False
    link = await link_to(mailbox, person.email, "your e-mail address")
    answers = await asyncio.gather(*(groups.api.post(VERIFY_CONFIRM, link) for _ in range(4)))
    assert sorted(each.status for each in answers) == [204, 400, 400, 400]
    assert [each.json for each in answers if each.status == 400] == [BAD_LINK] * 3
    # On this log-in it is seen by the next second, on another at once.
    assert (await (await groups.log_in(person.email)).get(ME)).json["email_verified"] is True


async def test_link_is_refused_when_it_is_old_or_anothers(
    groups: Groups, mailbox: Mailbox, clock: FakeClock
) -> None:
    person, other = await groups.trainee(), await groups.trainee()
    first = await link_to(mailbox, person.email, "your e-mail address")
    before = len(mailbox.letters)
    assert (await person.post(VERIFY)).status == 204
    second = first
    while second == first or len(mailbox.letters) == before:
        second = await link_to(mailbox, person.email, "your e-mail address")
    for link in (first, {**second, "uid": str(other.id)}, {**second, "uid": "x"}, {**second, "token": "x"}):
        assert (await groups.api.post(VERIFY_CONFIRM, link)).json == BAD_LINK
    # A link is good for what it was mailed for.
    for path in (CONFIRM, UNDO):
        assert (await groups.api.post(path, second)).json == BAD_LINK
    clock.advance(3 * DAY)
    assert (await groups.api.post(VERIFY_CONFIRM, second)).json == BAD_LINK


async def test_nothing_is_mailed_when_the_address_is_verified(groups: Groups, mailbox: Mailbox) -> None:
    person = await groups.trainee()
    link = await link_to(mailbox, person.email, "your e-mail address")
    await groups.api.post(VERIFY_CONFIRM, link)
    again = await groups.log_in(person.email)
    letters = len(mailbox.letters)
    assert (await again.post(VERIFY)).status == 204
    # Letters go out in order: this one would have been before.
    await groups.api.post("/api/auth/users/reset_password/", {"email": person.email})
    await mailbox.letter_to(person.email, subject="Reset")
    assert len(mailbox.letters) == letters + 1


async def test_address_changes_when_the_new_one_has_confirmed(
    groups: Groups, mailbox: Mailbox, clock: FakeClock
) -> None:
    person = await groups.trainee()
    old, new = person.email, an_address()
    await groups.api.post("/api/auth/users/reset_password/", {"email": old})
    reset = await link_to(mailbox, old, "Reset")
    assert await ask(person, new) == 204
    assert (await person.get(ME)).json["email"] == old
    notice = await mailbox.letter_to(old, subject="being changed")
    assert new.casefold() not in notice.text.casefold()
    link = await link_to(mailbox, new, "new address")
    answers = await asyncio.gather(*(groups.api.post(CONFIRM, link) for _ in range(3)))
    assert sorted(each.status for each in answers) == [204, 400, 400]
    # Log-ins go on, and know it at once.
    me = (await person.get(ME)).json
    assert (me["email"], me["email_verified"]) == (new, True)
    await groups.log_in(new.upper())
    refused = await groups.api.post("/api/auth/jwt/create/", {"email": old, "password": PASSWORD})
    assert refused.status == 401
    # What was mailed to the old address before opens nothing any more.
    body = {**reset, "new_password": "new hills at dusk"}
    assert (await groups.api.post("/api/auth/users/reset_password_confirm/", body)).status == 400
    # Nobody else can have the old one while it can be taken back.
    taken = {"email": old, "password": PASSWORD, "first_name": "A", "last_name": "B", "role": "TRAINEE"}
    assert (await groups.api.post("/api/auth/users/", taken)).json == TAKEN
    clock.advance(7 * DAY)
    assert (await groups.api.post("/api/auth/users/", taken)).status == 201


async def test_change_is_refused_when_something_is_wrong(groups: Groups, mailbox: Mailbox) -> None:
    person = await groups.trainee()
    for body, field in (
        ({"new_email": an_address(), "current_password": "not this one"}, "current_password"),
        ({"new_email": person.email.upper(), "current_password": PASSWORD}, "new_email"),
        ({"new_email": "nowhere", "current_password": PASSWORD}, "new_email"),
        ({"current_password": PASSWORD}, "new_email"),
    ):
        answer = await person.post(SET, body)
        assert (answer.status, list(answer.json)) == (400, [field])
    assert [await ask(person, an_address()) for _ in range(6)] == [204] * 5 + [400]


async def test_s9_taken_address_is_told_to_whoever_reads_its_mail_alone(
    groups: Groups, mailbox: Mailbox
) -> None:
    first, second, third = await groups.trainee(), await groups.trainee(), await groups.trainee()
    new = an_address()
    # Asking is answered the same whether somebody has the address or not.
    assert [await ask(first, new), await ask(second, third.email)] == [204, 204]
    refused = await groups.api.post(CONFIRM, await link_to(mailbox, third.email, "new address"))
    assert (refused.status, refused.json) == (400, TAKEN)
    link = await link_to(mailbox, new, "new address")
    assert await ask(second, new) == 204
    other = link
    while other == link:
        other = await link_to(mailbox, new, "new address")
    answers = await asyncio.gather(*(groups.api.post(CONFIRM, each) for each in (link, other)))
    assert sorted(each.status for each in answers) == [204, 400]
    assert TAKEN in [each.json for each in answers if each.status == 400]


@pytest.mark.parametrize("confirmed", [False, True])
async def test_old_address_is_kept_when_its_owner_did_not_ask(
    groups: Groups, mailbox: Mailbox, confirmed: bool
) -> None:
    person = await groups.trainee()
    old, new = person.email, an_address()
    assert await ask(person, new) == 204
    confirm = await link_to(mailbox, new, "new address")
    if confirmed:
        assert (await groups.api.post(CONFIRM, confirm)).status == 204
    keep = await link_to(mailbox, old, "being changed")
    answers = await asyncio.gather(*(groups.api.post(UNDO, keep) for _ in range(3)))
    assert sorted(each.status for each in answers) == [204, 400, 400]
    # Whoever knew the password is out, and stays out.
    assert (await person.get(ME)).status == 401
    for address in (old, new):
        refused = await groups.api.post("/api/auth/jwt/create/", {"email": address, "password": PASSWORD})
        assert refused.status == 401
    assert (await groups.api.post(CONFIRM, confirm)).json == BAD_LINK
    body = {**await link_to(mailbox, old, "yours again"), "new_password": "new hills at dusk"}
    assert (await groups.api.post("/api/auth/users/reset_password_confirm/", body)).status == 204
    again = await groups.log_in(old, "new hills at dusk")
    assert (await again.get(ME)).json["email"] == old


async def test_owner_of_before_wins_when_a_thief_keeps_an_address_too(
    groups: Groups, mailbox: Mailbox
) -> None:
    person = await groups.trainee()
    old, thiefs, thiefs_next = person.email, an_address(), an_address()
    await change(person, thiefs, mailbox)
    await change(person, thiefs_next, mailbox)
    keep_thiefs = await link_to(mailbox, thiefs, "being changed")
    assert (await groups.api.post(UNDO, keep_thiefs)).status == 204
    assert (await groups.api.post(UNDO, await link_to(mailbox, old, "being changed"))).status == 204
    # Younger links are worth nothing any more: not that one's letter to set a password, either.
    reset = await link_to(mailbox, thiefs, "yours again")
    body = {**reset, "new_password": "new hills at dusk"}
    assert (await groups.api.post("/api/auth/users/reset_password_confirm/", body)).status == 400
    body = {**await link_to(mailbox, old, "yours again"), "new_password": "new hills at dusk"}
    assert (await groups.api.post("/api/auth/users/reset_password_confirm/", body)).status == 204
    await groups.log_in(old, "new hills at dusk")


async def test_s44_links_go_with_the_account(groups: Groups, mailbox: Mailbox) -> None:
    person, other = await groups.trainee(), await groups.trainee()
    old, new = person.email, an_address()
    await change(person, new, mailbox)
    await ask(other, new)
    assert (await person.delete(ME, {"current_password": PASSWORD})).status == 204
    raw = groups.deps.store.database.raw["email_links"]
    left = [each["email"] async for each in raw.find({"user_id": {"$in": [person.id, other.id]}})]
    assert sorted(left) == sorted([other.email] * 2)
    # The address that was kept for its owner is free.
    await groups.trainee(email=old)
