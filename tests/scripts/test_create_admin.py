"""The only way to an administrator's account."""

import secrets
from pathlib import Path

import pytest
from pymongo import MongoClient

from scripts.create_admin import main
from store.embedded import EmbeddedMongo
from tests.scripts.conftest import Run, outcome

PASSWORD = "steep hills at dawn"


@pytest.fixture
def email() -> str:
    return f"{secrets.token_hex(6)}@example.org"


def test_admin_is_made_with_a_password_from_standard_input(
    run_script: Run, email: str, tmp_path: Path
) -> None:
    options = ("--email", email, "--password-stdin", "--json", "--data-dir", str(tmp_path))
    result = run_script(main, *options, input=PASSWORD + "\n")
    assert result.exit_code == 0, result.output
    made = outcome(result)
    assert (made["email"], made["role"], made["parent_trainer"]) == (email, "ADMIN", None)


def test_admin_is_made_with_a_password_asked_for_twice(run_script: Run, email: str, tmp_path: Path) -> None:
    options = ("--email", email, "--first-name", "Ada", "--last-name", "Byron", "--data-dir", str(tmp_path))
    result = run_script(main, *options, input=f"{PASSWORD}\n{PASSWORD}\n")
    assert result.exit_code == 0, result.output
    assert f"Administrator {email} was created" in result.stdout
    assert PASSWORD not in result.output


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("short", "password: This password is too short. It must contain at least 10 characters."),
        ("password123456", "password: This password is too common."),
    ],
)
def test_admin_is_refused_with_a_weak_password(
    run_script: Run, email: str, tmp_path: Path, password: str, said: str
) -> None:
    options = ("--email", email, "--password-stdin", "--data-dir", str(tmp_path))
    result = run_script(main, *options, input=password + "\n")
    assert (result.exit_code, result.stdout, result.stderr.strip()) == (1, "", said)


def test_admin_is_refused_with_an_address_that_is_taken(run_script: Run, email: str, tmp_path: Path) -> None:
    options = ("--password-stdin", "--data-dir", str(tmp_path))
    assert run_script(main, "--email", email, *options, input=PASSWORD).exit_code == 0
    result = run_script(main, "--email", email.upper(), *options, input=PASSWORD)
    assert (result.exit_code, result.stderr.strip()) == (1, "email: Email already in use.")


@pytest.mark.parametrize(
    ("options", "given"),
    [
        ((), ""),
        (("--email", "nobody", "--password-stdin"), PASSWORD),
        (("--email", "a@example.org", "--password-stdin"), ""),
    ],
)
def test_wrong_use_exits_with_2(run_script: Run, options: tuple[str, ...], given: str) -> None:
    assert run_script(main, *options, input=given).exit_code == 2


def test_wrong_settings_exit_with_2_and_say_which(run_script: Run, email: str) -> None:
    result = run_script(
        main, "--email", email, "--password-stdin", env={"PORT": "many", "LOG_LEVEL": "loud"}, input=PASSWORD
    )
    assert result.exit_code == 2
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == ["PORT", "LOG_LEVEL"]


def test_database_that_is_away_exits_with_1(run_script: Run, email: str, tmp_path: Path) -> None:
    nowhere = "mongodb://127.0.0.1:1/x?serverSelectionTimeoutMS=50"
    options = ("--email", email, "--password-stdin", "--data-dir", str(tmp_path))
    result = run_script(main, *options, env={"MONGODB_URI": nowhere}, input=PASSWORD)
    assert result.exit_code == 1
    assert "127.0.0.1:1" in result.stderr


def test_running_embedded_database_is_found_by_its_data_directory(
    run_script: Run, email: str, mongo: EmbeddedMongo
) -> None:
    data_dir = str(mongo._directory.parent)
    options = ("--email", email, "--password-stdin", "--data-dir", data_dir)
    result = run_script(main, *options, env={"MONGODB_URI": ""}, input=PASSWORD)
    assert result.exit_code == 0, result.output
    with MongoClient[dict[str, object]](mongo.uri) as client:
        found = client["cohort"]["users"].find_one({"email": email})
    assert found is not None
    assert found["role"] == "ADMIN"


def test_embedded_database_is_started_where_none_runs(run_script: Run, email: str, tmp_path: Path) -> None:
    options = ("--email", email, "--password-stdin", "--data-dir", str(tmp_path / "data"))
    exits = [run_script(main, *options, env={"MONGODB_URI": ""}, input=PASSWORD).exit_code for _ in range(2)]
    # The second start finds what the first one wrote.
    assert exits == [0, 1]
