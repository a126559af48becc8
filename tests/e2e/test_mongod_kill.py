"""`kill -9` of the database under load, again and again: what was answered 2xx is there, and nothing is by halves.

Two servers work on one embedded database while members write through both; the database comes back by itself,
and the servers find it again without a restart. What a killed server leaves is tested elsewhere.
"""

import asyncio
import itertools
import os
import random
import secrets
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from tornado.httpclient import AsyncHTTPClient

from config.deps import Deps
from config.settings import Settings, load_settings
from store.embedded import EmbeddedMongo
from tests.conftest import SECRET
from tests.e2e.wholeness import contradictions
from tests.support.client import Answer, Api
from tests.support.groups import Groups, Person
from tests.support.limits import NO_LIMITS
from tests.support.processes import Processes, until
from tests.support.written import Written, differences

# Two of them long: see below. `python -m tests.chaos mongod-kill` takes thirty.
ROUNDS = 6
FEED = "/api/community/feed/"
TYPES = ("fire", "thumbs_up", "heart")
# Before the database is killed again so many writes must have been answered since it came back.
WRITES_A_ROUND = range(10, 40)
# A database that dies three times in a row within 2 s of its start is given up; every third life is longer.
SHORT_LIVES, LONG_LIFE_SECONDS = 2, 2.2
# Phones give up after this.
LONGEST_ANSWER_SECONDS = 30.0
# What a refusal may be while the database is away: not now, or the first try with this key is under way.
REFUSALS = {409, 503}


@pytest.fixture
def own_mongo(tmp_path: Path) -> Iterator[EmbeddedMongo]:
    """A database of this test's own, since it does not stay alive."""
    embedded = EmbeddedMongo.start(tmp_path / "own")
    yield embedded
    embedded.stop()


@pytest.fixture
def settings(own_mongo: EmbeddedMongo, tmp_path: Path) -> Settings:
    return load_settings(
        {
            "MONGODB_URI": own_mongo.uri,
            "DATA_DIR": str(tmp_path),
            "PORT": "0",
            "JWT_SECRET": SECRET,
            **NO_LIMITS,
        }
    )


@dataclass
class Member:
    """Writes without a pause through one of the servers after the other, and keeps what was answered."""

    person: Person
    post_id: int
    apis: tuple[Api, ...]
    written: Written
    random: random.Random
    _texts: Iterator[int] = field(default_factory=itertools.count)

    async def write_until(self, over: asyncio.Event) -> None:
        while not over.is_set():
            await self.random.choice((self._post, self._comment, self._comment, self._react, self._react))()

    async def _send(self, method: str, path: str, body: object = None, key: str | None = None) -> Answer:
        headers = {"Idempotency-Key": key} if key else {}
        api = self.random.choice(self.apis)
        began = time.monotonic()
        answer = await api.send(
            method, path, body, token=self.person.token, headers=headers, timeout=LONGEST_ANSWER_SECONDS
        )
        self.written.slowest_seconds = max(self.written.slowest_seconds, time.monotonic() - began)
        self.written.answers[answer.status] += 1
        assert answer.status < 300 or answer.status in REFUSALS, (answer.status, answer.body)
        assert answer.status != 503 or int(answer.headers["Retry-After"]) > 0
        return answer

    async def _create(self, path: str) -> tuple[str, Answer]:
        """Send something to be created, and again under the same key while the database is away."""
        text = f"{self.person.id} {next(self._texts)}"
        key = secrets.token_hex(8)
        while True:
            answer = await self._send("POST", path, {"content": text}, key)
            if answer.status != 503:
                return text, answer

    async def _post(self) -> None:
        text, answer = await self._create(FEED)
        if answer.status == 201:
            self.written.posts[text] = True

    async def _comment(self) -> None:
        path = f"{FEED}{self.post_id}/comments/"
        text, answer = await self._create(path)
        if answer.status != 201:
            return
        self.written.comments[text] = True
        if self.random.random() < 0.3:
            del self.written.comments[text]
            deleted = await self._send("DELETE", f"{path}{answer.json['id']}/")
            if deleted.status == 204:
                self.written.comments[text] = False

    async def _react(self) -> None:
        kind = self.random.choice(TYPES)
        reaction = (self.person.id, self.post_id, kind)
        self.written.reactions.pop(reaction, None)
        answer = await self._send("POST", f"{FEED}{self.post_id}/react/", {"reaction_type": kind})
        if answer.status == 200:
            self.written.reactions[reaction] = answer.json["active"]


async def kill_again_and_again(mongo: EmbeddedMongo, written: Written, choice: random.Random) -> None:
    """Kill the database at some write of each of its lives."""
    born_at = 0.0
    for number in range(ROUNDS):
        is_short = number % (SHORT_LIVES + 1) < SHORT_LIVES
        await written.more(choice.choice(WRITES_A_ROUND))
        await until(partial(is_past, 0.0 if is_short else born_at + LONG_LIFE_SECONDS))
        pid = mongo.pid
        os.kill(pid, signal.SIGKILL)
        await until(partial(is_another, mongo, pid), what="another life")
        born_at = time.monotonic()
    await written.more(WRITES_A_ROUND.stop)


def is_past(monotonic_seconds: float) -> bool:
    return time.monotonic() >= monotonic_seconds


def is_another(mongo: EmbeddedMongo, pid: int) -> bool:
    return mongo.pid != pid


@pytest.fixture
async def apis(
    own_mongo: EmbeddedMongo, processes: Processes, http_client: AsyncHTTPClient
) -> tuple[Api, ...]:
    """Two servers on that database."""
    started = [processes.start(MONGODB_URI=own_mongo.uri, JWT_SECRET=SECRET) for _ in range(2)]
    return tuple([Api((await each.listening()).base_url, http_client) for each in started])


@pytest.fixture
async def members(groups: Groups, apis: tuple[Api, ...]) -> list[Member]:
    """Two groups of three, who know nothing of their database's life."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    written = Written()
    found = []
    for number in range(2):
        people = await groups.group(2)
        post_id = (await people[0].write(f"Before {number}"))["id"]
        found += [
            Member(person, post_id, apis, written, random.Random(seed + len(found))) for person in people
        ]
    return found


@pytest.mark.long
async def test_acknowledged_writes_are_there_when_the_database_was_killed_under_load(
    own_mongo: EmbeddedMongo, members: list[Member], deps: Deps, processes: Processes
) -> None:
    over = asyncio.Event()
    written, choice = members[0].written, members[0].random
    writing = [asyncio.create_task(member.write_until(over)) for member in members]
    killing = asyncio.create_task(kill_again_and_again(own_mongo, written, choice))
    await asyncio.wait([killing, *writing], return_when=asyncio.FIRST_COMPLETED)
    over.set()
    if not killing.done():
        killing.cancel("a member was answered what nobody should be")
    ends = await asyncio.gather(killing, *writing, return_exceptions=True)
    print(f"{dict(written.answers)}, the slowest after {written.slowest_seconds:.1f} s")
    errors = [error for server in processes.started for error in server.errors()]
    assert not errors, "\n".join(errors)
    assert ends == [None] * len(ends)
    assert not any(server.has_ended for server in processes.started)
    assert not await differences(deps.store, written)
    assert not await contradictions(deps.store)
    assert not await deps.store.recount.gaps()
