"""Bodies of requests: how much of one is taken, and how a client hears of a refusal while it is still sending.

What a body means is the handlers' business. Tornado's own limit ends the connection with a bare 400, and whoever has
not finished sending finds it reset before the answer is read; here an answer is sent, and the rest let pass.
"""

import asyncio
import sys
from collections.abc import Awaitable
from typing import Any, cast

from tornado.http1connection import HTTP1Connection
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.web import Application

from handlers.json_reader import MAX_BYTES

# Clients that read the answer only after they have sent everything (most phones) are heard out, but not for ever:
# a camera's picture has up to 20 MB.
LINGER_BYTES, LINGER_SECONDS = 32 * 1024 * 1024, 20.0


class BoundedApplication(Application):
    """An application whose handlers are given one byte more than ``MAX_BYTES`` of a body, and then not another.

    That byte makes them refuse it. A handler that takes its body while it comes says so by ``take_all``.
    """

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        if cast("HTTP1Connection", request_conn).stream.closed():
            # Tornado goes on with what had come before it closed the connection, and carries out requests that
            # nobody expects to be (RFC 9112, 9.6). They are passed over.
            return HTTPMessageDelegate()
        return _Body(self, server_conn, request_conn)

    def start_bounded(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """Begin a request as Tornado does."""
        return super().start_request(server_conn, request_conn)


def take_all(connection: HTTPConnection | None, *, seconds: float) -> None:
    """Let all of the body of this connection's request come to its handler, for so long."""
    if isinstance(connection, _Lingering):
        connection.limit = sys.maxsize
        connection.real.set_body_timeout(seconds)


class _Lingering(HTTPConnection):
    """A connection whose body may not have come to its end when it is answered."""

    def __init__(self, real: HTTP1Connection, *, has_body: bool, waits: bool) -> None:
        self.real = real
        self._has_body = has_body
        self.limit = MAX_BYTES + 1
        self.is_answered = False
        self._waits = waits
        self._body_is_over = False
        self._is_finished = False
        self._timer: asyncio.TimerHandle | None = None

    def __getattr__(self, name: str) -> Any:
        """Whatever else handlers ask of a connection."""
        return getattr(self.real, name)

    def write_headers(
        self,
        start_line: RequestStartLine | ResponseStartLine,
        headers: HTTPHeaders,
        chunk: bytes | None = None,
    ) -> "asyncio.Future[None]":
        if self._has_body and not self._body_is_over:
            headers["Connection"] = "close"
        return self.real.write_headers(start_line, headers, chunk)

    def write(self, chunk: bytes) -> "asyncio.Future[None]":
        return self.real.write(chunk)

    def finish(self) -> None:
        """The answer is complete. Finishing it for Tornado would close the connection on a client that still sends."""
        self.is_answered = True
        if self._body_is_over or not self._waits:
            self.let_go()
        else:
            self._timer = asyncio.get_running_loop().call_later(LINGER_SECONDS, self.let_go)

    def let_go(self) -> None:
        """Finish the answer, and with it the connection if the body is not over."""
        if self._timer is not None:
            self._timer.cancel()
        if not self._is_finished:
            self._is_finished = True
            self.real.finish()

    def body_is_over(self) -> None:
        self._body_is_over = True
        if self.is_answered:
            self.let_go()

    def is_closed(self) -> None:
        """Nobody listens any more."""
        self._is_finished = self.is_answered
        if self._timer is not None:
            self._timer.cancel()


class _Body(HTTPMessageDelegate):
    """One request on its way to its handler."""

    _inner: HTTPMessageDelegate

    def __init__(self, app: BoundedApplication, server_conn: object, request_conn: HTTPConnection) -> None:
        self._app = app
        self._server_conn = server_conn
        self._request_conn = cast("HTTP1Connection", request_conn)
        self._connection: _Lingering | None = None
        self._received = 0
        # Whether the handler was told that this is all there is, before it was.
        self._is_cut = False

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        has_body = headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in headers
        self._request_conn.set_max_body_size(sys.maxsize)
        # Without a body, too: a handler that takes bodies while they come may answer before there is none, and the
        # connection would be closed without a word. Who expects to be told to go on has sent nothing of a body yet,
        # and will not once there is an answer.
        waits = not (has_body and "Expect" in headers)
        self._connection = _Lingering(self._request_conn, has_body=has_body, waits=waits)
        self._inner = self._app.start_bounded(self._server_conn, self._connection)
        return self._inner.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        connection = self._connection
        if connection is None:
            return self._inner.data_received(chunk)
        before, self._received = self._received, self._received + len(chunk)
        if connection.is_answered or self._is_cut:
            if self._received > LINGER_BYTES and connection.is_answered:
                connection.let_go()
            return None
        if self._received <= connection.limit:
            return self._inner.data_received(chunk)
        self._is_cut = True
        self._inner.data_received(chunk[: connection.limit - before])
        self._inner.finish()
        return None

    def finish(self) -> None:
        connection = self._connection
        was_answered = connection is not None and connection.is_answered
        if connection is not None:
            connection.body_is_over()
        if self._is_cut:
            return
        if was_answered:
            # A handler that refused while it came waits for its end no more.
            self._inner.on_connection_close()
        else:
            self._inner.finish()

    def on_connection_close(self) -> None:
        if self._connection is not None:
            self._connection.is_closed()
        self._inner.on_connection_close()
