"""A phone's side of the live feed, for tests: a bare WebSocket, and what a phone shows by the rules for clients.

Whether what it shows is right is judged by the tests.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.support.sockets import PATH

Frame = dict[str, Any]
Shown = dict[int, dict[str, Any]]

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
# Any 16 bytes will do (RFC 6455, section 4.1); that the server answers them rightly is the library's business.
HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nConnection: Upgrade\r\n"
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class FeedLine(asyncio.Protocol):
    """One WebSocket: gives each message to ``hear``, and breaks off after ``cut_after`` of them, if that many come.

    What had arrived beyond those is lost, as with a phone that loses its network. ``code`` is how it ended.
    """

    def __init__(self, hear: Callable[[Frame], None], cut_after: int | None) -> None:
        self.code: int | None = None
        self.closed = asyncio.Event()
        self.was_cut = False
        self._hear = hear
        self._left = cut_after
        self._received = bytearray()
        self._is_open = False
        self._transport: asyncio.Transport

    @classmethod
    async def open(
        cls,
        base_url: str,
        token: str,
        since: str | None,
        hear: Callable[[Frame], None],
        cut_after: int | None = None,
    ) -> "FeedLine":
        """Connect and ask for the feed; what the server answers comes to ``hear``, or closes the line."""
        url = urlsplit(base_url)
        path = PATH + ("" if since is None else "?" + urlencode({"since": since}))
        _, line = await asyncio.get_running_loop().create_connection(
            lambda: cls(hear, cut_after), url.hostname, url.port
        )
        line._transport.write(HANDSHAKE.format(path=path, host=url.netloc, token=token).encode())
        return line

    def cut(self) -> None:
        """Lose the network."""
        self.was_cut = True
        self._transport.abort()

    def hang_up(self) -> None:
        """Say goodbye; the server closes."""
        self._send(CLOSE, (1000).to_bytes(2))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.code = self.code or 1006
        self.closed.set()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._is_open:
            head, found, rest = bytes(self._received).partition(b"\r\n\r\n")
            if not found:
                return
            assert head.startswith(b"HTTP/1.1 101"), head
            self._is_open = True
            self._received[:] = rest
        while not self.was_cut and (frame := self._next_frame()) is not None:
            self._take(*frame)

    def _next_frame(self) -> tuple[int, bytes] | None:
        """Take the next whole frame off what was received; a part of one stays."""
        received = self._received
        if len(received) < 2:
            return None
        size, start = received[1], 2
        if size >= 126:
            start = 4 if size == 126 else 10
            size = int.from_bytes(received[2:start])
        if len(received) < start + size:
            return None
        opcode, payload = received[0] & 0x0F, bytes(received[start : start + size])
        del received[: start + size]
        return opcode, payload

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == TEXT:
            self._hear(json.loads(payload))
            if self._left is not None:
                self._left -= 1
                if self._left == 0:
                    self.cut()
        elif opcode == PING:
            self._send(PONG, payload)
        elif opcode == CLOSE:
            self.code = int.from_bytes(payload[:2])
            self._send(CLOSE, payload[:2])

    def _send(self, opcode: int, payload: bytes) -> None:
        """Send a frame under a mask of zeros, which leaves the payload as it is."""
        self._transport.write(bytes((0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0)) + payload)


class FeedState:
    """What a phone shows: pages that it loaded by REST, with the events since.

    ``posts`` are without one's own reactions; ``comments`` are those of posts that were opened, or seen from
    their beginning. Posts before ``oldest`` were not loaded. With ``replaces`` a post that comes as an event
    replaces one that is shown already, else it is ignored: the rules leave that to the client.
    """

    def __init__(self, *, replaces: bool) -> None:
        self.posts: Shown = {}
        self.comments: dict[int, Shown] = {}
        self.oldest = 0
        self.position: str | None = None
        self._replaces = replaces
        self._versions: dict[int, int] = {}
        # What comes while something is loaded is newer than what is loaded, or in it: it is applied once more.
        self._loads = 0
        self._meanwhile: list[Frame] = []

    @property
    def is_loading(self) -> bool:
        return self._loads > 0

    def take(self, frame: Frame) -> int | None:
        """Do what the rules ask for a frame; gives the post that it is about if that one is not shown."""
        if self._loads:
            self._meanwhile.append(frame)
        had = "seq" in frame and self._is_behind(frame["position"])
        if "position" in frame and not had and (frame["type"] != "connected" or not frame["recovered"]):
            self.position = frame["position"]
        return None if had else self._apply(frame)

    def _is_behind(self, position: str) -> bool:
        """Whether the phone has had everything up to there."""
        if self.position is None or epoch_of(position) != epoch_of(self.position):
            return False
        return seq_of(position) <= seq_of(self.position)

    def _apply(self, frame: Frame) -> int | None:
        kind = frame["type"]
        if kind == "new_post":
            post = frame["post"]
            if self._replaces or post["id"] not in self.posts:
                self._show(post)
            self.comments.setdefault(post["id"], {})
            return None
        post_id = frame.get("post_id")
        if post_id is None:
            return None
        if kind == "post_deleted":
            self._forget(post_id)
            return None
        if post_id not in self.posts:
            return int(post_id)
        if kind == "reaction_update":
            if frame["version"] > self._versions.get(post_id, 0):
                self._versions[post_id] = frame["version"]
                self.posts[post_id]["reactions"] = frame["reactions"]
            return None
        self.posts[post_id]["comment_count"] = frame["comment_count"]
        self._apply_to_comments(frame)
        return None

    def _apply_to_comments(self, frame: Frame) -> None:
        shown = self.comments.get(frame["post_id"])
        if shown is not None and frame["type"] == "new_comment":
            shown[frame["comment"]["id"]] = frame["comment"]
        elif shown is not None and frame["type"] == "comment_deleted":
            shown.pop(frame["comment_id"], None)

    def _show(self, post: Frame) -> None:
        self.posts[post["id"]] = {name: post[name] for name in post if name != "user_reactions"}
        self._versions.pop(post["id"], None)

    def _forget(self, post_id: int) -> None:
        self.posts.pop(post_id, None)
        self.comments.pop(post_id, None)
        self._versions.pop(post_id, None)

    async def load(self, read: Callable[[], Awaitable[tuple[str, list[Frame], int]]]) -> bool:
        """Show what ``read`` gives (a position, posts, the oldest that may be shown); comments are closed again.

        False where the position lies before the one this phone has had: then it has to load again.
        """
        (position, posts, oldest), meanwhile = await self._during(read)
        if self.position is not None and epoch_of(position) == epoch_of(self.position):
            if seq_of(position) < seq_of(self.position) and not meanwhile_covers(meanwhile, position, self.position):
                return False
        else:
            self.position = position
        if not self._is_behind(position):
            self.position = position
        self.posts, self.comments, self.oldest = {}, {}, oldest
        self._versions.clear()
        for post in posts:
            self._show(post)
        for frame in meanwhile:
            if "seq" not in frame or seq_of(frame["position"]) > seq_of(position):
                self._apply(frame)
        return True

    async def open(self, post_id: int, read: Callable[[], Awaitable[list[Frame]]]) -> None:
        """Show all comments of a post, which ``read`` gives."""
        found, meanwhile = await self._during(read)
        if post_id in self.posts:
            self.comments[post_id] = {comment["id"]: comment for comment in found}
            for frame in meanwhile:
                if frame.get("post_id") == post_id:
                    self._apply_to_comments(frame)

    async def fetch(self, post_id: int, read: Callable[[], Awaitable[Frame | None]]) -> None:
        """Show one post more, which ``read`` gives if it still exists."""
        post, meanwhile = await self._during(read)
        if post is None or any(each["type"] == "post_deleted" and each["post_id"] == post_id for each in meanwhile):
            return
        self._show(post)
        for frame in meanwhile:
            if frame.get("post_id") == post_id:
                self._apply(frame)

    async def _during(self, read: Callable[[], Awaitable[Any]]) -> tuple[Any, list[Frame]]:
        """Give what ``read`` gives, and what came meanwhile."""
        start = len(self._meanwhile)
        self._loads += 1
        try:
            found = await read()
            return found, self._meanwhile[start:]
        finally:
            self._loads -= 1
            if not self._loads:
                self._meanwhile = []


def meanwhile_covers(meanwhile: list[Frame], after: str, until: str) -> bool:
    """Whether every fact in (after, until] is among the frames."""
    came = {frame["seq"] for frame in meanwhile if "seq" in frame}
    return came.issuperset(range(seq_of(after) + 1, seq_of(until) + 1))


def epoch_of(position: str) -> str:
    return position.partition(".")[0]


def seq_of(position: str) -> int:
    return int(position.partition(".")[2])
