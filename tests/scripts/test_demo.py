"""The play on a running server: what it prints, what it leaves behind, and what it says of a loss."""

import asyncio
import dataclasses
import io
import re
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient
from rich.console import Console

from config.settings import Settings
from config.values import Rate
from scripts import demo
from scripts.demo import Play, play
from tests.scripts.conftest import Run
from tests.support.clock import FakeClock
from tests.support.demo import begin_demo
from tests.support.processes import POLL_SECONDS, until

Documents = dict[str, Any]
# Shorter than people may ask for, and long enough for every scene.
SECONDS = 2.0


@pytest.fixture(scope="module")
def demo_uri(mongo_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database with the people of the demo and a few posts."""
    name = f"demo_{secrets.token_hex(6)}"
    uri = mongo_uri.replace("/cohort", f"/{name}")
    asyncio.run(begin_demo(uri, tmp_path_factory.mktemp("demo")))
    yield uri
    with MongoClient[Documents](mongo_uri) as client:
        client.drop_database(name)


@pytest.fixture
def settings(settings: Settings, demo_uri: str) -> Settings:
    return dataclasses.replace(settings, mongodb_uri=demo_uri)


@pytest.fixture
def posts(demo_uri: str) -> Iterator[Any]:
    with MongoClient[Documents](demo_uri) as client:
        yield client.get_default_database()["posts"]


def console() -> Console:
    return Console(file=io.StringIO(), width=100, highlight=False)


def printed(on: Console) -> list[str]:
    assert isinstance(on.file, io.StringIO)
    return on.file.getvalue().splitlines()


async def test_play_shows_every_frame_and_takes_its_posts_away(base_url: str, posts: Any) -> None:
    before = posts.count_documents({})
    on = console()
    assert await play(base_url, SECONDS, on, keep=False)
    lines = printed(on)
    assert max(map(len, lines)) <= 100
    text = "\n".join(lines)
    for kind in ("connected", "new_post", "new_comment", "reaction_update", "post_deleted"):
        assert kind in text
    # Everybody who is online sees it, with milliseconds; who is in the tunnel does not.
    assert re.search(r"new_post .* Lena +\d+ Omar +\d+ Maya +\d+ ms", text)
    assert re.search(r"new_post .* Lena +\d+ Omar away Maya +\d+ ms", text)
    assert re.search(r"↺ new_post .* Omar recovered", text)
    assert "all 3 facts that Omar missed are there, once and in order" in text
    assert "lost" not in text
    assert posts.count_documents({}) == before


async def test_play_leaves_its_posts_when_told_to(base_url: str, posts: Any) -> None:
    before = {post["_id"] for post in posts.find({}, ["_id"])}
    assert await play(base_url, SECONDS, console(), keep=True)
    kept = {post["_id"] for post in posts.find({}, ["_id"])} - before
    assert len(kept) >= 2
    posts.delete_many({"_id": {"$in": list(kept)}})


async def test_play_takes_its_posts_away_when_it_is_interrupted(base_url: str, posts: Any) -> None:
    before = posts.count_documents({})
    on = console()
    playing = asyncio.create_task(play(base_url, 20, on, keep=False))
    await until(lambda: any("new_comment" in line for line in printed(on)), 20, "a comment")
    assert posts.count_documents({}) > before
    playing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await playing
    assert posts.count_documents({}) == before


class TestLimited:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return dataclasses.replace(settings, rate_limit_creates=Rate(3, 1), rate_limit_auth=Rate(2, 1))

    async def test_play_waits_as_long_as_it_is_told_when_a_limit_is_reached(
        self, base_url: str, posts: Any, clock: FakeClock
    ) -> None:
        before = posts.count_documents({})
        on = console()
        playing = asyncio.create_task(play(base_url, SECONDS, on, keep=False))
        told = 0
        while not playing.done():
            now_told = sum("Request was throttled" in line for line in printed(on))
            if now_told > told:
                told = now_told
                clock.advance(2)
            await asyncio.sleep(POLL_SECONDS)
        assert await playing
        assert told >= 2  # a log-in and something written
        assert posts.count_documents({}) == before


async def test_play_counts_what_somebody_lost(base_url: str) -> None:
    on = console()
    stage = Play(base_url, SECONDS, on)
    await stage.open()
    try:
        one, deaf, _ = stage.everybody
        assert deaf._socket is not None
        # Online for all anybody knows, and hears nothing.
        deaf._socket.protocol.stream.close()  # type: ignore[union-attr]
        await one.post("Can you hear me?")
        await stage.screen.settled()
        assert stage.screen.lost == 1
        assert any("Omar lost" in line for line in printed(on))
    finally:
        await stage.close(keep=False)


async def test_demo_exits_with_0_after_a_whole_play(run_script: Run, base_url: str) -> None:
    result = await asyncio.to_thread(run_script, demo.main, "--url", base_url, "--seconds", "5")
    assert result.exit_code == 0, result.output
    assert "from request to receipt" in result.stdout
