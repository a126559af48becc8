"""How long a connection may take before it has asked something, and between two requests, and how many are let in at
once; over real sockets.
"""

import asyncio
import gc
import socket
import struct
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

from handlers.bodies import BoundedApplication
from handlers.http_server import ACCEPTED_A_TURN, PunctualServer
from tests.support.processes import until
from tests.support.serving import serving

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
# Long enough never to be reached here; and short.
NEVER, SOON = 600.0, 0.2


class Hello(RequestHandler):
    async def get(self) -> None:
        await asyncio.sleep(0)
        self.finish("hello")

    def post(self) -> None:
        self.finish(self.request.body)


class Socket(WebSocketHandler):
    async def on_message(self, message: str | bytes) -> None:
        await self.write_message(message)


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def read(self, size: int) -> bytes:
        """Give so many bytes, or what came before the end."""
        try:
            return await asyncio.wait_for(self.reader.readexactly(size), 10)
        except asyncio.IncompleteReadError as end:
            return end.partial
        except ConnectionError:
            return b""

    async def limit_passes(self) -> None:
        """Return when one that came later and kept quiet has been closed: what is due first comes first."""
        reader, writer = await asyncio.open_connection(*self.writer.get_extra_info("peername"))
        assert await asyncio.wait_for(reader.read(1), 10) == b""
        writer.close()

    async def answer(self) -> bytes:
        """Give an answer's body."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)
        size = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        return await self.read(int(size.split(b":")[1]))


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Any]]:
    """Start a server with these time limits, and connect to it."""
    servers: list[HTTPServer] = []
    writers: list[asyncio.StreamWriter] = []

    async def connect(first_head_seconds: float, idle_seconds: float) -> Client:
        server = PunctualServer(
            Application([("/", Hello), ("/ws", Socket)]),
            first_head_seconds=first_head_seconds,
            idle_connection_timeout=idle_seconds,
        )
        servers.append(server)
        sockets = bind_sockets(0, "127.0.0.1")
        server.add_sockets(sockets)
        reader, writer = await asyncio.open_connection(*sockets[0].getsockname())
        writers.append(writer)
        return Client(reader, writer)

    yield connect
    for writer in writers:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
    for server in servers:
        server.stop()
        await server.close_all_connections()
        assert not server._timers, "a timer for a connection that is gone"


@pytest.mark.parametrize("sent", [b"", b"G", REQUEST[:-2]])
async def test_s31_connection_is_closed_when_no_whole_head_comes_in_time(connect, sent: bytes) -> None:
    client = await connect(SOON, NEVER)
    client.writer.write(sent)
    assert await client.read(1) == b""


async def test_s31_dribbled_bytes_do_not_prolong_the_time_for_the_head(connect) -> None:
    client = await connect(SOON, NEVER)

    async def dribble() -> None:
        with suppress(ConnectionError):
            while True:
                client.writer.write(b"G")
                await client.writer.drain()
                await asyncio.sleep(SOON / 10)

    dribbling = asyncio.create_task(dribble())
    assert await client.read(1) == b""
    dribbling.cancel()


async def test_connection_that_was_answered_may_be_idle_for_longer(connect) -> None:
    client = await connect(SOON, NEVER)
    client.writer.write(REQUEST)
    assert await client.answer() == b"hello"
    await client.limit_passes()
    for _ in range(3):
        client.writer.write(REQUEST)
        assert await client.answer() == b"hello"


async def test_connection_that_was_answered_is_closed_when_idle_for_too_long(connect) -> None:
    client = await connect(NEVER, SOON)
    client.writer.write(REQUEST)
    assert await client.answer() == b"hello"
    assert await client.read(1) == b""


async def test_limit_is_for_the_head_and_not_for_body_and_answer(connect) -> None:
    client = await connect(SOON, NEVER)
    client.writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab")
    await client.limit_passes()
    client.writer.write(b"cd")
    assert await client.answer() == b"abcd"


async def test_websocket_outlives_the_limit(connect) -> None:
    client = await connect(SOON, NEVER)
    client.writer.write(UPGRADE)
    assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    await client.limit_passes()
    client.writer.write(b"\x81\x82\x00\x00\x00\x00hi")
    assert await client.read(4) == b"\x81\x02hi"


async def test_connection_that_goes_by_itself_leaves_no_timer(connect) -> None:
    client = await connect(NEVER, NEVER)
    client.writer.write(b"nonsense\r\n\r\n")
    assert (await client.read(1 << 16)).startswith(b"HTTP/1.1 400 ")
    gone = await connect(NEVER, NEVER)
    gone.writer.close()


@pytest.mark.parametrize("first", [b"", REQUEST, UPGRADE], ids=["nothing", "request", "upgrade"])
async def test_connection_that_was_reset_is_freed_without_the_collector(first: bytes) -> None:
    streams: list[weakref.ref[IOStream]] = []

    class Watched(PunctualServer):
        def handle_stream(self, stream: IOStream, address: Any) -> None:
            streams.append(weakref.ref(stream))
            super().handle_stream(stream, address)

    server = Watched(Application([("/", Hello), ("/ws", Socket)]), first_head_seconds=NEVER)
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    gc.disable()
    try:
        with socket.create_connection(sockets[0].getsockname()) as client:
            client.setblocking(False)
            if first:
                await asyncio.get_running_loop().sock_sendall(client, first)
                await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 1 << 16), 10)
            await until(lambda: bool(streams), 10, "the connection")
            # To be closed with a reset, as by a phone that is gone.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await until(lambda: streams[0]() is None, 10, "the stream to be freed")
    finally:
        gc.enable()
        server.stop()
        await server.close_all_connections()


class Noting(PunctualServer):
    """Notes in which turn of the loop each connection was let in."""

    def initialize(self, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        super().initialize(*args, **kwargs)
        self.turn = 0
        self.let_in: list[int] = []
        self._next_turn()

    def _next_turn(self) -> None:
        self.turn += 1
        self._ticking = asyncio.get_running_loop().call_soon(self._next_turn)

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        self.let_in.append(self.turn)
        super().handle_stream(stream, address)

    def stop(self) -> None:
        self._ticking.cancel()
        super().stop()


async def test_connections_that_come_at_once_are_let_in_a_few_a_turn() -> None:
    server = Noting(Application([("/", Hello)]), first_head_seconds=NEVER)
    sockets = bind_sockets(0, "127.0.0.1")
    count = 2 * ACCEPTED_A_TURN + 1
    # They connect while the loop has no turn: the kernel answers for the server.
    phones = [socket.create_connection(sockets[0].getsockname()) for _ in range(count)]
    for phone in phones:
        phone.sendall(REQUEST)
        phone.setblocking(False)
    server.add_sockets(sockets)
    loop = asyncio.get_running_loop()
    answers = [await asyncio.wait_for(loop.sock_recv(phone, 5), 10) for phone in phones]
    assert answers == [b"HTTP/"] * count
    assert sorted(Counter(server.let_in).values()) == [1, ACCEPTED_A_TURN, ACCEPTED_A_TURN]
    for phone in phones:
        phone.close()
    server.stop()
    server.stop()
    await server.close_all_connections()
    assert all(each.fileno() == -1 for each in sockets)


def test_tornado_still_takes_its_one_limit_for_both() -> None:
    """If it ever tells a first head from an idle connection, this server has nothing left to do."""
    server = HTTPServer(Application(), idle_connection_timeout=75)
    assert server.conn_params.header_timeout == 75


@pytest.mark.parametrize(
    "last",
    [
        b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /last HTTP/1.0\r\n\r\n",
        b"POST /last HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_s30_nothing_is_carried_out_behind_the_last_request_of_a_connection(last: bytes) -> None:
    served = []

    class Noted(RequestHandler):
        def get(self) -> None:
            served.append(self.request.path)

        post = get

    async def all_of(port: int, sent: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        assert (await asyncio.wait_for(reader.read(), 10)).count(b"HTTP/1.1 200") == 1
        writer.close()

    async with serving(BoundedApplication([("/.*", Noted)])) as (_, port):
        await all_of(port, last + b"POST /hidden HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        await all_of(port, last)
    assert served == ["/last", "/last"]
