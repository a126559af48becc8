"""`kill -9` of the server at every point of a request: all of it happened or nothing, and every count is right.

The server is killed before each of the request's writes in turn until the request has none left, then while
the last ones are under way, then after them; after each death the whole database is held against itself.
"""

import asyncio
import dataclasses
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tornado.httpclient import AsyncHTTPClient
from tornado.simple_httpclient import HTTPStreamClosedError

from config.deps import Deps
from config.settings import Settings, load_settings
from store.idempotency import CLAIM_FOR
from tests.conftest import SECRET
from tests.e2e.wholeness import contradictions
from tests.support.client import Answer, Api
from tests.support.clock import FakeClock
from tests.support.crashing_server import AFTER, BEFORE, HEADER, PROGRAM, SENT
from tests.support.groups import PASSWORD, Groups, Person
from tests.support.limits import NO_LIMITS
from tests.support.processes import ServerProcess, processes_in

# What is tested runs in a process of its own.
pytestmark = pytest.mark.long

FEED = "/api/community/feed/"
USERS = "/api/auth/users/"
# One of them is the commit, or keeping the answer: whether it came through is not known to who sent it.
LAST_WRITES = 2


@pytest.fixture(scope="module")
def apart_uri(mongo_uri: str) -> str:
    """A database for the tests of this module alone: they look at all of it."""
    return mongo_uri.replace("/cohort", f"/test_{secrets.token_hex(6)}")


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory, apart_uri: str) -> Iterator[ServerProcess]:
    """A server on that database, which dies where a request wishes and is there again at once."""
    with processes_in(tmp_path_factory.mktemp("mortal")) as processes:
        started = processes.start(program=PROGRAM, MONGODB_URI=apart_uri, JWT_SECRET=SECRET)
        yield asyncio.run(started.listening())


@pytest.fixture
def settings(apart_uri: str, tmp_path: Path) -> Settings:
    """Those of the tests' own server, which works on the same database and lives."""
    return load_settings(
        {"MONGODB_URI": apart_uri, "DATA_DIR": str(tmp_path), "PORT": "0", "JWT_SECRET": SECRET, **NO_LIMITS}
    )


@dataclass(kw_only=True)
class Request:
    """One request, ready to be sent by somebody (or nobody), and whether it has happened."""

    by: Person | None = None
    method: str = "POST"
    path: str
    body: Mapping[str, object] | None = None
    key: str | None = None
    # Gives whether the request was carried out; fails where it was by halves, or twice.
    happened: Callable[[], Awaitable[bool]]
    headers: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.headers = {} if self.key is None else {"Idempotency-Key": self.key}

    async def send(self, api: Api, **headers: str) -> Answer:
        return await api.send(
            self.method,
            self.path,
            self.body,
            token=self.by.token if self.by else None,
            headers={**self.headers, **headers},
        )


