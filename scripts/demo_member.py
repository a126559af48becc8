"""A simulated member: logs in, posts, comments and reacts by REST, and hears the feed on a WebSocket of its own.

It does what a phone would do and no more; what is shown of it is decided in ``scripts.demo_screen``.
"""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tornado.httpclient import AsyncHTTPClient, HTTPError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

Json = dict[str, Any]

# A server that needs longer for one of these requests is not worth watching.
REQUEST_SECONDS = 10.0
# A close is answered within a round trip.
GOODBYE_SECONDS = 1.0
NOT_FOUND, TOO_MANY = 404, 429

T = TypeVar("T")


class Refused(Exception):
    """The server answered, but with this status; ``detail`` is its sentence.

    ``retry_seconds`` is when a limit lets the same through; 0 where it is no matter of limits.
    """

    def __init__(self, status: int, detail: str, retry_seconds: int = 0) -> None:
        super().__init__(f"{detail} ({status})")
        self.status = status
        self.detail = detail
        self.retry_seconds = retry_seconds


class Member:
    """One person with one phone. ``hear`` gets every frame with the ``perf_counter`` seconds it arrived at.

    What was begun is finished even where whoever waits for it is cancelled: a post that the server has taken is
    known here, so that it can be taken away again.
    """

    def __init__(
        self, url: str, http: AsyncHTTPClient, hear: Callable[["Member", Json, float], None]
    ) -> None:
        self._url = url.rstrip("/")
        self._http = http
        self._hear = hear
        self._access = ""
        self._under_way: set[asyncio.Task[Any]] = set()
        self._socket: WebSocketClientConnection | None = None
        self._greeted = asyncio.Event()
        self._gone = asyncio.Event()
        self.id = 0
        self.name = ""
        # Where to come back to: the position of the last fact heard.
        self.position: str | None = None
        self.written: list[int] = []
        self.request_seconds: list[float] = []

    @property
    def is_online(self) -> bool:
        return self._socket is not None

    async def log_in(self, email: str, password: str) -> None:
        """Get tokens and learn one's own name. Raises ``Refused``, and ``OSError`` where no server is."""
        credentials = {"email": email, "password": password}
        tokens = await self._whole(self._call("POST", "/api/auth/jwt/create/", credentials))
        self._access = tokens["access"]
        account = await self._whole(self._call("GET", "/api/auth/users/me/"))
        self.id, self.name = account["id"], account["first_name"]

    async def post(self, content: str) -> int:
        """Write a post and give its id. Raises ``Refused``, and ``OSError``, as all requests do."""
        return await self._whole(self._post(content))

    async def comment(self, post_id: int, content: str) -> None:
        path = f"/api/community/feed/{post_id}/comments/"
        await self._whole(self._call("POST", path, {"content": content}))

    async def react(self, post_id: int, kind: str) -> None:
        path = f"/api/community/feed/{post_id}/react/"
        await self._whole(self._call("POST", path, {"reaction_type": kind}))

    async def delete_post(self, post_id: int) -> None:
        """Delete an own post. One that is gone already is as good."""
        try:
            await self._whole(self._call("DELETE", f"/api/community/feed/{post_id}/"))
        except Refused as refusal:
            if refusal.status != NOT_FOUND:
                raise
        self.written.remove(post_id)

    async def connect(self) -> None:
        """Open the feed, coming back from the position of the last fact heard, and wait for the first frame.

        Raises ``Refused`` and ``OSError``.
        """
        self._greeted.clear()
        self._gone.clear()
        self._socket = await self._whole(self._open())
        async with asyncio.timeout(REQUEST_SECONDS):
            await self._greeted.wait()
        if self._gone.is_set():
            raise Refused(self._socket.close_code or 0, "the feed was closed at once")

    async def cut(self) -> None:
        """Lose the connection as in a tunnel: without a goodbye."""
        protocol = self._socket.protocol if self._socket is not None else None
        if protocol is not None and protocol.stream is not None:
            protocol.stream.close()
        await self.leave()

    async def finish(self) -> None:
        """Wait for the end of what is under way; who began it hears how it ended."""
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def leave(self) -> None:
        """Close the feed, as a phone does that is put away."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            with suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_SECONDS):
                    await self._gone.wait()

    async def _whole(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def _post(self, content: str) -> int:
        made = await self._call("POST", "/api/community/feed/", {"content": content})
        self.written.append(int(made["id"]))
        return int(made["id"])

    async def _open(self) -> WebSocketClientConnection:
        since = f"?since={self.position}" if self.position else ""
        parts = urlsplit(self._url)
        address = parts._replace(scheme="wss" if parts.scheme == "https" else "ws").geturl()
        # In a header: addresses are what logs show.
        headers = {"Authorization": f"Bearer {self._access}"}
        request = HTTPRequest(f"{address}/ws/community/feed/{since}", headers=headers)
        try:
            return await websocket_connect(request, on_message_callback=self._on_message)
        except HTTPError as error:
            raise Refused(error.code, "the feed could not be opened") from error

    def _on_message(self, message: str | bytes | None) -> None:
        at = time.perf_counter()
        if message is None:
            self._gone.set()
        else:
            frame: Json = json.loads(message)
            self.position = frame.get("position", self.position)
            self._hear(self, frame, at)
        self._greeted.set()

    async def _call(self, method: str, path: str, body: Json | None = None) -> Json:
        headers = {"Content-Type": "application/json"}
        if self._access:
            headers["Authorization"] = f"Bearer {self._access}"
        started = time.perf_counter()
        response = await self._http.fetch(
            self._url + path,
            method=method,
            headers=headers,
            body=None if body is None else json.dumps(body),
            request_timeout=REQUEST_SECONDS,
            raise_error=False,
        )
        self.request_seconds.append(time.perf_counter() - started)
        if response.code == 599 and response.error is not None:
            raise OSError(str(response.error)) from response.error
        try:
            answer: Json = json.loads(response.body) if response.body else {}
        except ValueError:
            answer = {}
        if response.code >= 400:
            told = response.headers.get("Retry-After", "") if response.code == TOO_MANY else ""
            wait_seconds = int(told) if told.isdecimal() else 0
            raise Refused(response.code, str(answer.get("detail", response.reason)), wait_seconds)
        return answer
