"""The fault proxy does what each of its faults is named for, and is not to be noticed without one."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.fault_proxy import FaultProxy
from tests.support.processes import until

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
LINE = b"a line of twenty-two.\n"


class Echo:
    """Sends back every line, and remembers what came."""

    def __init__(self) -> None:
        self.received = b""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                self.received += line
                writer.write(line)
        except ConnectionError:
            pass
        finally:
            writer.close()


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[FaultProxy]:
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, FaultProxy(server.sockets[0].getsockname()) as opened:
        yield opened


@pytest.fixture
async def streams(proxy: FaultProxy) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    yield reader, writer
    writer.close()


async def ask(streams: Streams, line: bytes = LINE) -> bytes:
    streams[1].write(line)
    return await streams[0].readline()


async def test_everything_is_passed_on_when_there_is_no_fault(streams: Streams) -> None:
    assert await ask(streams) == LINE
    long = bytes(60_000) + b"\n"
    assert await ask(streams, long) == long


async def test_end_is_passed_on_when_one_side_closes(streams: Streams, proxy: FaultProxy) -> None:
    assert await ask(streams) == LINE
    streams[1].write_eof()
    assert await streams[0].read() == b""
    await until(lambda: proxy.connections == 0)


async def test_nothing_arrives_when_it_is_a_blackhole_and_all_of_it_when_mended(
    streams: Streams, proxy: FaultProxy, echo: Echo
) -> None:
    proxy.blackhole()
    answer = asyncio.create_task(ask(streams))
    await until(lambda: proxy.holding == 1)
    assert echo.received == b""
    await proxy.mend()
    assert await answer == LINE


async def test_connection_is_reset_when_cut(streams: Streams, proxy: FaultProxy) -> None:
    assert await ask(streams) == LINE
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        await streams[0].read()
    await until(lambda: proxy.connections == 0)


async def test_new_connections_alone_are_refused(streams: Streams, proxy: FaultProxy) -> None:
    assert await ask(streams) == LINE
    await proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", proxy.port)
    assert await ask(streams) == LINE
    await proxy.mend()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    assert await ask((reader, writer)) == LINE
    writer.close()


async def test_answer_ends_in_its_middle_when_it_is_cut_there(
    streams: Streams, proxy: FaultProxy, echo: Echo
) -> None:
    proxy.cut_answers_after(len(LINE) + 3)
    assert await ask(streams) == LINE
    streams[1].write(LINE)
    assert await streams[0].read() == LINE[:3]
    assert echo.received == 2 * LINE


async def test_answer_comes_later_when_it_is_delayed(streams: Streams, proxy: FaultProxy) -> None:
    loop = asyncio.get_running_loop()
    proxy.delay(0.05)
    began = loop.time()
    assert await ask(streams) == LINE
    # There and back. The loop's clock may round a little.
    assert loop.time() - began > 0.095


async def test_answer_comes_in_small_parts_when_it_drips(streams: Streams, proxy: FaultProxy) -> None:
    proxy.drip(5, 0.01)
    streams[1].write(LINE)
    parts = []
    while b"\n" not in b"".join(parts):
        parts.append(await streams[0].read(100))
    assert b"".join(parts) == LINE
    assert len(parts) > 1


async def test_client_is_turned_away_when_there_is_nobody_behind(streams: Streams, proxy: FaultProxy) -> None:
    proxy._target = ("127.0.0.1", 1)
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()


async def test_proxy_ends_when_connections_are_still_held(echo: Echo) -> None:
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, FaultProxy(server.sockets[0].getsockname()) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await ask((reader, writer)) == LINE
        proxy.blackhole()
        writer.write(LINE)
        await until(lambda: proxy.holding == 1)
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
