"""Log-in, refresh rotation, reuse, log-out, and tokens that are not ours."""

import asyncio
import base64
import json
import time
import warnings
from typing import Any

import jwt
import pytest

from community.tokens import Tokens
from config.deps import Deps
from tests.conftest import SECRET
from tests.support.client import Api
from tests.support.clock import FakeClock
from tests.support.groups import PASSWORD, Groups, Person

ME = "/api/auth/users/me/"
REFRESH = "/api/auth/jwt/refresh/"


async def test_log_in_is_refused_alike_when_address_or_password_is_wrong(groups: Groups) -> None:
    person = await groups.trainee()
    for email, password in (
        (person.email, "wrong hills at dawn"),
        ("nobody@example.org", PASSWORD),
        ("x", "y"),
    ):
        answer = await groups.api.post("/api/auth/jwt/create/", {"email": email, "password": password})
        assert answer.status == 401
        assert answer.json == {
            "detail": "No active account found with the given credentials",
            "code": "no_active_account",
        }
        assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_requests_are_401_when_the_token_is_missing_or_malformed(api: Api) -> None:
    missing = await api.get(ME)
    assert (missing.status, missing.json["code"]) == (401, "not_authenticated")
    assert missing.headers["WWW-Authenticate"] == "Bearer"
    assert missing.headers["X-Request-ID"]
    for header in ("Bearer", "Bearer ", "Basic abc", "Bearer a.b.c", "Bearer " + "x" * 5000, "bearer null"):
        answer = await api.get(ME, headers={"Authorization": header})
        assert (answer.status, answer.json["code"]) == (401, "token_not_valid")


async def test_s6_access_token_ends_after_15_minutes(groups: Groups, clock: FakeClock) -> None:
    person = await groups.trainee()
    clock.advance(14 * 60)
    assert (await person.get(ME)).status == 200
    clock.advance(61)
    assert (await person.get(ME)).status == 401


async def test_s7_refresh_gives_a_new_pair_and_works_once(groups: Groups, clock: FakeClock) -> None:
    person = await groups.trainee()
    clock.advance(60)
    second = await groups.api.post(REFRESH, {"refresh": person.refresh})
    assert second.status == 200
    assert second.json["refresh"] != person.refresh
    assert second.headers["Cache-Control"] == "no-store"
    assert (await groups.api.get(ME, token=second.json["access"])).status == 200
    clock.advance(60)
    third = await groups.api.post(REFRESH, {"refresh": second.json["refresh"]})
    assert third.status == 200


async def test_s7_refresh_gives_the_same_pair_when_the_answer_was_lost(
    groups: Groups, clock: FakeClock
) -> None:
    person = await groups.trainee()
    clock.advance(1)
    pairs = await asyncio.gather(*(groups.api.post(REFRESH, {"refresh": person.refresh}) for _ in range(6)))
    assert {answer.status for answer in pairs} == {200}
    assert len({answer.body for answer in pairs}) == 1
    clock.advance(9.9)
    late = await groups.api.post(REFRESH, {"refresh": person.refresh})
    assert late.json == pairs[0].json


async def test_s7_refresh_ends_the_family_when_a_token_is_used_again(
    groups: Groups, clock: FakeClock
) -> None:
    person = await groups.trainee()
    other_device = await groups.log_in(person.email)
    second = (await groups.api.post(REFRESH, {"refresh": person.refresh})).json
    clock.advance(10.1)
    stolen = await groups.api.post(REFRESH, {"refresh": person.refresh})
    assert (stolen.status, stolen.json["code"]) == (401, "token_reused")
    assert (await groups.api.post(REFRESH, {"refresh": second["refresh"]})).status == 401
    assert (await groups.api.get(ME, token=second["access"])).status == 401
    assert (await other_device.get(ME)).status == 200


async def test_s7_refresh_ends_the_family_when_an_older_ancestor_is_used(
    groups: Groups, clock: FakeClock
) -> None:
    person = await groups.trainee()
    second = (await groups.api.post(REFRESH, {"refresh": person.refresh})).json
    third = (await groups.api.post(REFRESH, {"refresh": second["refresh"]})).json
    assert (await groups.api.post(REFRESH, {"refresh": person.refresh})).json["code"] == "token_reused"
    assert (await groups.api.post(REFRESH, {"refresh": third["refresh"]})).status == 401


async def test_s7_refresh_is_hashed_at_rest(groups: Groups, deps: Deps) -> None:
    person = await groups.trainee()
    stored = [str(each) async for each in deps.store.database.raw["sessions"].find({"user_id": person.id})]
    assert stored
    assert not [text for text in stored if person.refresh in text or person.refresh.split(".")[2] in text]


@pytest.mark.parametrize(("days", "status"), [(29, 200), (31, 401)])
async def test_s7_refresh_ends_when_idle_for_30_days(
    groups: Groups, clock: FakeClock, days: int, status: int
) -> None:
    person = await groups.trainee()
    clock.advance(days * 86_400)
    assert (await groups.api.post(REFRESH, {"refresh": person.refresh})).status == status


