"""Pushes and the life of a server process: what it had accepted when it was killed, and when it was told to end.

Death between any two lines of the sending is in `tests.community.test_phones_crash`.
"""

import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tornado.httpclient import AsyncHTTPClient

from config.clock import SystemClock
from push.phones import TO_ONE, WORKERS
from store.notices import IS_NOTICE
from store.store import Store, open_store
from tests.support.client import Api
from tests.support.fcm_double import HANGING, TAKEN, FcmDouble, fcm_double
from tests.support.phones import left
from tests.support.population import JWT_SECRET, Group, make_group
from tests.support.processes import Processes, ServerProcess, until

TOKENS = {"one phone", "another phone"}
# Those that keep every worker busy while FCM does not answer, and those that nobody takes up meanwhile.
BUSY, WAITING = WORKERS[TO_ONE], 2


@pytest.fixture
async def store(own_mongo_uri: str) -> AsyncIterator[Store]:
    async with open_store(own_mongo_uri, SystemClock()) as opened:
        yield opened
        await opened.database.raw.client.drop_database(opened.database.raw.name)


@pytest.fixture
def double() -> Iterator[FcmDouble]:
    with fcm_double() as started:
        yield started


@dataclass
class Ringing:
    """A trainer who comments on the posts of somebody with two phones, on servers that send by the double."""

    group: Group
    double: FcmDouble
    processes: Processes
    http: AsyncHTTPClient
    env: dict[str, str]

    async def serve(self) -> ServerProcess:
        return await self.processes.start(**self.env).listening()

    async def comment_on_all(self, server: ServerProcess) -> None:
        """Until each worker waits for FCM one after the other, then on the rest."""
        token = self.group.trainer.token()
        for number, post_id in enumerate(self.group.post_ids, 1):
            path = f"/api/community/feed/{post_id}/comments/"
            said = await Api(server.base_url, self.http).post(path, {"content": "Well done!"}, token=token)
            assert said.status == 201
            handed_over = min(number, BUSY) * len(TOKENS)
            await until(lambda most=handed_over: len(self.double.messages) == most, what="a push")

    def rang(self) -> Counter[tuple[str, str]]:
        """How often FCM was handed a push for each device and post."""
        return Counter((each["token"], each["data"]["post_id"]) for each in self.double.messages)

    def once_each(self) -> Counter[tuple[str, str]]:
        return Counter((token, str(post_id)) for token in TOKENS for post_id in self.group.post_ids)


@pytest.fixture
def env(double: FcmDouble, own_mongo_uri: str, tmp_path: Path) -> dict[str, str]:
    """Settings of a server that sends by the double."""
    return {
        "MONGODB_URI": own_mongo_uri,
        "JWT_SECRET": JWT_SECRET,
        "FIREBASE_CREDENTIALS_PATH": str(double.account(tmp_path)),
        "FCM_API_BASE": double.base_url,
    }


@pytest.fixture
async def ringing(
    store: Store, double: FcmDouble, processes: Processes, http_client: AsyncHTTPClient, env: dict[str, str]
) -> Ringing:
    group = await make_group(store, "ringing", trainees=1, posts=BUSY + WAITING, with_reactions=False)
    for token in TOKENS:
        await store.device_tokens.register(group.trainees[0].user_id, token=token, platform="ios")
    return Ringing(group, double, processes, http_client, env)


async def test_each_push_is_handed_over_once_when_the_server_is_killed_before_it_sent_all(
    ringing: Ringing, store: Store
) -> None:
    ringing.double.default = HANGING
    killed = await ringing.serve()
    await ringing.comment_on_all(killed)
    killed.kill()
    await killed.ended()
    ringing.double.default = TAKEN
    # The two minutes of its claims are over.
    await store.database.table("events").update_many(dict(IS_NOTICE), {"$set": {"due_at": datetime.now(UTC)}})
    server = await ringing.serve()
    dropped, own = BUSY * len(TOKENS), ringing.once_each()
    await until(lambda: len(ringing.double.messages) >= own.total(), what="the rest")
    await until(lambda: server.log.count("when an instance died") >= BUSY, what="an account of the others")
    page = (await Api(server.base_url, ringing.http).get("/metrics")).body.decode()
    assert re.findall(r'^cohort_pushes_total{result="dropped"} (\S+)$', page, re.MULTILINE) == [
        f"{dropped}.0"
    ]
    server.terminate()
    assert await server.ended() == 0
    assert ringing.rang() == own
    assert not await left(store)


async def test_what_was_accepted_is_sent_when_the_server_is_told_to_end(
    ringing: Ringing, store: Store
) -> None:
    ringing.double.opened.clear()
    server = await ringing.serve()
    await ringing.comment_on_all(server)
    server.terminate()
    await until(lambda: "draining" in server.log, what="the end's beginning")
    assert len(ringing.double.messages) == BUSY * len(TOKENS)
    ringing.double.opened.set()
    assert await server.ended() == 0
    assert ringing.rang() == ringing.once_each()
    assert not await left(store)
    assert "dropped" not in server.log
