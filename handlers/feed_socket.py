"""The live feed's WebSocket: who may connect, to which room, and what a client that talks too much gets.

What is sent, and when, is the hub's. Nothing a client sends is obeyed.
"""

import asyncio
import logging
import secrets
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from tornado.web import HTTPError

from community.actor import Actor
from community.errors import BadToken
from community.sessions import authenticate
from community.tokens import ACCESS
from config.deps import Deps
from config.log import request_id
from handlers.base import REQUEST_ID
from handlers.errors import Answer, MethodNotAllowed, UnknownHost, answer_to, problem
from handlers.host_header import is_known
from handlers.websocket import Refused, StrictWebSocketHandler
from realtime.close_codes import BAD_TOKEN, GOING_AWAY, NO_GROUP, POLICY, TRY_LATER, retry_after
from realtime.connection import Connection
from realtime.events import Position
from store.errors import StoreUnavailable

log = logging.getLogger("cohort.feed_socket")

PROTOCOL, VERSION = "cohort.v1", "13"
# A phone has nothing to say but control frames; these bound what a hostile one can make us read.
MAX_FRAME_BYTES, MAX_FRAMES, FRAMES_SECONDS = 4096, 30, 60.0
# From the upgrade to the room: two queries that are given up after 5 s each, and reads of the log after 10 s each.
JOIN_SECONDS = 30.0


class FeedSocketHandler(StrictWebSocketHandler):
    deps: Deps
    _connection: Connection | None = None

    def initialize(self, deps: Deps, join_seconds: float = JOIN_SECONDS) -> None:
        self.deps = deps
        self._join_seconds = join_seconds
        given = self.request.headers.get("X-Request-ID", "")
        self.request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        self._frames = 0
        self._frames_since = 0.0

    def set_default_headers(self) -> None:
        self.clear_header("Server")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer what never became a socket in the contract's shape; Tornado's own page would be HTML."""
        error = kwargs.get("exc_info", (None, None))[1]
        if status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            error = MethodNotAllowed(str(self.request.method), ("GET",))
        self._refuse(answer_to(error or HTTPError(status_code)))

    def _refuse(self, answer: Answer) -> None:
        self.set_status(answer.status)
        self.set_header("X-Request-ID", self.request_id)
        self.set_header("Content-Type", "application/json")
        for name, value in answer.headers.items():
            self.set_header(name, value)
        self.finish(answer.body)

    async def get(self, *args: str, **kwargs: str) -> None:
        """Upgrade, or say in the contract's words why not."""
        headers = self.request.headers
        if not is_known(self.request.host, self.deps.settings):
            self._refuse(answer_to(UnknownHost()))
            return
        upgrades = [word.strip().lower() for word in headers.get("Connection", "").split(",")]
        if headers.get("Upgrade", "").lower() != "websocket" or "upgrade" not in upgrades:
            self._refuse(problem(400, "Connect here with a WebSocket.", "upgrade_required"))
            return
        origin = headers.get("Origin")
        if origin is not None and not self.check_origin(origin):
            self._refuse(problem(403, "This origin is not allowed.", "origin_not_allowed"))
            return
        if headers.get("Sec-WebSocket-Version") != VERSION or not headers.get("Sec-WebSocket-Key"):
            spoken = {"Sec-WebSocket-Version": VERSION}
            self._refuse(problem(426, "Speak WebSocket version 13 here.", "upgrade_required", spoken))
            return
        await super().get(*args, **kwargs)

    def prepare(self) -> None:
        request_id.set(self.request_id)

    def check_origin(self, origin: str) -> bool:
        """Let browsers in from this host and the allowed origins; without an Origin it is a native app."""
        if origin in self.deps.settings.allowed_origins:
            return True
        return urlsplit(origin).netloc.lower() == self.request.host.lower()

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        return PROTOCOL if PROTOCOL in subprotocols else None

    async def open(self, *_: str, **__: str) -> None:
        """Admit the client, or close with the code that tells it what to do."""
        token = self._token()
        since_text = self._argument("since")
        # What upgraded the connection is not needed for the hours to come, and holds the token.
        self.request.headers.clear()
        self.request.uri = self.request.path
        self.request.query = ""
        self.request.query_arguments.clear()
        self.request.arguments.clear()
        if self.deps.lifecycle.draining:
            self.close(GOING_AWAY, retry_after())
            return
        if self.deps.realtime.is_full:
            self.close(TRY_LATER, "full")
            return
        try:
            claims = self.deps.tokens.read(token, token_type=ACCESS)
        except BadToken:
            self.close(BAD_TOKEN, "token")
            return
        connection = Connection(
            self.ws_connection.stream,  # type: ignore[union-attr,arg-type]  # it is open
            user_id=claims.user_id,
            session_id=claims.session_id,
            expires_at=claims.expires_at,
            close=self.close,
            ping=self._ping,
        )
        self._connection = connection
        # Known under its user before membership is read, so that a removal meanwhile is not missed.
        self.deps.realtime.register(connection)
        try:
            async with asyncio.timeout(self._join_seconds):
                await self._join(connection, token, since_text)
        except TimeoutError:
            log.warning("a socket was not in its room within %.0f s", self._join_seconds)
            connection.close(TRY_LATER, "timeout")
        except Exception:
            log.exception("the feed's socket failed")
            connection.close(TRY_LATER, "failed")

    async def _join(self, connection: Connection, token: str, since_text: str | None) -> None:
        try:
            actor: Actor = await authenticate(self.deps, token, fresh=True)
        except BadToken:
            connection.close(BAD_TOKEN, "token")
            return
        except StoreUnavailable:
            connection.close(TRY_LATER, "database")
            return
        if actor.community_id is None:
            connection.close(NO_GROUP, "no group")
            return
        if connection.closing:
            return
        connection.community_id = actor.community_id
        since = Position.parse(since_text) if since_text is not None else None
        await self.deps.realtime.join(connection, since, asked=since_text is not None)

    def _token(self) -> str:
        """Give the token from wherever the client could put it; empty where there is none."""
        headers = self.request.headers
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return token.strip()
        for offered in headers.get("Sec-WebSocket-Protocol", "").split(","):
            if offered.strip().startswith("bearer."):
                return offered.strip().removeprefix("bearer.")
        return self._argument("token") or ""

    def _argument(self, name: str) -> str | None:
        """Give a value of the query; what is no UTF-8 there is no token and no position either."""
        values = self.request.query_arguments.get(name)
        return values[-1].decode(errors="replace").strip() if values else None

    def _ping(self) -> None:
        self.ping(b"")

    def on_frame(self) -> None:
        """Count every frame, pings and fragments too: a phone sends two or three control frames a minute."""
        now = self.deps.clock.monotonic()
        if now - self._frames_since > FRAMES_SECONDS:
            self._frames, self._frames_since = 0, now
        self._frames += 1
        if self._frames > MAX_FRAMES:
            raise Refused(POLICY, "flood")

    def on_message(self, message: str | bytes) -> None:
        """Obey nothing a client says."""

    def refuse(self, refused: Refused) -> None:
        """Through the connection, which knows that nothing may follow the close frame."""
        if self._connection is not None:
            self._connection.close(refused.code, refused.reason)
        else:
            super().refuse(refused)

    def on_pong(self, data: bytes) -> None:  # noqa: ARG002 - that it came is all
        if self._connection is not None:
            self._connection.on_pong()

    def on_close(self) -> None:
        if self._connection is not None:
            self.deps.realtime.leave(self._connection)
            self._connection = None

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if not isinstance(value, HTTPError):
            log.error("the feed's socket failed", exc_info=(typ, value, tb))
