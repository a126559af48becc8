"""What a slow or hostile client of the live feed gets, through real sockets; broken frames are in the conformance."""

import asyncio
import contextlib
import io
import logging
from collections.abc import AsyncIterator

import orjson
import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from config import log as logs
from config.deps import Deps
from handlers.feed_socket import FeedSocketHandler
from handlers.websocket import CONTINUATION, PING, PONG, TEXT
from tests.realtime.fakes import until
from tests.support.client import Api
from tests.support.clock import FakeClock
from tests.support.groups import Groups
from tests.support.raw_socket import dial, dial_feed, frame
from tests.support.sockets import PATH, open_feed

PROBE, PROVED = frame(PING, b"still there?"), (PONG, b"still there?")
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.mark.parametrize(
    "flood",
    [
        frame(PING, b"p") * 31,
        frame(PONG) * 31,
        frame(TEXT, b"t") * 31,
        frame(TEXT, final=False) + frame(CONTINUATION, final=False) * 30,
        (frame(PING) + frame(TEXT)) * 16,
    ],
    ids=["pings", "pongs", "texts", "empty fragments", "pings and texts"],
)
async def test_s29_socket_is_closed_when_frames_of_any_kind_are_too_many(
    groups: Groups, base_url: str, flood: bytes
) -> None:
    trainer = await groups.trainer()
    async with dial_feed(base_url, trainer.token) as client:
        await client.send(flood)
        assert await client.closed() == 1008


async def test_socket_stays_when_frames_are_few_for_a_minute(
    groups: Groups, base_url: str, clock: FakeClock
) -> None:
    trainer = await groups.trainer()
    async with dial_feed(base_url, trainer.token) as client:
        await client.send(frame(TEXT, b"hello") * 29 + PROBE)
        assert await client.next() == PROVED
        clock.advance(60.1)
        await client.send(frame(TEXT, b"hello") * 29 + PROBE)
        while (found := await client.next()) != PROVED:
            assert found is not None, "closed"
            assert found[0] in {TEXT, PING}, "a heartbeat became due, and nothing else"


