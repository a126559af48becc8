"""Requests on their way in: counted from their head on, whatever becomes of them."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from config.deps import Deps
from handlers.arrivals import Arrivals

HEAD = b"POST /healthz HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def client(app: Application, deps: Deps) -> AsyncIterator[Streams]:
    """A connection to a server that counts arrivals."""
    server = HTTPServer(Arrivals(app, deps.lifecycle))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    reader, writer = await asyncio.open_connection(*sockets[0].getsockname())
    yield reader, writer
    writer.close()
    server.stop()
    await server.close_all_connections()


async def head_is_in(client: Streams) -> None:
    """Send a head, and wait until the server asks for the body."""
    reader, writer = client
    writer.write(HEAD)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")


async def test_drain_waits_for_a_request_when_its_body_is_on_its_way(client: Streams, deps: Deps) -> None:
    await head_is_in(client)
    assert await deps.lifecycle.idle(0) == 1
    draining = asyncio.create_task(deps.lifecycle.idle(60))
    reader, writer = client
    writer.write(b"{}")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 405 ")
    assert await draining == 0


async def test_request_is_not_waited_for_when_its_client_has_gone(client: Streams, deps: Deps) -> None:
    await head_is_in(client)
    client[1].close()
    assert await deps.lifecycle.idle(60) == 0


@pytest.mark.parametrize("raw", [b"nonsense\r\n\r\n", HEAD.replace(b": 2", b": x")])
async def test_request_is_not_waited_for_when_it_is_malformed(
    client: Streams, deps: Deps, raw: bytes
) -> None:
    reader, writer = client
    writer.write(raw)
    assert b"HTTP/1.1 400 " in await reader.read()
    assert await deps.lifecycle.idle(0) == 0
