"""A TCP proxy that does to a connection what networks do: delay, drip, silence, refusal, and cuts at any byte.

It knows bytes and connections, and nothing of what they say.
"""

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Self

Address = tuple[str, int]

CHUNK_BYTES = 65_536
# Closed with this, a connection is reset at once: the other side learns it as it would from a machine that died.
RESET = struct.pack("ii", 1, 0)


@dataclass(eq=False)
class _Link:
    """One connection through the proxy: its two ends, and how many bytes of answers it has passed."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    answered: int = 0

    def reset(self) -> None:
        _reset(self.client)
        _reset(self.server)


class FaultProxy:
    """``async with FaultProxy(address) as proxy``: connect to ``proxy.port`` in place of the address.

    Faults act on the connections there are and on those to come, in both directions, until ``mend``.
    """

    def __init__(self, target: Address) -> None:
        self.port = 0
        # How many chunks wait for the end of a blackhole.
        self.holding = 0
        self._target = target
        self._listener: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._passable = asyncio.Event()
        self._passable.set()
        self._delay_seconds = 0.0
        self._drip_bytes, self._drip_pause_seconds = 0, 0.0
        self._answer_bytes: int | None = None

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.refuse()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def connections(self) -> int:
        """How many connections go through it now."""
        return len(self._links)

    async def mend(self) -> None:
        """End all faults: bytes that were held go on, and new connections are accepted. What was cut stays cut."""
        self._delay_seconds = 0.0
        self._drip_bytes = 0
        self._answer_bytes = None
        self._passable.set()
        await self._listen()

    def delay(self, seconds: float) -> None:
        """Pass everything on that much later."""
        self._delay_seconds = seconds

    def drip(self, count: int, pause_seconds: float) -> None:
        """Pass so many bytes at a time, with a pause after each."""
        self._drip_bytes, self._drip_pause_seconds = count, pause_seconds

    def blackhole(self) -> None:
        """Pass nothing on; connections stay open and new ones are accepted, as by a machine that hangs."""
        self._passable.clear()

    def cut(self) -> None:
        """Reset all connections there are."""
        for link in list(self._links):
            link.reset()

    def cut_answers_after(self, count: int) -> None:
        """Reset each connection once it has passed so many bytes of answers, in the middle of whatever that is."""
        self._answer_bytes = count

    async def refuse(self) -> None:
        """Refuse new connections; those there are stay."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            # A listener closes its socket in the loop's next turn.
            await asyncio.sleep(0)

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
            self.port = self._listener.sockets[0].getsockname()[1]

    async def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            answers, server = await asyncio.open_connection(*self._target)
        except OSError:
            _reset(client)
            return
        link = _Link(client, server)
        self._links.add(link)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, server, link))
                both.create_task(self._pump(answers, client, link))
        except asyncio.CancelledError:
            pass  # The proxy ends; the loop's own server of streams would print that this task was cancelled.
        finally:
            self._links.discard(link)
            client.close()
            server.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: _Link) -> None:
        """Pass one direction on to its end. A reset of one end is passed on as a reset of the other."""
        try:
            while chunk := await reader.read(CHUNK_BYTES):
                await self._pass(chunk, writer, link)
            writer.write_eof()
        except OSError:
            link.reset()

    async def _pass(self, chunk: bytes, writer: asyncio.StreamWriter, link: _Link) -> None:
        if self._delay_seconds:
            await asyncio.sleep(self._delay_seconds)
        if not self._passable.is_set():
            self.holding += 1
            try:
                await self._passable.wait()
            finally:
                self.holding -= 1
        if writer is link.client and self._answer_bytes is not None:
            chunk = chunk[: max(0, self._answer_bytes - link.answered)]
        for at in range(0, len(chunk), self._drip_bytes or CHUNK_BYTES):
            writer.write(chunk[at : at + (self._drip_bytes or CHUNK_BYTES)])
            await writer.drain()
            if self._drip_bytes:
                await asyncio.sleep(self._drip_pause_seconds)
        if writer is link.client:
            link.answered += len(chunk)
            if self._answer_bytes is not None and link.answered >= self._answer_bytes:
                # Closed and not reset: what has been passed must arrive before the end does.
                link.client.close()
                link.server.transport.abort()


def _reset(end: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    end.transport.abort()
