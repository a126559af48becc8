"""Connections over real sockets and Tornado's own WebSocket: what the fast way relies on, and that frames stay whole.
A change in a Tornado release that breaks the fast way fails here first.
"""

import asyncio
import json
import shutil
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream, StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketHandler
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from realtime.broker import LocalBroker
from realtime.close_codes import TOO_SLOW
from realtime.connection import MAX_QUEUED_BYTES, Connection
from realtime.hub import Hub
from realtime.protocol import text_frame
from tests.realtime.fakes import ROOM, MemoryLog, frames, until

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
PING = b"\x89\x84\x00\x00\x00\x00ping"


class Socket(WebSocketHandler):
    """What the product's handler does, without tokens."""

    def initialize(self, hub: Hub, opened: list[Connection]) -> None:
        self.hub = hub
        self.opened = opened

    async def open(self) -> None:
        self.connection = Connection(
            self.ws_connection.stream,
            user_id=id(self),
            session_id="s",
            expires_at=time.time() + 900,
            close=self.close,
            ping=self.ping,
            community_id=ROOM,
        )
        self.hub.register(self.connection)
        await self.hub.join(self.connection, None, asked=False)
        self.opened.append(self.connection)

    def on_pong(self, data: bytes) -> None:
        self.connection.on_pong()

    def on_close(self) -> None:
        self.hub.leave(self.connection)


@pytest.fixture
async def hub(log: MemoryLog) -> AsyncIterator[Hub]:
    hub = Hub(LocalBroker(), log)
    await hub.start()
    yield hub
    await hub.stop(0)


@pytest.fixture
def opened() -> list[Connection]:
    """The server's side of each connection, in the order in which they came."""
    return []


@pytest.fixture
async def port(hub: Hub, opened: list[Connection]) -> AsyncIterator[int]:
    server = HTTPServer(Application([(r"/ws", Socket, {"hub": hub, "opened": opened})]))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    yield sockets[0].getsockname()[1]
    server.stop()
    await hub.stop(0)
    await server.close_all_connections()


class Raw:
    """A client that reads only when it is told to, with a small buffer of its own."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = b""

    async def read(self, size: int = 1 << 16) -> bool:
        """Reads once; false at the end."""
        chunk = await asyncio.get_running_loop().sock_recv(self.sock, size)
        self.received += chunk
        return bool(chunk)

    async def read_until(self, end: bytes) -> None:
        async with asyncio.timeout(10):
            while end not in self.received:
                assert await self.read(), "closed"

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)


@pytest.fixture
async def dial(port: int, opened: list[Connection]) -> AsyncIterator[Callable[[], Any]]:
    """Opens a raw client and gives it with the server's connection to it."""
    clients: list[Raw] = []

    async def dial() -> tuple[Raw, Connection]:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        client = Raw(sock)
        clients.append(client)
        await client.send(HANDSHAKE)
        await client.read_until(b'"connected"')
        await until(lambda: len(opened) == len(clients))
        client.received = b""
        return client, opened[-1]

    yield dial
    for client in clients:
        client.sock.close()


def numbered(seq: int, size: int = 700) -> bytes:
    return text_frame(b'{"seq":%d,"pad":"%s"}' % (seq, b"x" * size))


@pytest.fixture
def fill(hub: Hub) -> Callable[..., None]:
    """Hands numbered frames to the room's fan-out, one by one, without giving the loop a turn."""

    def fill(seqs: range, size: int = 700) -> None:
        fanout = hub._rooms.get(ROOM).fanout
        for seq in seqs:
            fanout.publish(numbered(seq, size))
            fanout.flush()

    return fill


async def wait_for_end(client: Raw) -> bool:
    """Reads to the end; whether it was a clean one."""
    try:
        async with asyncio.timeout(10):
            while await client.read():
                pass
    except ConnectionResetError:
        return False
    return True


