"""Tornado's HTTP server, with a time limit on a new connection's first request, and new ones let in by turns.

What a request may ask and how large it may be is set where the server is made; what is answered is the handlers'.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Iterable
from typing import Any, Final, cast

from tornado.http1connection import HTTP1Connection
from tornado.httpserver import HTTPServer
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.ioloop import IOLoop
from tornado.iostream import IOStream

log = logging.getLogger("cohort.http_server")

# Connections accepted in one turn of the event loop. Tornado takes 128: when a thousand phones came at once, a turn
# was full of their handshakes and took up to 147 ms, and a request that needs the database takes some dozen turns.
ACCEPTED_A_TURN: Final = 8


class PunctualServer(HTTPServer):
    """Closes a connection that has not sent one complete request head in time.

    Tornado's ``idle_connection_timeout`` is both: how long a head may take, and how long a connection that was
    answered may stay idle. A proxy keeps connections for a minute and more, and must not find them closed; a
    stranger who dribbles must not hold one so long. A later head has the idle time, for whoever dribbles there
    holds no more than by keeping quiet.
    """

    def initialize(  # type: ignore[override]  # one argument more
        self, *args: Any, first_head_seconds: float, **kwargs: Any
    ) -> None:
        """``first_head_seconds`` begin when the connection is accepted. The rest is Tornado's."""
        super().initialize(*args, **kwargs)
        self._first_head_seconds = first_head_seconds
        self._timers: dict[object, asyncio.TimerHandle] = {}
        self._listening: list[socket.socket] = []

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        """Accept on these, a few connections in each turn of the loop, so that those who are in are served between."""
        for listening in sockets:
            self._listening.append(listening)
            IOLoop.current().add_handler(listening, self._accept, IOLoop.READ)

    def stop(self) -> None:
        """Let in those who stand at the door, then close it. What was accepted goes on. Safe to call twice.

        The kernel resets connections that nobody has accepted.
        """
        for listening in self._listening:
            IOLoop.current().remove_handler(listening)
            while self._accept_one(listening):
                pass
            listening.close()
        self._listening.clear()

    def _accept(self, listening: socket.socket, _events: int) -> None:
        for _ in range(ACCEPTED_A_TURN):
            if not self._accept_one(listening):
                return

    def _accept_one(self, listening: socket.socket) -> bool:
        """Whether there may be another one."""
        try:
            connection, address = listening.accept()
        except ConnectionAbortedError:
            return True  # it is gone already
        except BlockingIOError:
            return False  # that was all
        except OSError as error:  # out of descriptors, for one
            log.error("cannot accept a connection: %s", error.strerror)  # noqa: TRY400 - no bug of ours
            return False
        self.handle_stream(_Connection(connection), address)
        return True

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """Called by Tornado when a connection was accepted, and again after each answer."""
        delegate = super().start_request(server_conn, request_conn)
        if server_conn in self._timers:
            return delegate
        close = cast("HTTP1Connection", request_conn).close
        timer = asyncio.get_running_loop().call_later(self._first_head_seconds, close)
        self._timers[server_conn] = timer
        return _FirstRequest(delegate, timer)

    def on_close(self, server_conn: object) -> None:
        """Called by Tornado when a connection is closed or became a WebSocket."""
        timer = self._timers.pop(server_conn, None)
        if timer is not None:
            timer.cancel()
        super().on_close(server_conn)


class _Connection(IOStream):
    """Is let go of when it is closed, whatever closed it.

    Tornado's keeps the error that did, for whoever asks; that has a traceback, its frames hold the stream, and with it
    its buffers stay until the garbage collector looks at what is old.
    """

    def close(self, exc_info: Any = False) -> None:  # noqa: FBT002 - Tornado's
        super().close(exc_info)
        if self.error is not None:
            self.error.__traceback__ = None


class _FirstRequest(HTTPMessageDelegate):
    """Stops the timer when the head is there."""

    def __init__(self, delegate: HTTPMessageDelegate, timer: asyncio.TimerHandle) -> None:
        self._delegate = delegate
        self._timer = timer

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        self._timer.cancel()
        return self._delegate.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return self._delegate.data_received(chunk)

    def finish(self) -> None:
        self._delegate.finish()

    def on_connection_close(self) -> None:
        self._delegate.on_connection_close()
