"""A WebSocket client that sends whatever bytes it is told to, and gives the frames that come back.

For what no proper client sends; a member's proper one is in ``sockets``.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from handlers.websocket import CLOSE, TEXT, masked
from tests.support.sockets import address

MASK = b"\x37\xfa\x21\x3d"
HEAD = (
    "GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)

Frame = tuple[int, bytes]


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    final: bool = True,
    reserved: int = 0,
    mask: bytes | None = MASK,
    size: int | None = None,
) -> bytes:
    """Give a client's frame. ``reserved`` are its three bits; ``size`` is what its head says, true or not."""
    size = len(payload) if size is None else size
    first, flag = (0x80 if final else 0) | reserved << 4 | opcode, 0x80 if mask is not None else 0
    if size < 126:
        head = bytes((first, flag | size))
    elif size < 1 << 16:
        head = bytes((first, flag | 126)) + size.to_bytes(2)
    else:
        head = bytes((first, flag | 127)) + size.to_bytes(8)
    return head + (payload if mask is None else mask + masked(mask, payload))


def close_frame(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, code.to_bytes(2) + reason)


class RawSocket:
    """An upgraded connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Send the bytes; those that come too late are lost without a word."""
        if not self._writer.is_closing():
            with suppress(ConnectionError):
                self._writer.write(data)
                await self._writer.drain()

    async def send_in_pieces(self, data: bytes, size: int) -> None:
        """Send ``size`` bytes at a time, each by itself as far as the kernel lets it."""
        for at in range(0, len(data), size):
            await self.send(data[at : at + size])
            await asyncio.sleep(0)

    def end_sending(self) -> None:
        """Close this direction only."""
        with suppress(OSError):
            self._writer.write_eof()

    def reset(self) -> None:
        """Be gone at once."""
        self._writer.transport.abort()

    async def next(self, timeout_seconds: float = 10.0) -> Frame | None:
        """Give the next frame as (opcode, payload), None at the end of the connection."""
        async with asyncio.timeout(timeout_seconds):
            try:
                first, size = await self._reader.readexactly(2)
                if size >= 126:
                    size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8))
                payload = await self._reader.readexactly(size)
            except (asyncio.IncompleteReadError, ConnectionError):
                return None
        assert first & 0xF0 == 0x80, "a server sends whole, plain frames"
        return first & 0x0F, payload

    async def __aiter__(self) -> AsyncIterator[Frame]:
        """Give the frames as they come, up to the end of the connection."""
        while (found := await self.next()) is not None:
            yield found

    async def rest(self) -> list[Frame]:
        """Give the frames up to the end of the connection, once it is there."""
        return [found async for found in self]

    async def closed(self) -> int | None:
        """Read up to the close frame, go, and give its code: 0 where it had none, None where no frame came."""
        async for opcode, payload in self:
            if opcode == CLOSE:
                self.end_sending()
                assert await self.rest() == [], "something came after the close frame"
                return int.from_bytes(payload[:2])
        return None


@asynccontextmanager
async def dial(base_url: str, *, target: str = "/", greeted: bool = False) -> AsyncIterator[RawSocket]:
    """Upgrade a connection; ``greeted`` waits for the first text. Gone without a close frame on the way out."""
    parts = urlsplit(base_url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(HEAD.format(target=target, host=parts.netloc).encode())
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        assert head.startswith(b"HTTP/1.1 101 "), head
        client = RawSocket(reader, writer)
        if greeted:
            hello = await client.next()
            assert hello is not None
            assert hello[0] == TEXT
        yield client
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def dial_feed(base_url: str, token: str) -> AsyncIterator[RawSocket]:
    """Open a member's feed and read its greeting."""
    parts = urlsplit(address(base_url, token))
    async with dial(base_url, target=f"{parts.path}?{parts.query}", greeted=True) as client:
        yield client
