"""Counts requests whose body is still on its way, so that a server that stops waits for them as for all others.

From the moment a handler begins, it counts for itself: see ``ApiHandler.prepare``.
"""

from collections.abc import Awaitable

from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    ResponseStartLine,
)

from config.lifecycle import Lifecycle


class Arrivals(HTTPServerConnectionDelegate):
    """What a server is given in place of its application."""

    def __init__(self, app: HTTPServerConnectionDelegate, lifecycle: Lifecycle) -> None:
        self._app = app
        self._lifecycle = lifecycle

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        return _Arrival(self._app.start_request(server_conn, request_conn), self._lifecycle)

    def on_close(self, server_conn: object) -> None:
        self._app.on_close(server_conn)


class _Arrival(HTTPMessageDelegate):
    """Tornado calls `finish` or `on_connection_close` after `headers_received`, and only one of them."""

    def __init__(self, delegate: HTTPMessageDelegate, lifecycle: Lifecycle) -> None:
        self._delegate = delegate
        self._lifecycle = lifecycle

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        self._lifecycle.request_started()
        return self._delegate.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return self._delegate.data_received(chunk)

    def finish(self) -> None:
        # The handler's first step, which counts the request again, comes before anybody who waits wakes up.
        self._delegate.finish()
        self._lifecycle.request_finished()

    def on_connection_close(self) -> None:
        self._delegate.on_connection_close()
        self._lifecycle.request_finished()
