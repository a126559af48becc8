"""Device tokens: whose they are, how many, and what ends them."""

import asyncio
import secrets

import pytest

from config.deps import Deps
from tests.support.clock import FakeClock
from tests.support.groups import PASSWORD, Groups, Person

TOKENS = "/api/users/device-tokens/"


def a_token() -> str:
    """As FCM makes them."""
    return f"{secrets.token_urlsafe(16)}:APA91b{secrets.token_urlsafe(90)}"


async def register(person: Person, token: str, platform: str = "android") -> int:
    """Give the status of a registration."""
    status: int = (await person.post(TOKENS, {"token": token, "platform": platform})).status
    return status


async def tokens_of(deps: Deps, person: Person) -> list[str]:
    return [each.token for each in await deps.store.device_tokens.active([person.id])]


async def test_device_is_registered_once_and_keeps_its_id(groups: Groups, deps: Deps) -> None:
    person, token = await groups.trainer(), a_token()
    first = await person.post(TOKENS, {"token": token, "platform": "ios"})
    again = await person.post(TOKENS, {"token": token, "platform": "web"})
    assert (first.status, again.status) == (201, 200)
    assert first.json == {"id": first.json["id"], "token": token, "platform": "ios", "is_active": True}
    assert again.json == {**first.json, "platform": "web"}
    assert await tokens_of(deps, person) == [token]


async def test_deleted_device_is_inactive_until_it_registers_again(groups: Groups, deps: Deps) -> None:
    person, token = await groups.trainer(), a_token()
    first = await person.post(TOKENS, {"token": token, "platform": "ios"})
    for _ in range(2):
        assert (await person.delete(TOKENS, {"token": token})).status == 204
    assert (await person.delete(TOKENS, {"token": "never heard of"})).status == 204
    assert await tokens_of(deps, person) == []
    again = await person.post(TOKENS, {"token": token, "platform": "ios"})
    assert (again.status, again.json) == (200, first.json)
    assert await tokens_of(deps, person) == [token]


async def test_s42_device_moves_to_whoever_registers_it(groups: Groups, deps: Deps) -> None:
    trainer, trainee = await groups.group(1)
    token = a_token()
    before = await trainer.post(TOKENS, {"token": token, "platform": "ios"})
    after = await trainee.post(TOKENS, {"token": token, "platform": "ios"})
    assert after.status == 201
    assert after.json["id"] != before.json["id"]
    assert await tokens_of(deps, trainer) == []
    assert await tokens_of(deps, trainee) == [token]
    # Whoever had it cannot end it for whoever has it.
    await trainer.delete(TOKENS, {"token": token})
    assert await tokens_of(deps, trainee) == [token]


async def test_s42_device_has_one_owner_when_two_register_it_at_once(groups: Groups, deps: Deps) -> None:
    people = await groups.group(3)
    for _ in range(3):
        token = a_token()
        statuses = await asyncio.gather(*(register(person, token) for person in people))
        assert set(statuses) == {201}
        held = [await tokens_of(deps, person) for person in people]
        assert sum(each.count(token) for each in held) == 1


async def test_s42_oldest_device_goes_when_there_would_be_more_than_twenty(
    groups: Groups, deps: Deps, clock: FakeClock
) -> None:
    person = await groups.trainer()
    tokens = [a_token() for _ in range(22)]
    for token in tokens[:20]:
        await register(person, token)
        clock.advance(0.001)
    await register(person, tokens[0])
    await person.delete(TOKENS, {"token": tokens[5]})
    for token in tokens[20:]:
        clock.advance(0.001)
        assert await register(person, token) == 201
    assert set(await tokens_of(deps, person)) == set(tokens) - {tokens[5], tokens[1]}


async def test_s42_devices_stay_twenty_when_many_register_at_once(groups: Groups, deps: Deps) -> None:
    person = await groups.trainer()
    for _ in range(18):
        await register(person, a_token())
    statuses = await asyncio.gather(*(register(person, a_token()) for _ in range(6)))
    assert set(statuses) == {201}
    assert len(await tokens_of(deps, person)) == 20


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({"platform": "ios"}, "token", "This field is required."),
        ({"token": "a"}, "platform", "This field is required."),
        ({"token": "a", "platform": "symbian"}, "platform", '"symbian" is not a valid choice.'),
        (
            {"token": "a" * 513, "platform": "ios"},
            "token",
            "Ensure this field has no more than 512 characters.",
        ),
        ({"token": "  ", "platform": "ios"}, "token", "This field may not be blank."),
        ({"token": {"$ne": ""}, "platform": "ios"}, "token", "Not a valid string."),
        ({"token": "a", "platform": "ios", "user_id": 1}, "user_id", "Unknown field."),
    ],
)
async def test_registration_names_what_is_wrong(
    groups: Groups, body: dict[str, object], field: str, says: str
) -> None:
    person = await groups.trainer()
    answer = await person.post(TOKENS, body)
    assert (answer.status, answer.json) == (400, {field: [says]})


async def test_token_of_512_characters_is_taken(groups: Groups) -> None:
    person = await groups.trainer()
    assert await register(person, secrets.token_hex(256)) == 201


async def test_logout_ends_the_named_device_and_no_other(groups: Groups, deps: Deps) -> None:
    trainer, trainee = await groups.group(1)
    phone, tablet, not_mine = a_token(), a_token(), a_token()
    for token in (phone, tablet):
        await register(trainer, token)
    await register(trainee, not_mine)
    elsewhere = await groups.log_in(trainer.email)
    body = {"refresh": elsewhere.refresh, "device_token": not_mine}
    assert (await elsewhere.post("/api/auth/logout/", body)).status == 204
    body = {"refresh": trainer.refresh, "device_token": phone}
    assert (await trainer.post("/api/auth/logout/", body)).status == 204
    assert await tokens_of(deps, trainer) == [tablet]
    assert await tokens_of(deps, trainee) == [not_mine]


async def test_device_of_a_logout_is_checked_and_unknown_elsewhere(groups: Groups) -> None:
    person = await groups.trainer()
    answer = await person.post("/api/auth/logout/", {"refresh": person.refresh, "device_token": 7})
    assert (answer.status, answer.json) == (400, {"device_token": ["Not a valid string."]})
    answer = await person.post("/api/auth/jwt/refresh/", {"refresh": person.refresh, "device_token": "a"})
    assert (answer.status, answer.json) == (400, {"device_token": ["Unknown field."]})


async def test_s44_devices_of_a_deleted_account_are_erased(groups: Groups, deps: Deps) -> None:
    person = await groups.trainer()
    await register(person, a_token())
    await person.delete("/api/auth/users/me/", {"current_password": PASSWORD})
    assert await deps.store.database.table("device_tokens").find({"user_id": person.id}) == []