async def test_s7_refresh_ends_after_90_days_in_any_case(groups: Groups, clock: FakeClock) -> None:
    person = await groups.trainee()
    token = person.refresh
    for _ in range(4):
        clock.advance(22 * 86_400)
        token = (await groups.api.post(REFRESH, {"refresh": token})).json["refresh"]
    clock.advance(3 * 86_400)
    assert (await groups.api.post(REFRESH, {"refresh": token})).status == 401


async def test_log_out_ends_the_family_and_nothing_else(groups: Groups) -> None:
    person = await groups.trainee()
    other_device = await groups.log_in(person.email)
    assert (await person.post("/api/auth/logout/", {"refresh": person.refresh})).status == 204
    assert (await person.get(ME)).status == 401
    assert (await groups.api.post(REFRESH, {"refresh": person.refresh})).status == 401
    assert (await other_device.get(ME)).status == 200


async def test_log_out_is_refused_when_the_token_is_anothers(groups: Groups) -> None:
    person, other = await groups.trainee(), await groups.trainee()
    assert (await person.post("/api/auth/logout/", {"refresh": other.refresh})).status == 401
    assert (await other.get(ME)).status == 200


async def test_verify_tells_good_tokens_from_others(groups: Groups) -> None:
    person = await groups.trainee()
    for token in (person.token, person.refresh):
        answer = await groups.api.post("/api/auth/jwt/verify/", {"token": token})
        assert (answer.status, answer.json) == (200, {})
    await person.post("/api/auth/logout/", {"refresh": person.refresh})
    for token in (person.token, person.refresh, "nonsense"):
        assert (await groups.api.post("/api/auth/jwt/verify/", {"token": token})).status == 401


def forged(
    person: Person,
    *,
    key: str = SECRET,
    algorithm: str = "HS256",
    headers: dict[str, Any] | None = None,
    **claims: Any,
) -> str:
    """Give the person's access token with some claims changed (or, with None, left out), signed with `key`."""
    payload = jwt.decode(person.token, options={"verify_signature": False})
    payload.update(claims)
    payload = {name: value for name, value in payload.items() if value is not None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a key that is short for the other algorithm
        return jwt.encode(payload, key, algorithm=algorithm, headers=headers)


async def test_s4_token_is_refused_when_algorithm_or_header_is_somebodys_idea(groups: Groups) -> None:
    person = await groups.trainee()
    assert (await groups.api.get(ME, token=forged(person))).status == 200
    payload = jwt.decode(person.token, options={"verify_signature": False})

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    tokens = [
        f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(payload)}.",
        f"{part({'alg': 'None', 'typ': 'JWT'})}.{part(payload)}.",
        forged(person, algorithm="HS384"),
        forged(person, headers={"kid": "../../dev/null"}),
        forged(person, headers={"jku": "https://evil.example/keys"}),
        forged(person, headers={"jwk": {"kty": "oct", "k": "AA"}}),
        forged(person, key="another secret that is long enough, 32 bytes"),
        person.token[:-2] + ("AA" if person.token[-2:] != "AA" else "BB"),
    ]
    for token in tokens:
        assert (await groups.api.get(ME, token=token)).status == 401, token


@pytest.mark.parametrize("claim", ["exp", "iat", "nbf", "jti", "iss", "aud", "sub", "type", "sid"])
async def test_s5_token_is_refused_when_a_claim_is_missing(groups: Groups, claim: str) -> None:
    person = await groups.trainee()
    assert (await groups.api.get(ME, token=forged(person, **{claim: None}))).status == 401


@pytest.mark.parametrize(
    "claims",
    [
        {"type": "refresh"},
        {"type": "reset"},
        {"iss": "elsewhere"},
        {"aud": "elsewhere"},
        {"exp": 1},
        {"exp": "tomorrow"},
        {"nbf": int(time.time()) + 10_000},
        {"sub": "1"},
        {"sub": "x"},
        {"sid": "x"},
        {"sid": {"$ne": None}},
        {"exp": 1e999},
    ],
)
async def test_s5_token_is_refused_when_a_claim_is_wrong(groups: Groups, claims: dict[str, Any]) -> None:
    person = await groups.trainee()
    assert (await groups.api.get(ME, token=forged(person, **claims))).status == 401


async def test_s5_tokens_of_one_kind_never_work_as_another(groups: Groups) -> None:
    person = await groups.trainee()
    assert (await groups.api.get(ME, token=person.refresh)).status == 401
    assert (await groups.api.post(REFRESH, {"refresh": person.token})).status == 401
    assert (await person.post("/api/auth/logout/", {"refresh": person.token})).status == 401


async def test_tokens_stay_good_when_the_secret_rotates(groups: Groups, clock: FakeClock) -> None:
    person = await groups.trainee()
    rotated = Tokens(("a fresh secret of the tests, 32 bytes or more", SECRET), clock)
    assert rotated.read(person.token).user_id == person.id