async def test_tornado_still_has_what_the_fast_way_relies_on(dial):
    _, connection = await dial()
    stream = connection._stream
    assert isinstance(stream, IOStream)
    # The socket is a plain one and its own; its `send` is what fan-out calls.
    assert type(stream.socket) is socket.socket
    assert connection.way_out == stream.socket.send
    # The bound on the buffer is read at each write, and closing drops the socket.
    assert stream.max_write_buffer_size == MAX_QUEUED_BYTES
    # An instance attribute stands before the method, for the WebSocket code too (it looks it up each time).
    assert vars(stream)["write"] == connection._watched_write
    assert "write" not in type(stream).__dict__.get("__slots__", ())
    # How much waits is asked of its buffer.
    assert len(stream._write_buffer) == connection.waiting_bytes == 0
    for name in ("writing", "closed", "close", "write"):
        assert callable(getattr(IOStream, name))


async def test_tornado_pong_passes_the_watched_write(dial):
    client, connection = await dial()
    written = []
    original = connection._stream_write

    def watched(data):
        written.append(bytes(data))
        return original(data)

    connection._stream_write = watched
    await client.send(PING)
    await client.read_until(b"\x8a\x04ping")
    assert written == [b"\x8a\x04ping"]


async def test_tornado_write_is_done_when_the_kernel_has_it_and_raises_when_full(dial):
    client, connection = await dial()
    stream = connection._stream
    assert connection._stream_write(numbered(1)).done()
    while not stream.writing():
        written = connection._stream_write(numbered(2, 50_000))
    assert not written.done()
    with pytest.raises(Exception, match="Reached maximum write buffer size"):
        connection._stream_write(bytes(MAX_QUEUED_BYTES))
    reading = asyncio.create_task(wait_for_end(client))
    await until(written.done)
    assert not stream.writing()
    stream.close()
    with pytest.raises(StreamClosedError):
        connection._stream_write(b"x")
    await reading


async def test_tornado_tells_how_much_waits_when_some_of_it_has_left(dial, fill):
    client, connection = await dial()
    stream = connection._stream
    while not stream.writing():
        stream.write(numbered(1, 50_000))
    before = connection.waiting_bytes
    stream.write(numbered(2, 10_000))
    assert connection.waiting_bytes == before + len(numbered(2, 10_000))
    reading = asyncio.create_task(wait_for_end(client))
    await until(lambda: connection.waiting_bytes == 0)
    assert not stream.writing()
    stream.close()
    assert connection.waiting_bytes == 0
    await reading


async def test_slow_reader_gets_whole_frames_in_order_with_pongs_between(dial, fill):
    client, connection = await dial()
    fill(range(700))
    assert connection.backlogged
    for _ in range(3):
        await client.send(PING)
    for first in (700, 800, 900):
        await client.read(30_000)
        await asyncio.sleep(0)
        fill(range(first, first + 100))
    await client.read_until(b'{"seq":999,')
    async with asyncio.timeout(10):
        while True:
            try:
                found = frames(client.received)
                break
            except AssertionError:
                await client.read()
    said = [json.loads(payload) for opcode, payload in found if opcode == 1]
    # On a slow machine there is time for a heartbeat.
    assert [each["seq"] for each in said if each.get("type") != "heartbeat"] == list(range(1000))
    assert 1 <= sum(opcode == 10 for opcode, _ in found) <= 3
    await until(lambda: not connection._stream.writing())
    connection.send(numbered(1000))
    assert connection.way_out == connection._stream.socket.send


async def test_reader_that_stalls_is_cut_with_bounded_memory(dial, fill, hub):
    client, connection = await dial()
    sent = 0
    while not connection.closing:
        fill(range(1), 10_000)
        sent += 10_000
        assert sent < MAX_QUEUED_BYTES + 2 * (1 << 20)
    assert connection.close_code == TOO_SLOW
    assert sent > MAX_QUEUED_BYTES
    assert not await wait_for_end(client)
    await until(lambda: hub.connection_count == 0)


async def test_stalled_readers_do_not_hold_up_the_others(dial, hub, log, port):
    stalled = [await dial() for _ in range(3)]
    async with connect(f"ws://127.0.0.1:{port}/ws") as client:
        await client.recv()
        for number in range(60):
            hub.publish(log.post(number, text="x" * 50_000))
            message = json.loads(await asyncio.wait_for(client.recv(), 5))
            assert message["seq"] == number + 1
        assert all(connection.closing for _, connection in stalled)


