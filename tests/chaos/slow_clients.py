"""Hundreds of clients who send a request bit by bit, as a process of their own: what they compute is not on the clock of
whoever measures how long others wait.

    python -m tests.chaos.slow_clients ADDRESS PORT CLIENTS SEED

It runs until its input ends, and prints how many were connected at a time, and how many were cut off.
"""

import asyncio
import contextlib
import os
import random
import sys
from typing import Self

from tests.support.ambiguous_requests import CHUNKED, request
from tests.support.http_connection import Address
from tests.support.processes import ROOT

SLOW = (
    request(b"X-Never: " + b"ends" * 50, body=b"")[:-2],
    request(b"Content-Length: 500", body=b'{"a": "' + b"b" * 400),
    request(CHUNKED, body=b"3\r\n{" + b"1\r\n \r\n" * 100),
)
# Of what they send, one a second: fast enough to be there still, slow enough to be no request.
PIECE_BYTES, PIECE_SECONDS = 4, 1.0
# They are other machines: whoever is measured on this one comes first.
NICENESS = 10
END_SECONDS = 60.0
BEGUN = b"begun\n"


class SlowClients:
    """So many clients from entering on; afterwards ``most`` at a time, and ``cut_off``."""

    def __init__(self, address: Address, count: int, seed: int) -> None:
        self._arguments = (*address, count, seed)
        self.most = 0
        self.cut_off = 0

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.chaos.slow_clients",
            *map(str, self._arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        assert self._process.stdout is not None
        assert await self._process.stdout.readline() == BEGUN
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            # An empty input, and its end.
            said, _nothing = await asyncio.wait_for(self._process.communicate(b""), END_SECONDS)
        except BaseException:
            self._process.kill()
            raise
        self.most, self.cut_off = map(int, said.split())


class _Crowd:
    def __init__(self, address: Address, seed: int) -> None:
        self._address = address
        self._chance = random.Random(seed)
        self.connected = 0
        self.most = 0
        self.cut_off = 0

    async def dribble(self) -> None:
        """Send, wait for the end, and come back when cut off."""
        await asyncio.sleep(self._chance.uniform(0, PIECE_SECONDS))
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection(*self._address)
                self.connected += 1
                self.most = max(self.most, self.connected)
                try:
                    await self._send(writer, self._chance.choice(SLOW))
                    # Silent from here on.
                    await reader.read()
                finally:
                    self.connected -= 1
                    writer.close()
            self.cut_off += 1

    async def _send(self, writer: asyncio.StreamWriter, what: bytes) -> None:
        for begin in range(0, len(what), PIECE_BYTES):
            writer.write(what[begin : begin + PIECE_BYTES])
            await writer.drain()
            await asyncio.sleep(PIECE_SECONDS)


async def main(host: str, port: int, count: int, seed: int) -> None:
    crowd = _Crowd((host, port), seed)
    clients = [asyncio.create_task(crowd.dribble()) for _ in range(count)]
    print(BEGUN.decode(), end="", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(crowd.most, crowd.cut_off)
    for client in clients:
        client.cancel()
    await asyncio.gather(*clients, return_exceptions=True)


if __name__ == "__main__":
    os.nice(NICENESS)
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
