"""The proof of the counts as an operator sees it: what differs, what was mended, and the exit code."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from pymongo import MongoClient

from scripts.recount import main
from tests.scripts.conftest import Run, outcome
from tests.support.demo import begin_demo

Documents = dict[str, Any]


@pytest.fixture
def demo_uri(own_mongo_uri: str, tmp_path: Path) -> str:
    asyncio.run(begin_demo(own_mongo_uri, tmp_path, events=90))
    return own_mongo_uri


@pytest.fixture
def database(demo_uri: str) -> Iterator[Any]:
    with MongoClient[Documents](demo_uri) as client:
        found = client.get_default_database()
        yield found
        client.drop_database(found.name)


@pytest.fixture
def run_recount(run_script: Run, demo_uri: str, tmp_path: Path) -> Callable[..., Result]:
    def run(*options: str) -> Result:
        env = {"MONGODB_URI": demo_uri, "COLUMNS": "100"}
        return run_script(main, "--data-dir", str(tmp_path), *options, env=env)

    return run


@pytest.mark.usefixtures("database")
def test_recount_says_that_all_is_right(run_recount: Callable[..., Result]) -> None:
    told = run_recount("--json")
    assert told.exit_code == 0, told.output
    assert outcome(told) == {"ok": True, "miscounts": [], "summaries": [], "gaps": [], "fixed": 0}
    assert "no event log has a hole" in run_recount().stdout


def test_recount_shows_what_differs_and_mends_it_when_told_to(
    run_recount: Callable[..., Result], database: Any
) -> None:
    posts = database["posts"]
    post = posts.find_one({"comment_count": {"$gt": 0}})
    posts.update_one({"_id": post["_id"]}, {"$inc": {"comment_count": 2}})
    wrong = {
        "post_id": post["_id"],
        "field": "comment_count",
        "stored": post["comment_count"] + 2,
        "counted": post["comment_count"],
    }
    told = run_recount("--json")
    assert told.exit_code == 1
    assert outcome(told) == {"ok": False, "miscounts": [wrong], "summaries": [], "gaps": [], "fixed": 0}
    shown = run_recount()
    assert shown.exit_code == 1
    assert str(post["_id"]) in shown.stdout
    assert "1 count wrong" in shown.stdout

    mended = run_recount("--fix")
    assert mended.exit_code == 0, mended.output
    assert "1 count set right" in mended.stdout
    assert posts.find_one({"_id": post["_id"]})["comment_count"] == post["comment_count"]


def test_recount_shows_and_mends_a_wrong_summary(run_recount: Callable[..., Result], database: Any) -> None:
    users = database["users"]
    trainee = users.find_one({"role": "TRAINEE"})
    users.update_one({"_id": trainee["_id"]}, {"$set": {"training.latest_weight_kg": 1.0}})
    wrong = {"user_id": trainee["_id"], "fields": ["latest_weight_kg"]}
    told = run_recount("--json")
    assert told.exit_code == 1
    assert outcome(told)["summaries"] == [wrong]
    assert f"training of user {trainee['_id']}: wrong in latest_weight_kg" in run_recount().stdout
    assert "1 count set right" in run_recount("--fix").stdout
    assert users.find_one({"_id": trainee["_id"]}).get("training") != {"latest_weight_kg": 1.0}


def test_recount_tells_of_a_hole_in_an_event_log(run_recount: Callable[..., Result], database: Any) -> None:
    hole = database["events"].find_one_and_delete({"_id.seq": 5})
    told = run_recount("--fix", "--json")
    assert told.exit_code == 1
    problem = {"community_id": hole["_id"]["community_id"], "problem": "fact 5 is missing before 6"}
    assert outcome(told)["gaps"] == [problem]
    assert "1 hole" in run_recount().stdout


def test_recount_shows_fifty_differences_and_says_how_many_more(
    run_recount: Callable[..., Result], database: Any
) -> None:
    database["posts"].update_many(
        {},
        {"$inc": {"comment_count": 9, "reactions.fire": 9, "reactions.heart": 9, "reactions.thumbs_up": 9}},
    )
    wrong = 4 * database["posts"].count_documents({})
    assert wrong > 50
    assert f"and {wrong - 50} more" in run_recount().stdout
    assert f"{wrong} counts set right" in run_recount("--fix").stdout
