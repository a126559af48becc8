"""A simulated member: logs in, posts, comments and reacts by REST, and hears the feed on a WebSocket of its own.

It does what a phone would do and no more; what is shown of it is decided in ``scripts.demo_screen``.
"""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from tornado.httpclient import AsyncHTTPClient, HTTPError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

Json = dict[str, Any]

# A server that needs longer for one of these requests is not worth watching.
REQUEST_SECONDS = 10.0


class Refused(Exception):
    """The server answered, but with this status; ``detail`` is its sentence."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{detail} ({status})")
        self.status = status
        self.detail = detail


class Member:
    """One person with one phone. ``hear`` gets every frame with the ``perf_counter`` seconds it arrived at."""

    def __init__(
        self, url: str, http: AsyncHTTPClient, hear: Callable[["Member", Json, float], None]
    ) -> None:
        self._url = url.rstrip("/")
        self._http = http
        self._hear = hear
        self._access = ""
        self._socket: WebSocketClientConnection | None = None
        self._greeted: asyncio.Future[None] = asyncio.Future()
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
        tokens = await self._call("POST", "/api/auth/jwt/create/", {"email": email, "password": password})
        self._access = tokens["access"]
        account = await self._call("GET", "/api/auth/users/me/")
        self.id, self.name = account["id"], account["first_name"]

    async def post(self, content: str) -> int:
        """Write a post and give its id. Raises ``Refused``."""
        made = await self._call("POST", "/api/community/feed/", {"content": content})
        self.written.append(made["id"])
        return int(made["id"])

    async def comment(self, post_id: int, content: str) -> None:
        await self._call("POST", f"/api/community/feed/{post_id}/comments/", {"content": content})

    async def react(self, post_id: int, kind: str) -> None:
        await self._call("POST", f"/api/community/feed/{post_id}/react/", {"reaction_type": kind})

    async def delete_post(self, post_id: int) -> None:
        """Delete an own post. One that is gone already is as good."""
        with suppress(Refused):
            await self._call("DELETE", f"/api/community/feed/{post_id}/")
        self.written.remove(post_id)

    async def connect(self) -> None:
        """Open the feed, coming back from the position of the last fact heard, and wait for the first frame.

        Raises ``Refused`` and ``OSError``.
        """
        since = f"?since={self.position}" if self.position else ""
        scheme = "wss" if urlsplit(self._url).scheme == "https" else "ws"
        address = f"{scheme}{self._url.removeprefix('https').removeprefix('http')}/ws/community/feed/{since}"
        request = HTTPRequest(address, headers={"Authorization": f"Bearer {self._access}"})
        self._greeted = asyncio.get_running_loop().create_future()
        try:
            self._socket = await websocket_connect(request, on_message_callback=self._on_message)
        except HTTPError as error:
            raise Refused(error.code, "the feed could not be opened") from error
        async with asyncio.timeout(REQUEST_SECONDS):
            await self._greeted

    def cut(self) -> None:
        """Lose the connection as in a tunnel: without a goodbye."""
        protocol = self._socket.protocol if self._socket is not None else None
        if protocol is not None and protocol.stream is not None:
            protocol.stream.close()
        self.leave()

    def leave(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _on_message(self, message: str | bytes | None) -> None:
        at = time.perf_counter()
        waiting = not self._greeted.done()
        if message is None:
            if waiting:
                code = self._socket.close_code if self._socket is not None else None
                self._greeted.set_exception(Refused(code or 0, "the feed was closed at once"))
            return
        frame: Json = json.loads(message)
        self.position = frame.get("position", self.position)
        self._hear(self, frame, at)
        if waiting:
            self._greeted.set_result(None)

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
            raise Refused(response.code, str(answer.get("detail", response.reason)))
        return answer
