"""The life of a server process: its start and what stops it, its end by each signal, and what is left of it.

What it serves in between is tested elsewhere.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from tornado.httpclient import AsyncHTTPClient

from store.embedded import running_uri
from store.embedded_process import birth
from tests.conftest import SECRET
from tests.support.client import Api
from tests.support.groups import Groups, Person
from tests.support.processes import POLL_SECONDS, Processes, ServerProcess, embedded_process, until
from tests.support.sockets import Feed, open_feed

# More than are accepted in one go.
WAITING = 400
STOPS: dict[str, Callable[[ServerProcess], None]] = {
    "SIGTERM": ServerProcess.terminate,
    "Ctrl-C": ServerProcess.interrupt,
}


@pytest.fixture
def trainer_on(http_client: AsyncHTTPClient) -> Callable[[ServerProcess], Awaitable[Person]]:
    """Registers somebody with a group of their own on a server, and logs them in."""

    async def register(server: ServerProcess) -> Person:
        return await Groups(Api(server.base_url, http_client), None).trainer()

    return register


def is_open(base_url: str) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        port = int(base_url.rpartition(":")[2])
        return probe.connect_ex(("127.0.0.1", port)) == 0


@asynccontextmanager
async def held_up(uri: str, room: int) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Lock a room, so that who writes to it has to wait; gives a wait for that somebody does."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(uri)

    async def conflicts() -> int:
        status = await client.admin.command("serverStatus")
        return int(status["transactions"]["totalAborted"])

    async with client, client.start_session() as session:
        # Longer than the server waits for the room, so that the test alone lets go of it.
        await client.admin.command("setParameter", 1, transactionLifetimeLimitSeconds=60)
        await session.start_transaction()
        await client["cohort"]["communities"].update_one(
            {"_id": room}, {"$set": {"held": 1}}, session=session
        )
        before = await conflicts()

        async def somebody_waits() -> None:
            deadline = asyncio.get_running_loop().time() + 9
            while await conflicts() == before:
                assert asyncio.get_running_loop().time() < deadline, "nobody waits for the room"
                await asyncio.sleep(POLL_SECONDS)

        yield somebody_waits
        await session.abort_transaction()


@pytest.mark.parametrize("stop", STOPS.values(), ids=STOPS.keys())
async def test_server_ends_in_order_when_told_to(
    processes: Processes,
    trainer_on: Callable[[ServerProcess], Awaitable[Person]],
    stop: Callable[[ServerProcess], None],
) -> None:
    server = await processes.start(JWT_SECRET=SECRET).listening()
    assert re.fullmatch(r"listening on http://127\.0\.0\.1:\d+\n", server.out)
    pid, born = embedded_process(processes.data_dir())
    assert birth(pid) == born
    trainer = await trainer_on(server)
    uri = running_uri(processes.data_dir())
    assert uri is not None
    async with open_feed(server.base_url, trainer.token) as feed:
        await feed.next()
        async with held_up(uri, trainer.id) as somebody_waits:
            writing = asyncio.create_task(trainer.write("In flight"))
            await somebody_waits()
            stop(server)
            await until(lambda: not is_open(server.base_url), what="a closed door")
            assert not writing.done()
        assert await writing == (await feed.until("new_post"))["post"]
        await assert_told_to_come_back(feed)
    assert await server.ended() == 0
    assert birth(pid) != born, "the database outlived its server"
    assert not server.errors()


async def test_server_goes_on_serving_while_it_gives_notice(
    processes: Processes,
    trainer_on: Callable[[ServerProcess], Awaitable[Person]],
    own_mongo_uri: str,
    http_client: AsyncHTTPClient,
) -> None:
    # Longer than the test: who gives notice does not end by itself meanwhile.
    settings = {"MONGODB_URI": own_mongo_uri, "DRAIN_NOTICE": "300", "OPERATIONS_PORT": "0"}
    server = await processes.start(**settings).listening()
    trainer = await trainer_on(server)
    async with open_feed(server.base_url, trainer.token) as feed:
        await feed.next()
        server.terminate()
        await until(lambda: "draining" in server.log, what="the notice")
        assert (await trainer.api.get("/readyz")).status == 503
        inside = re.findall(r"^operations on (http://127\.0\.0\.1:\d+)$", server.out, re.MULTILINE)
        ready = await Api(*inside, http_client).get("/readyz")
        assert ready.json == {"status": "unavailable", "missing": ["draining"]}
        post = await trainer.write()
        assert (await feed.next())["post"] == post
        async with open_feed(server.base_url, trainer.token) as late:
            await assert_told_to_come_back(late)
    assert not server.has_ended


async def test_request_is_answered_when_nobody_had_accepted_its_connection(
    processes: Processes, own_mongo_uri: str
) -> None:
    server = await processes.start(MONGODB_URI=own_mongo_uri).listening()
    address = ("127.0.0.1", int(server.base_url.rpartition(":")[2]))
    with contextlib.ExitStack() as stack:
        os.kill(server.pid, signal.SIGSTOP)
        clients = [stack.enter_context(socket.create_connection(address)) for _ in range(WAITING)]
        for client in clients:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: t\r\n\r\n")
        server.terminate()
        os.kill(server.pid, signal.SIGCONT)
        for client in clients:
            client.settimeout(30)
            assert (await asyncio.to_thread(client.recv, 65536)).startswith(b"HTTP/1.1 200 ")
    assert await server.ended() == 0


async def assert_told_to_come_back(feed: Feed) -> None:
    code, reason = await feed.closed()
    assert code == 1001
    assert re.fullmatch(r"retry_after=\d+\.\d", reason)
    assert 0 <= float(reason.partition("=")[2]) <= 10


async def test_what_was_written_is_there_when_the_server_was_killed_and_starts_again(
    processes: Processes,
    trainer_on: Callable[[ServerProcess], Awaitable[Person]],
    http_client: AsyncHTTPClient,
) -> None:
    server = await processes.start().listening()
    trainer = await trainer_on(server)
    before = await trainer.write("Before")
    server.kill()
    assert await server.ended() == -signal.SIGKILL
    server = await processes.start().listening()
    trainer.api = Api(server.base_url, http_client)
    assert await trainer.feed() == [before], "the post, and who is logged in, are there"
    after = await trainer.write("After")
    assert await trainer.feed() == [after, before]


async def test_second_server_is_refused_when_one_uses_the_data_directory(processes: Processes) -> None:
    first = await processes.start().listening()
    second = processes.start()
    assert await second.ended() == 1
    assert second.log.startswith("cannot start: Another server is using the embedded database")
    assert "--data-dir" in second.log
    assert_no_traceback(second)
    assert not first.has_ended


def assert_no_traceback(server: ServerProcess) -> None:
    assert "Traceback" not in server.log
    assert server.out == ""


async def test_every_bad_setting_is_told_at_once(processes: Processes) -> None:
    server = processes.run(PORT="80000", LOG_LEVEL="loud", MONGODB_URI="http://x", JWT_SECRET="short")
    assert await server.ended() == 2
    told = server.log.splitlines()
    assert [line.partition(":")[0] for line in told] == ["PORT", "MONGODB_URI", "JWT_SECRET", "LOG_LEVEL"]
    assert_no_traceback(server)


async def test_production_is_refused_when_it_lacks_what_it_needs(processes: Processes) -> None:
    server = processes.start(ENVIRONMENT="production")
    assert await server.ended() == 2
    told = server.log.splitlines()
    assert [line.partition(":")[0] for line in told] == ["JWT_SECRET", "MONGODB_URI", "PUBLIC_URL"]
    assert_no_traceback(server)


async def test_demo_is_refused_in_production(processes: Processes, own_mongo_uri: str) -> None:
    server = processes.start(
        "--demo",
        ENVIRONMENT="production",
        JWT_SECRET=SECRET,
        MONGODB_URI=own_mongo_uri,
        PUBLIC_URL="https://app.example.org",
    )
    assert await server.ended() == 2
    assert server.log.startswith("--demo: ")
    assert_no_traceback(server)


async def test_help_lists_every_option(processes: Processes) -> None:
    server = processes.run("--help")
    assert await server.ended() == 0
    for option in ("--port", "--address", "--data-dir", "--demo", "--help"):
        assert option in server.out


async def test_unknown_option_is_wrong_use(processes: Processes) -> None:
    server = processes.run("--prot", "8000")
    assert await server.ended() == 2
    assert "--prot" in server.log
    assert_no_traceback(server)


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port on which somebody else listens."""
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        yield stranger.getsockname()[1]