async def test_s29_socket_is_closed_1013_when_the_instance_is_full(
    groups: Groups, base_url: str, deps: Deps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.hub.MAX_CONNECTIONS", 2)
    trainer, trainee = await groups.group(1)
    async with open_feed(base_url, trainer.token) as first, open_feed(base_url, trainee.token) as second:
        await first.next()
        await second.next()
        async with open_feed(base_url, trainee.token) as third:
            assert (await third.closed())[0] == 1013
        post = await trainer.write("For those who are in")
        assert (await first.until("new_post"))["post"]["id"] == post["id"]
        assert (await second.until("new_post"))["post"]["id"] == post["id"]
    await until(lambda: deps.realtime.connection_count == 0)
    async with open_feed(base_url, trainee.token) as again:
        assert (await again.next())["type"] == "connected"


@pytest.fixture
async def hasty_url(deps: Deps) -> AsyncIterator[str]:
    """Where the feed is that gives up on a room after a twentieth of a second."""
    options = {"deps": deps, "join_seconds": 0.05}
    server = HTTPServer(Application([(PATH, FeedSocketHandler, options)]))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    yield f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
    server.stop()
    await server.close_all_connections()


@pytest.mark.parametrize("what_hangs", ["realtime.hub.Hub.join", "handlers.feed_socket.authenticate"])
async def test_s31_socket_is_closed_1013_when_it_is_not_in_its_room_in_time(
    groups: Groups, hasty_url: str, deps: Deps, monkeypatch: pytest.MonkeyPatch, what_hangs: str
) -> None:
    trainer = await groups.trainer()

    async def hang(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(what_hangs, hang)
    async with open_feed(hasty_url, trainer.token) as feed:
        assert await feed.closed() == (1013, "timeout")
        assert feed.frames == []
    await until(lambda: deps.realtime.connection_count == 0)


@pytest.mark.parametrize("query", ["token=%ff", "token=%00", "token=a&token=%e2%82", "token="])
async def test_socket_is_closed_4001_when_the_token_is_no_text(base_url: str, query: str) -> None:
    async with dial(base_url, target=f"{PATH}?{query}") as client:
        assert await client.closed() == 4001


async def test_member_is_told_to_reload_when_the_position_is_no_text(groups: Groups, base_url: str) -> None:
    trainer = await groups.trainer()
    async with dial(base_url, target=f"{PATH}?token={trainer.token}&since=%ff") as client:
        frames = [await client.next() for _ in range(2)]
    assert [orjson.loads(payload)["type"] for _, payload in frames] == ["connected", "resync"]


async def test_s29_socket_that_floods_after_its_refusal_is_cut_off(base_url: str, deps: Deps) -> None:
    async with dial(base_url, target=f"{PATH}?token=nonsense") as client:
        await client.send(frame(TEXT, b"let me in") * 1000)
        assert await client.closed() in {4001, None}
    assert deps.realtime.connection_count == 0


@pytest.mark.parametrize(
    ("missing", "status"),
    [("Upgrade", 400), ("Connection", 400), ("Sec-WebSocket-Version", 426), ("Sec-WebSocket-Key", 426)],
)
async def test_s35_half_an_upgrade_is_refused_in_the_contracts_shape(
    http_client, base_url: str, missing: str, status: int
) -> None:
    headers = {name: value for name, value in UPGRADE.items() if name != missing}
    answer = await http_client.fetch(base_url + PATH, headers=headers, raise_error=False)
    assert answer.code == status
    assert orjson.loads(answer.body)["code"] == "upgrade_required"
    assert answer.headers["X-Request-ID"]
    assert answer.headers.get("Sec-WebSocket-Version") == ("13" if status == 426 else None)


async def test_s35_version_that_is_not_spoken_is_refused_with_the_one_that_is(
    http_client, base_url: str
) -> None:
    headers = {**UPGRADE, "Sec-WebSocket-Version": "8"}
    answer = await http_client.fetch(base_url + PATH, headers=headers, raise_error=False)
    assert (answer.code, answer.headers["Sec-WebSocket-Version"]) == (426, "13")


@contextlib.contextmanager
def written_lines(fmt):
    """Everything that is logged, as it is written out."""
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(fmt)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield lines
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.mark.parametrize("fmt", [logs.TextLine(), logs.JsonLine()], ids=["text", "json"])
async def test_s28_token_of_a_refused_upgrade_is_in_no_log(
    groups: Groups, api: Api, base_url: str, fmt: logging.Formatter
) -> None:
    trainer = await groups.trainer()
    query = f"?token={trainer.token}"
    host = base_url.removeprefix("http://")
    head = f"Host: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    requests = [
        f"GET {PATH}{query} HTTP/1.1\r\n{head}\r\n",
        f"GET {PATH}{query} HTTP/1.1\r\nHost: {host}\r\n\r\n",
        f"GET {PATH}{query} HTTP/1.1\r\n{head}{key}Origin: https://evil.example\r\n\r\n",
        f"POST {PATH}{query} HTTP/1.1\r\n{head}{key}Content-Length: 0\r\n\r\n",
        f"GET {PATH}{query}&since=%ff HTTP/1.1\r\n{head.replace('13', '12')}{key}\r\n",
        f"GET /ws/community/nothing/{query} HTTP/1.1\r\n{head}{key}\r\n",
        f"GET {PATH}{query} HTTP/3.7\r\n{head}{key}\r\n",
        f"GET {PATH} {query} HTTP/1.1\r\n{head}{key}\r\n",
        f"GET {PATH}?token= {trainer.token}\r\n{head}{key}\r\n",
        f"GET {PATH}{query} HTTP/1.1\r\nHost: a b\r\n{key}\r\n",
        f"GET {PATH} HTTP/1.1\r\n{head}{key}Authorization: Bearer {trainer.token}\x01\r\n\r\n",
        f"GET {PATH} HTTP/1.1\r\n{head}{key}Sec-WebSocket-Protocol: bearer.{trainer.token}\x01\r\n\r\n",
        f"GET {PATH} HTTP/1.1\r\nHost: {trainer.token}/\r\n{key}\r\n",
        f"GET {PATH}{query} HTTP/1.1\r\n{head}Content-Length: {trainer.token}\r\n\r\n",
    ]
    with written_lines(fmt) as lines:
        for request in requests:
            reader, writer = await asyncio.open_connection(*host.split(":"))
            writer.write(request.encode())
            answer = await asyncio.wait_for(reader.read(100), 10)
            assert answer.startswith(b"HTTP/1.1 4"), request
            writer.close()
    written = lines.getvalue()
    assert f"GET {PATH} 4" in written, "the refusals are logged"
    assert trainer.token not in written
    for part in trainer.token.split(".")[1:]:
        assert part not in written