async def test_close_behind_a_backlog_sends_whole_frames_first(dial, fill):
    client, connection = await dial()
    fill(range(600))
    assert connection.backlogged
    connection.close(4003, "out")
    connection.send(numbered(10_000))
    await client.read_until((4003).to_bytes(2) + b"out")
    await client.send(b"\x88\x82\x00\x00\x00\x00" + (4003).to_bytes(2))
    assert await wait_for_end(client)
    found = frames(client.received)
    assert found[-1] == (8, (4003).to_bytes(2) + b"out")
    assert [json.loads(payload)["seq"] for _, payload in found[:-1]] == list(range(600))


async def test_client_that_closes_behind_a_backlog_is_forgotten(dial, fill, hub):
    client, connection = await dial()
    fill(range(600))
    await client.send(b"\x88\x82\x00\x00\x00\x00\x03\xe8")
    await until(lambda: hub.connection_count == 0)
    assert connection.send(numbered(1)) > 0


async def test_client_that_vanishes_is_noticed_by_a_send(dial, fill, hub):
    client, _ = await dial()
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.sock.close()
    fill(range(5))
    await until(lambda: hub.connection_count == 0)


async def test_ping_reaches_the_client_and_its_pong_the_connection(dial):
    client, connection = await dial()
    connection.heard = False
    connection.ping()
    await client.read_until(b"\x89\x00")
    await client.send(b"\x8a\x80\x00\x00\x00\x00")
    await until(lambda: connection.heard)


async def test_frames_do_not_wait_for_acknowledgements(dial):
    _, connection = await dial()
    assert connection._stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_send_buffer_of_the_kernel_is_bounded(dial):
    _, connection = await dial()
    sock = connection._stream.socket
    # Linux doubles what it is asked for, to have room for its own book-keeping.
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * 64 * 1024


async def listen(client: ClientConnection) -> list[dict]:
    heard: list[dict] = []
    with suppress(ConnectionClosed):
        while True:
            heard.append(json.loads(await client.recv()))
    return heard


async def test_room_of_real_clients_hears_every_fact_and_the_goodbye(hub, log, port):
    clients = [await connect(f"ws://127.0.0.1:{port}/ws") for _ in range(20)]
    listening = [asyncio.create_task(listen(client)) for client in clients]
    await until(lambda: hub.connection_count == 20)
    for number in range(100):
        hub.publish(log.post(number))
        if number % 10 == 0:
            await asyncio.sleep(0)
    await hub.stop(10)
    for client, heard in zip(clients, await asyncio.gather(*listening), strict=True):
        assert [message["type"] for message in heard[:1]] == ["connected"]
        assert [message["seq"] for message in heard if "seq" in message] == list(range(1, 101))
        assert client.close_code == 1001
        assert client.close_reason.startswith("retry_after=")
    assert hub.connection_count == 0


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate with")
async def test_connection_under_tls_delivers_through_the_stream(hub, log, opened, tmp_path):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = await asyncio.create_subprocess_exec(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-subj", "/CN=localhost", "-days", "1", "-keyout", str(key), "-out", str(certificate)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await made.wait() == 0
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = HTTPServer(Application([(r"/ws", Socket, {"hub": hub, "opened": opened})]), ssl_options=context)
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    trusting = ssl.create_default_context(cafile=certificate)
    trusting.check_hostname = False
    url = f"wss://127.0.0.1:{sockets[0].getsockname()[1]}/ws"
    async with connect(url, ssl=trusting) as client:
        await client.recv()
        assert opened[0].way_out == opened[0].send
        for number in range(20):
            hub.publish(log.post(number, text="x" * 40_000))
        seqs = [json.loads(await asyncio.wait_for(client.recv(), 5))["seq"] for _ in range(20)]
        assert seqs == list(range(1, 21))
    server.stop()
    await until(lambda: hub.connection_count == 0)
    await server.close_all_connections()