async def test_server_says_so_when_its_port_is_taken(
    processes: Processes, own_mongo_uri: str, taken_port: int
) -> None:
    directory = str(processes.data_dir())
    server = processes.run("--port", str(taken_port), "--data-dir", directory, MONGODB_URI=own_mongo_uri)
    assert await server.ended() == 1
    assert "cannot start: " in server.log
    assert str(taken_port) in server.log
    assert_no_traceback(server)


async def test_server_says_so_when_its_database_cannot_be_reached(
    processes: Processes, taken_port: int
) -> None:
    uri = f"mongodb://127.0.0.1:{taken_port}/cohort"
    server = processes.start(MONGODB_URI=uri)
    assert await server.ended() == 1
    assert server.log.startswith("cannot start: ")
    assert_no_traceback(server)


async def test_option_wins_over_the_environment(
    processes: Processes, own_mongo_uri: str, taken_port: int
) -> None:
    server = await processes.start(PORT=str(taken_port), MONGODB_URI=own_mongo_uri).listening()
    assert not server.base_url.endswith(f":{taken_port}")


async def test_log_is_json_with_the_request_when_it_goes_to_a_file(
    processes: Processes, own_mongo_uri: str, http_client: AsyncHTTPClient
) -> None:
    server = await processes.start(MONGODB_URI=own_mongo_uri).listening()
    answer = await Api(server.base_url, http_client).get("/healthz")
    assert answer.status == 200
    await until(lambda: "/healthz" in server.log)
    lines = [json.loads(line) for line in server.log.splitlines()]
    logged = next(line for line in lines if "/healthz" in line["message"])
    assert logged["request_id"] == answer.headers["X-Request-ID"]
