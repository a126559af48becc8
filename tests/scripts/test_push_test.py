"""One push to oneself at a terminal: what FCM said of each device, and why nobody was asked."""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from pymongo import MongoClient

from scripts.push_test import main
from store.ids import IdSource
from store.records import TRAINEE
from tests.scripts.conftest import Run, outcome
from tests.support.fcm_double import UNREGISTERED, FcmDouble, fcm_double

new_id = IdSource().new


@pytest.fixture(scope="module")
def apart_uri(mongo_uri: str) -> Iterator[str]:
    """A database for this module alone: whoever opens it with credentials sends what is pending in it."""
    uri = mongo_uri.replace("/cohort", f"/test_{secrets.token_hex(6)}")
    yield uri
    with MongoClient[dict[str, Any]](uri) as client:
        client.drop_database(client.get_default_database().name)


@pytest.fixture
def double() -> Iterator[FcmDouble]:
    with fcm_double() as started:
        yield started


@pytest.fixture
def account(double: FcmDouble, tmp_path: Path) -> Path:
    return double.account(tmp_path)


@pytest.fixture
def ring(run_script: Run, apart_uri: str, double: FcmDouble, account: Path) -> Callable[..., Result]:
    def run(*arguments: str, **more: str) -> Result:
        env = {
            "MONGODB_URI": apart_uri,
            "FCM_API_BASE": double.base_url,
            "FIREBASE_CREDENTIALS_PATH": str(account),
        }
        return run_script(main, "--data-dir", str(account.parent), *arguments, env=env | more)

    return run


@pytest.fixture
def person(apart_uri: str) -> Callable[..., tuple[int, str, list[int]]]:
    """Makes somebody with devices of these tokens; gives their id, address, and the devices' ids."""

    def make(*tokens: str) -> tuple[int, str, list[int]]:
        user_id, email, ids = new_id(), f"{secrets.token_hex(6)}@example.org", [new_id() for _ in tokens]
        user = {"_id": user_id, "role": TRAINEE, "is_active": True, "email": email, "email_key": email}
        devices = [
            {"_id": each, "user_id": user_id, "token": token, "platform": "ios", "is_active": True}
            for each, token in zip(ids, tokens, strict=True)
        ]
        with MongoClient[dict[str, Any]](apart_uri) as client:
            database = client.get_default_database()
            database["users"].insert_one(user)
            if devices:
                database["device_tokens"].insert_many(devices)
        return user_id, email, ids

    return make


def test_answer_for_each_device_is_printed_by_its_id_and_never_its_token(
    ring: Callable[..., Result], person: Callable[..., tuple[int, str, list[int]]], double: FcmDouble
) -> None:
    _, email, (good, dead) = person("good-phone", "dead-phone")
    double.replies = {"dead-phone": [UNREGISTERED]}
    result = ring("--user", email.upper())
    assert result.exit_code == 1, "one was not reached"
    assert result.stdout == f"device {good} (ios): sent\ndevice {dead} (ios): dead (Unregistered)\n"
    assert "phone" not in result.stderr
    assert sorted(double.devices()) == ["dead-phone", "good-phone"]
    assert double.messages[0]["notification"] == {"title": "Cohort", "body": "Push notifications work."}


def test_outcome_is_one_line_of_json_when_asked_for(
    ring: Callable[..., Result], person: Callable[..., tuple[int, str, list[int]]]
) -> None:
    user_id, _, (device_id,) = person("my-phone")
    result = ring("--user", str(user_id), "--json")
    assert result.exit_code == 0
    assert outcome(result) == [{"device": device_id, "platform": "ios", "outcome": "sent", "said": ""}]


def test_nobody_is_asked_when_there_is_no_such_person_or_no_device(
    ring: Callable[..., Result], person: Callable[..., tuple[int, str, list[int]]], double: FcmDouble
) -> None:
    _, email, _ = person()
    unknown, bare = ring("--user", "nobody@example.org"), ring("--user", email)
    assert (unknown.exit_code, bare.exit_code) == (1, 1)
    assert unknown.stderr == "Nobody is known as nobody@example.org.\n"
    assert bare.stderr == f"{email} has no active device: the app registers one when it starts.\n"
    assert double.messages == []


def test_nothing_is_sent_without_a_service_account_that_works(
    ring: Callable[..., Result],
    person: Callable[..., tuple[int, str, list[int]]],
    double: FcmDouble,
    account: Path,
) -> None:
    user_id, *_ = person("a-phone")
    account.write_text("{}")
    broken, missing = ring("--user", str(user_id)), ring("--user", str(user_id), FIREBASE_CREDENTIALS_PATH="")
    assert (broken.exit_code, missing.exit_code) == (1, 1)
    assert broken.stderr.startswith("Nothing was sent: the service account cannot be read ")
    assert missing.stderr.startswith("Nothing was sent: FIREBASE_CREDENTIALS_PATH is not set")
    assert double.messages == []
