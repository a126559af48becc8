"""A member's open live feed, for tests: reads frames, keeps a position, comes back where it left."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

PATH = "/ws/community/feed/"


class Feed:
    """An open socket. ``frames`` are those that were read so far, without heartbeats."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.frames: list[dict[str, Any]] = []

    async def next(self, timeout_seconds: float = 10.0) -> dict[str, Any]:
        """Read the next frame that is not a heartbeat."""
        async with asyncio.timeout(timeout_seconds):
            while True:
                frame: dict[str, Any] = json.loads(await self.socket.recv())
                if frame["type"] != "heartbeat":
                    self.frames.append(frame)
                    return frame

    async def until(self, kind: str, timeout_seconds: float = 10.0) -> dict[str, Any]:
        """Read until a frame of this type came, and give it."""
        while True:
            frame = await self.next(timeout_seconds)
            if frame["type"] == kind:
                return frame

    async def closed(self, timeout_seconds: float = 10.0) -> tuple[int, str]:
        """Read to the end and give the close code and reason."""
        async with asyncio.timeout(timeout_seconds):
            try:
                while True:
                    self.frames.append(json.loads(await self.socket.recv()))
            except ConnectionClosed as end:
                return (end.rcvd.code, end.rcvd.reason) if end.rcvd else (1006, "")

    @property
    def position(self) -> str:
        """The last position that was seen."""
        return next(frame["position"] for frame in reversed(self.frames) if "position" in frame)

    def facts(self) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if "seq" in frame]


def address(base_url: str, token: str | None, since: str | None = None) -> str:
    query = {name: value for name, value in (("token", token), ("since", since)) if value is not None}
    return base_url.replace("http", "ws", 1) + PATH + ("?" + urlencode(query) if query else "")


@asynccontextmanager
async def open_feed(
    base_url: str, token: str | None, *, since: str | None = None, **options: Any
) -> AsyncIterator[Feed]:
    """Open a member's feed; closed on the way out."""
    options.setdefault("ping_interval", None)
    async with connect(address(base_url, token, since), compression=None, proxy=None, **options) as socket:
        yield Feed(socket)