@dataclass
class Scene:
    """Makes what a request needs, each time anew: what a killed server had locked is not met again."""

    groups: Groups
    deps: Deps

    async def count(self, table: str, where: Mapping[str, object]) -> int:
        return await self.deps.store.database.raw[table].count_documents(where)

    def exists(self, table: str, **where: object) -> Callable[[], Awaitable[bool]]:
        async def happened() -> bool:
            count = await self.count(table, where)
            assert count <= 1, f"{count} times"
            return count == 1

        return happened

    def is_gone(self, table: str, **where: object) -> Callable[[], Awaitable[bool]]:
        async def happened() -> bool:
            return await self.count(table, where) == 0

        return happened

    async def old_hand(self) -> Person:
        """A trainer who has posted and commented before, so that it is no achievement any more."""
        trainer = await self.groups.trainer()
        post = await trainer.write()
        await trainer.comment(post["id"])
        await trainer.delete(f"{FEED}{post['id']}/")
        return trainer

    async def write_first_post(self) -> Request:
        """The award comes after it: whoever dies in between leaves it to the next start."""
        trainer = await self.groups.trainer()
        happened = self.exists("posts", community_id=trainer.id)
        return Request(by=trainer, path=FEED, body={"content": "First."}, happened=happened)

    async def write_post(self, key: str | None = None) -> Request:
        trainer = await self.old_hand()
        happened = self.exists("posts", community_id=trainer.id)
        return Request(by=trainer, path=FEED, body={"content": "Once."}, key=key, happened=happened)

    async def write_post_with_a_key(self) -> Request:
        return await self.write_post(secrets.token_hex(8))

    async def comment(self, key: str | None = None) -> Request:
        trainer = await self.old_hand()
        post_id = (await trainer.write())["id"]
        happened = self.exists("comments", post_id=post_id)
        path = f"{FEED}{post_id}/comments/"
        return Request(by=trainer, path=path, body={"content": "Once."}, key=key, happened=happened)

    async def comment_with_a_key(self) -> Request:
        return await self.comment(secrets.token_hex(8))

    async def delete_comment(self) -> Request:
        trainer = await self.groups.trainer()
        post_id = (await trainer.write())["id"]
        comment_id = (await trainer.comment(post_id))["id"]
        path = f"{FEED}{post_id}/comments/{comment_id}/"
        happened = self.is_gone("comments", _id=comment_id)
        return Request(by=trainer, method="DELETE", path=path, happened=happened)

    async def react(self) -> Request:
        trainer = await self.groups.trainer()
        post_id = (await trainer.write())["id"]
        happened = self.exists("reactions", post_id=post_id)
        path = f"{FEED}{post_id}/react/"
        return Request(by=trainer, path=path, body={"reaction_type": "heart"}, happened=happened)

    async def take_a_reaction_back(self) -> Request:
        request = await self.react()
        assert (await request.send(self.groups.api)).status == 200
        added = request.happened

        async def happened() -> bool:
            return not await added()

        return dataclasses.replace(request, happened=happened)

    async def delete_post(self) -> Request:
        """With a comment and a reaction."""
        trainer = await self.groups.trainer()
        post_id = (await trainer.write())["id"]
        await trainer.comment(post_id)
        await trainer.react(post_id)
        happened = self.is_gone("posts", _id=post_id)
        return Request(by=trainer, method="DELETE", path=f"{FEED}{post_id}/", happened=happened)

    async def register_trainer(self, key: str | None = None) -> Request:
        body = {**somebody(), "role": "TRAINER"}
        happened = self.exists("users", email=body["email"])
        return Request(path=USERS, body=body, key=key, happened=happened)

    async def register_trainer_with_a_key(self) -> Request:
        return await self.register_trainer(secrets.token_hex(8))

    async def register_by_invite(self, key: str | None = None) -> Request:
        trainer = await self.groups.trainer()
        invite = (await trainer.post("/api/trainer/invites/", {"max_uses": 1})).json
        body = {**somebody(), "role": "TRAINEE", "invite_code": invite["code"]}

        async def happened() -> bool:
            joined = await self.count("users", {"email": body["email"], "parent_trainer": trainer.id})
            stored = await self.deps.store.database.raw["invites"].find_one({"_id": invite["id"]})
            assert stored is not None
            assert stored["uses"] == joined, "an invite is used up by who joins"
            return joined == 1

        return Request(path=USERS, body=body, key=key, happened=happened)

    async def register_by_invite_with_a_key(self) -> Request:
        return await self.register_by_invite(secrets.token_hex(8))

    async def invite_with_a_key(self) -> Request:
        trainer = await self.groups.trainer()
        happened = self.exists("invites", trainer_id=trainer.id)
        return Request(
            by=trainer, path="/api/trainer/invites/", body={}, key=secrets.token_hex(8), happened=happened
        )

    async def delete_account(self) -> Request:
        """Of a trainer with a trainee, whose group dissolves."""
        trainer, _ = await self.groups.group(1)
        happened = self.exists("users", _id=trainer.id, is_active=False)
        return Request(
            by=trainer,
            method="DELETE",
            path=f"{USERS}me/",
            body={"current_password": PASSWORD},
            happened=happened,
        )


