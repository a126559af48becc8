"""Achievements at a terminal: listed, added and edited, and left alone by the next start."""

from collections.abc import Iterator

import pytest
from pymongo import MongoClient

from community.criteria import SEEDS
from scripts.achievements import main
from tests.scripts.conftest import Run, outcome

NEW = (
    "--metric",
    "workout_count",
    "--threshold",
    "500",
    "--name",
    " Legend ",
    "--description",
    "Train on 500 days.",
)


@pytest.fixture
def database(own_mongo_uri: str) -> Iterator[dict[str, str]]:
    """Settings of a database of this test's own, since what there is to earn is the same for all."""
    yield {"MONGODB_URI": own_mongo_uri}
    with MongoClient[dict[str, object]](own_mongo_uri) as client:
        client.drop_database(client.get_default_database().name)


def test_achievements_are_listed_added_and_edited(run_script: Run, database: dict[str, str]) -> None:
    listed = outcome(run_script(main, "list", "--json", env=database))
    assert [each["name"] for each in listed] == [seed.name for seed in SEEDS]
    added = outcome(run_script(main, "add", *NEW, "--json", env=database))
    assert (added["metric"], added["threshold"], added["name"]) == ("workout_count", 500, "Legend")
    edited = run_script(main, "edit", "1", "--name", "Off we go", env=database)
    assert edited.exit_code == 0
    assert "Off we go" in edited.stdout
    # Each of these is a start: what was edited stays, and what was added is at the end.
    again = outcome(run_script(main, "list", "--json", env=database))
    assert again == [{**listed[0], "name": "Off we go"}, *listed[1:], added]
    assert "Legend" in run_script(main, "list", env=database).stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("add", "--metric", "likes", *NEW[2:]), 2, "likes"),
        (("add", *NEW[:2], "--threshold", "0", *NEW[4:]), 1, "threshold: Must be from 1 to 36500."),
        (
            ("add", "--metric", "first_post", "--threshold", "2", *NEW[4:]),
            1,
            "threshold: Must be from 1 to 1.",
        ),
        (("add", *NEW[:4], "--name", " ", *NEW[6:]), 1, "name: Must have 1 to 100 characters."),
        (("add", *NEW[:6], "--description", "x" * 301), 1, "description: Must have 1 to 300 characters."),
        (("edit", "16", "--threshold", "101"), 1, "threshold: Must be from 1 to 100."),
        (("edit", "99999", "--name", "A"), 1, "There is no achievement of that id."),
        (("edit", "1"), 2, "Say what to change: --threshold, --name or --description."),
    ],
)
def test_wrong_achievement_is_refused(
    run_script: Run, arguments: tuple[str, ...], code: int, said: str
) -> None:
    result = run_script(main, *arguments)
    assert result.exit_code == code
    assert said in result.output
