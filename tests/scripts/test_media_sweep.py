"""The sweep as an operator sees it: what is deleted, what is spared, what is missing, and the exit code."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from pymongo import MongoClient

from scripts.media_sweep import main
from tests.scripts.conftest import Run, outcome

HEX = "0123456789abcdef" * 2
OTHER = "f" * 32
AN_HOUR = 3600


@pytest.fixture
def database(own_mongo_uri: str) -> Iterator[Any]:
    with MongoClient[dict[str, Any]](own_mongo_uri) as client:
        found = client.get_default_database()
        yield found
        client.drop_database(found.name)


@pytest.fixture
def run_sweep(run_script: Run, own_mongo_uri: str, tmp_path: Path) -> Callable[..., Result]:
    def run(*options: str) -> Result:
        env = {"MONGODB_URI": own_mongo_uri, "COLUMNS": "200"}
        return run_script(main, "--data-dir", str(tmp_path), *options, env=env)

    return run


def put(tmp_path: Path, *names: str, age_seconds: float = 2 * AN_HOUR) -> None:
    for name in names:
        path = tmp_path / "media" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
        os.utime(path, (time.time() - age_seconds,) * 2)


def image(key: str) -> dict[str, Any]:
    return {"key": key, "extension": ".jpg", "width": 700, "height": 5, "variant_widths": [320]}


def left(tmp_path: Path) -> set[str]:
    root = tmp_path / "media"
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_sweep_deletes_what_nothing_points_at_and_nothing_else(
    run_sweep: Callable[..., Result], database: Any, tmp_path: Path
) -> None:
    kept = {f"community_posts/{HEX}.jpg", f"community_posts/{HEX}.320.webp", f"profile_images/{HEX}.jpg",
            f"profile_images/{HEX}.320.webp", "community_posts/notes.txt", "elsewhere/x.partial"}  # fmt: skip
    orphans = {
        f"community_posts/{OTHER}.jpg",
        f"community_posts/{OTHER}.320.webp",
        "profile_images/" + "a" * 16 + ".partial",
    }
    put(tmp_path, *kept, *orphans)
    put(tmp_path, f"community_posts/{'e' * 32}.png", age_seconds=60)
    now = {"content": "x", "created_at": None, "community_id": 1, "author_id": 2}
    database["posts"].insert_one({"_id": 5, **now, "image": image(f"community_posts/{HEX}")})
    database["users"].insert_one(
        {"_id": 2, "role": "TRAINEE", "profile_image": image(f"profile_images/{HEX}")}
    )

    tried = run_sweep("--dry-run", "--json")
    assert (tried.exit_code, set(outcome(tried)["orphans"])) == (0, orphans)
    assert orphans <= left(tmp_path)
    assert "3 of them orphans (0 KiB), deleted" in run_sweep().stdout
    assert left(tmp_path) == kept | {f"community_posts/{'e' * 32}.png"}
    told = outcome(run_sweep("--now", "--json"))
    assert told == {
        "ok": True, "files": 7, "orphans": [f"community_posts/{'e' * 32}.png"], "orphan_bytes": 5, "missing": [],
    }  # fmt: skip
    assert left(tmp_path) == kept


def test_sweep_tells_of_pictures_that_are_not_there(
    run_sweep: Callable[..., Result], database: Any, tmp_path: Path
) -> None:
    put(tmp_path, f"community_posts/{HEX}.jpg")
    now = {"content": "x", "created_at": None, "community_id": 1, "author_id": 2}
    database["posts"].insert_one({"_id": 5, **now, "image": image(f"community_posts/{HEX}")})
    database["users"].insert_one(
        {"_id": 2, "role": "TRAINEE", "profile_image": image(f"profile_images/{HEX}")}
    )
    told = run_sweep("--json")
    assert told.exit_code == 1
    assert outcome(told)["missing"] == [
        {"kind": "post", "id": 5, "file": f"community_posts/{HEX}.320.webp"},
        {"kind": "user", "id": 2, "file": f"profile_images/{HEX}.jpg"},
        {"kind": "user", "id": 2, "file": f"profile_images/{HEX}.320.webp"},
    ]
    shown = run_sweep()
    assert shown.exit_code == 1
    assert f"user 2: profile_images/{HEX}.jpg is missing" in shown.stdout