SCENES: Mapping[str, Callable[[Scene], Awaitable[Request]]] = {
    "first post is written": Scene.write_first_post,
    "post is written": Scene.write_post,
    "comment is written": Scene.comment,
    "comment is deleted": Scene.delete_comment,
    "reaction is added": Scene.react,
    "reaction is taken back": Scene.take_a_reaction_back,
    "post is deleted": Scene.delete_post,
    "trainer registers": Scene.register_trainer,
    "trainee joins by invite": Scene.register_by_invite,
    "account is deleted": Scene.delete_account,
}
WITH_A_KEY: Mapping[str, Callable[[Scene], Awaitable[Request]]] = {
    "post": Scene.write_post_with_a_key,
    "comment": Scene.comment_with_a_key,
    "invite": Scene.invite_with_a_key,
    "trainer": Scene.register_trainer_with_a_key,
    "trainee": Scene.register_by_invite_with_a_key,
}


def somebody() -> dict[str, object]:
    email = f"{secrets.token_hex(6)}@example.org"
    return {"email": email, "password": PASSWORD, "first_name": "Some", "last_name": "Body"}


@dataclass
class Killer:
    """Sends requests to the server that dies by them, and looks at what each death left."""

    scene: Scene
    api: Api
    make: Callable[[Scene], Awaitable[Request]]
    interrupted: list[Request] = field(default_factory=list)

    async def kill_everywhere(self) -> dict[str, bool]:
        """Kill around each write until a request gets by; what happened of it, by where the server died."""
        outcomes: dict[str, bool] = {}
        writes = 0
        while not await self._survives(f"{BEFORE} {writes + 1}", outcomes):
            writes += 1
        assert writes >= LAST_WRITES
        for number in range(writes, writes - LAST_WRITES, -1):
            assert not await self._survives(f"{SENT} {number}", outcomes)
        assert not await self._survives(f"{AFTER} {writes}", outcomes)
        return outcomes

    async def _survives(self, where: str, outcomes: dict[str, bool]) -> bool:
        """Send one request, which dies there if it comes there; gives whether it was answered."""
        request = await self.make(self.scene)
        assert not await request.happened()
        try:
            answer = await request.send(self.api, **{HEADER: where})
        except HTTPStreamClosedError:
            outcomes[where] = await request.happened()
            self.interrupted.append(request)
        else:
            assert answer.status in {200, 201, 204}, (where, answer.body)
            assert await request.happened()
        wrong = await contradictions(self.scene.deps.store)
        assert not wrong, f"after a death {where}: {wrong}"
        return where not in outcomes


@pytest.fixture
def killer(
    request: pytest.FixtureRequest,
    groups: Groups,
    deps: Deps,
    mortal: ServerProcess,
    http_client: AsyncHTTPClient,
) -> Killer:
    return Killer(Scene(groups, deps), Api(mortal.base_url, http_client), request.param)


@pytest.mark.parametrize("killer", SCENES.values(), ids=SCENES.keys(), indirect=True)
async def test_request_is_done_whole_or_not_at_all_when_the_server_is_killed(
    killer: Killer, deps: Deps
) -> None:
    outcomes = await killer.kill_everywhere()
    moments = list(outcomes)
    assert not outcomes[moments[0]], "done before its first write"
    assert outcomes[moments[-1]], "not done after its last"
    known = [happened for where, happened in outcomes.items() if not where.startswith(SENT)]
    assert known == sorted(known), "done, and undone by a later write"
    assert not await deps.store.recount.gaps()


@pytest.mark.parametrize("killer", WITH_A_KEY.values(), ids=WITH_A_KEY.keys(), indirect=True)
async def test_request_with_a_key_is_done_once_when_sent_again_after_a_kill(
    killer: Killer, clock: FakeClock, api: Api, deps: Deps
) -> None:
    await killer.kill_everywhere()
    # The next server is there: its start would be interrupted, too.
    assert (await killer.api.get("/readyz")).status == 200
    # A minute later the claims are over, and so are the transactions that were left open.
    clock.jump(datetime.now(UTC) + CLAIM_FOR)
    await deps.store.database.raw.client.admin.command("killAllSessions", [])
    answers = await asyncio.gather(*(request.send(api) for request in killer.interrupted))
    assert {answer.status for answer in answers} == {201}, [answer.body for answer in answers]
    for request in killer.interrupted:
        assert await request.happened()
    again = [await request.send(api) for request in killer.interrupted]
    assert [answer.json["id"] for answer in again] == [answer.json["id"] for answer in answers]
    assert not await contradictions(deps.store)
