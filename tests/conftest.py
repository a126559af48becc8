"""What tests share: real databases, the real application on a free port, and clients for it.

The names `app`, `http_server`, `http_client`, `base_url` and the mark `gen_test` are those of pytest-tornado,
whose package no longer imports with a current setuptools; pytest-asyncio runs the loop.
"""

import asyncio
import dataclasses
import logging
import os
import secrets
import shutil
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import hypothesis
import pytest
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.simple_httpclient import SimpleAsyncHTTPClient
from tornado.web import Application

from community.passwords import Hashing
from config.deps import Deps
from config.settings import Settings, load_settings
from handlers.routes import make_app
from push.outbox import Outbox
from server import open_deps
from store.embedded import EmbeddedMongo
from tests.support.client import Api
from tests.support.clock import FakeClock
from tests.support.groups import Groups
from tests.support.limits import NO_LIMITS
from tests.support.mail import Mailbox
from tests.support.redis_server import RedisServer
from tests.support.serving import serving

# How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("cohort", deadline=None)
hypothesis.settings.load_profile("cohort")


# All files of a whole run take a tenth of this.
MEMORY_BYTES = 4 << 30


def pytest_configure() -> None:
    """Keep all files in memory where the system has a roomy folder for that: databases wait for their journals."""
    memory = Path("/dev/shm")  # noqa: S108 - pytest makes a folder of our own in it
    if "TMPDIR" not in os.environ and memory.is_dir() and shutil.disk_usage(memory).free > MEMORY_BYTES:
        os.environ["TMPDIR"] = tempfile.tempdir = str(memory)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long ones, in whatever order they were shuffled into: nobody waits for them at the end."""
    items.sort(key=lambda item: (not item.get_closest_marker("long"), "/e2e/" not in item.nodeid))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Do not trace the long ones for coverage, which doubles their time: what they walk through has its own tests.

    pytest-cov's `no_cover` would do, but in a worker there are two collectors and it stops only one.
    """
    trace, trace_of_threads = sys.gettrace(), threading.gettrace()
    if item.get_closest_marker("long"):
        sys.settrace(None)
        threading.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(trace)
        threading.settrace(trace_of_threads)


@pytest.fixture(scope="session")
def mongo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedMongo]:
    """One real MongoDB for this worker's whole session."""
    embedded = EmbeddedMongo.start(tmp_path_factory.mktemp("mongo"))
    yield embedded
    embedded.stop()


@pytest.fixture(scope="session")
def mongo_uri(mongo: EmbeddedMongo) -> str:
    """The database that this worker's tests share: each makes its own people and groups in it."""
    return mongo.uri


@pytest.fixture
def own_mongo_uri(mongo_uri: str) -> str:
    """A database of this test's own, for what looks at all of it."""
    return mongo_uri.replace("/cohort", f"/test_{secrets.token_hex(6)}")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One real Redis-compatible server for this worker's whole session, for tests that leave it running."""
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_url(redis_server: RedisServer) -> str:
    """The Redis that this worker's tests share: each uses keys and channels of its own people and groups."""
    return redis_server.uri


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of this test's own: it may die, and no other test has said or counted anything in it."""
    server = RedisServer(tmp_path).start()
    yield server
    server.stop()


@pytest.fixture
def clock() -> FakeClock:
    """Stands still at the time the test started, until the test moves it."""
    return FakeClock(datetime.now(UTC))


@pytest.fixture
def settings(mongo_uri: str, tmp_path: Path) -> Settings:
    return load_settings(
        {"MONGODB_URI": mongo_uri, "DATA_DIR": str(tmp_path), "PORT": "0", "JWT_SECRET": SECRET, **NO_LIMITS}
    )


SECRET = "a secret of the tests of 32 bytes or more"


@pytest.fixture
def mailbox() -> Mailbox:
    """Every letter that was sent in this test."""
    return Mailbox()


@pytest.fixture
def hashing() -> Iterator[Hashing]:
    """Hashes that cost a thousandth of real ones."""
    with closing(Hashing(memory_kib=16)) as cheap:
        yield cheap


@pytest.fixture
async def deps(
    settings: Settings, clock: FakeClock, mailbox: Mailbox, hashing: Hashing
) -> AsyncIterator[Deps]:
    """The real dependencies, but for time, mail, and the cost of hashing."""
    async with open_deps(settings, clock=clock, hashing=hashing) as opened:
        outbox = Outbox(mailbox, metrics=opened.metrics)
        await outbox.start()
        yield dataclasses.replace(opened, push=outbox)
        await outbox.drain(5)


@pytest.fixture
async def own_deps(
    settings: Settings, own_mongo_uri: str, clock: FakeClock, hashing: Hashing
) -> AsyncIterator[Deps]:
    """Dependencies on a database that nobody else looks at."""
    own = dataclasses.replace(settings, mongodb_uri=own_mongo_uri)
    async with open_deps(own, clock=clock, hashing=hashing) as opened:
        yield opened
        await opened.store.database.raw.client.drop_database(opened.store.database.raw.name)


@pytest.fixture
def app(deps: Deps) -> Application:
    return make_app(deps)


@pytest.fixture
async def http_server(app: Application) -> AsyncIterator[tuple[HTTPServer, int]]:
    async with serving(app) as server:
        yield server


@pytest.fixture
def base_url(http_server: tuple[HTTPServer, int]) -> str:
    return f"http://127.0.0.1:{http_server[1]}"


@pytest.fixture
def http_client() -> Iterator[AsyncHTTPClient]:
    client = SimpleAsyncHTTPClient(force_instance=True, max_clients=200)
    yield client
    client.close()


@pytest.fixture
def api(base_url: str, http_client: AsyncHTTPClient) -> Api:
    """Speaks to the server and holds every answer against the published contract."""
    return Api(base_url, http_client)


@pytest.fixture
def groups(api: Api, deps: Deps) -> Groups:
    """Makes trainers, trainees and their log-ins."""
    return Groups(api, deps)


@pytest.fixture(autouse=True)
def no_unexpected_errors(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test during which something logged an ERROR that the test did not clear from `caplog`."""
    yield
    errors = [
        record
        for when in ("setup", "call")
        for record in caplog.get_records(when)
        if record.levelno >= logging.ERROR
    ]
    assert not errors, [record.getMessage() for record in errors]


@pytest.fixture
async def loop_is_clean() -> AsyncIterator[None]:
    """Fail a test that leaves tasks behind."""
    before = asyncio.all_tasks()
    yield
    assert not {task for task in asyncio.all_tasks() - before if not task.done()}
