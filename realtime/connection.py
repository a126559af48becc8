"""One open socket: its bounded way out, and the only module that touches a server stream's inside.
Which connections there are, what is sent to whom and when one is too old is decided by the hub and its parts.
"""

import logging
import socket
import ssl
import struct
from collections.abc import Callable, Sized
from typing import Any, Protocol

from realtime.close_codes import GOING_AWAY, TOO_SLOW

logger = logging.getLogger(__name__)

# What may wait for one client, in the stream and beside it in the kernel. Measured with 20 stalled readers: the
# server stays at 40 MB and the kernel at 5 MB, against 293 MB and growing without bounds.
MAX_QUEUED_BYTES = 1 << 20
SEND_BUFFER_BYTES = 64 * 1024

# What one joined send may carry. A healthy socket takes it whole, even with as much again still on its way.
MAX_JOINED_BYTES = SEND_BUFFER_BYTES // 2

# Closing with this drops what the kernel still holds for a reader that does not read (RST instead of FIN).
NO_LINGER = struct.pack("ii", 1, 0)

# The stream's method that an attribute of the same name is put before.
WRITE = "write"

Send = Callable[[bytes], int]


class Stream(Protocol):
    """What is used of a server's socket stream: of Tornado's `IOStream` public parts, its `__dict__`, and what waits."""

    socket: Any
    max_write_buffer_size: int | None
    _write_buffer: Sized

    def write(self, data: bytes | memoryview) -> Any:
        """Queues `data`; a future that is done when it has reached the kernel. Raises when closed or full."""
        ...

    def writing(self) -> bool: ...

    def closed(self) -> bool: ...

    def close(self) -> None: ...


class Connection:
    """One accepted WebSocket.

    Frames go straight to the socket while nothing waits in its stream. What a socket does not take goes to
    the stream, and everything after it is held here until the stream is empty again: a direct send would cut
    into a waiting frame. Holding costs a reference to a frame that all members share, where a write to the
    stream costs a try to send, a future and mostly a copy: a thousand readers that stall would take all the time
    of the others. Who else writes to the stream (pongs, close frames) is not held up, so its `write` is watched.
    A client that lets more than `MAX_QUEUED_BYTES` wait is cut off without a word: a close frame would only
    queue up behind what it does not read.
    """

    __slots__ = (
        "_close",
        "_held",
        "_held_bytes",
        "_marks",
        "_ping",
        "_queued_bytes",
        "_send",
        "_stream",
        "_stream_write",
        "backlogged",
        "beat_at",
        "close_code",
        "closing",
        "community_id",
        "due_at",
        "expires_at",
        "heard",
        "joined",
        "on_change",
        "on_queued",
        "session_id",
        "slot",
        "user_id",
    )

    def __init__(
        self,
        stream: Stream,
        *,
        user_id: int,
        session_id: str,
        expires_at: float,
        close: Callable[[int, str], Any],
        ping: Callable[[], Any],
        community_id: int | None = None,
    ) -> None:
        """Takes over an accepted socket's stream.

        `expires_at` is the token's end in Unix seconds. `close(code, reason)` begins the closing handshake
        and `ping()` writes a ping; both are the WebSocket library's. `community_id` may be set later, after
        registering, but before joining.
        """
        self.user_id = user_id
        self.session_id = session_id
        self.community_id = community_id
        self.expires_at = expires_at
        self.closing = stream.closed()  # Told to close, or lost: it gets nothing more and must not join.
        self.close_code = 0
        self.joined = False
        self.heard = True  # Whether a pong came since the last ping.
        self.beat_at = self.due_at = 0.0  # Monotonic seconds, kept by the sweeper.
        self.slot = -1  # Its place in its room's fan-out.
        # Called when its way out changes: a backlog came or went, or it began to close.
        self.on_change: Callable[[Connection], None] = _nobody_cares
        # Called with how many bytes more wait, here or in the stream.
        self.on_queued: Callable[[int], None] = _nobody_counts
        self._close = close
        self._ping = ping
        self._stream = stream
        self._held: list[bytes | memoryview] = []
        self._held_bytes = 0
        self._queued_bytes = 0  # Of what ever had to wait.
        self._marks: list[tuple[float, int]] = []  # When that was first seen to be so many.
        self._send = None if self.closing else self._prepare(stream)
        self._stream_write = stream.write
        self.backlogged = stream.writing()
        setattr(stream, WRITE, self._watched_write)

    @property
    def is_gone(self) -> bool:
        """Whether its socket is closed."""
        return self._stream.closed()

    @property
    def waiting_bytes(self) -> int:
        """What waits for the client, here and in its stream; frames that others wait for too count in full."""
        if not self._stream.writing():
            return self._held_bytes
        # The stream has no public word for it.
        return self._held_bytes + len(self._stream._write_buffer)  # noqa: SLF001

    @property
    def way_out(self) -> Send:
        """What a fan-out calls with a frame now; it changes with `on_change` and returns the bytes it took."""
        if self.closing:
            return len
        if self._send is None or self.backlogged:
            return self.send
        return self._send

    def send(self, data: bytes) -> int:
        """Takes all of `data`, now or through the stream, or cuts the connection; gives `len(data)`."""
        if self.closing:
            return len(data)
        if self.backlogged:
            self._go_on()
        if self._send is None or self.backlogged:
            self._queue(data)
            return len(data)
        try:
            sent = self._send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            sent = -1
        if sent != len(data):
            self.finish(data, sent)
        return len(data)

    def finish(self, data: bytes, sent: int) -> None:
        """After a direct send that took only `sent` bytes of `data` (-1: the socket failed): does the rest."""
        if sent < 0:
            self.abort()
        else:
            self._queue(memoryview(data)[sent:] if sent else data)

    def close(self, code: int, reason: str = "") -> None:
        """Ends the connection politely: what waits, then a close frame, then nothing. Safe to call twice.

        Whoever closes, the handler too, does it through here, so that no frame follows the close frame.
        """
        if self.closing:
            return
        self._end(code)
        try:
            if self._flush():
                self._close(code, reason)
        except Exception:
            logger.exception("closing a socket with %d failed", code)
            self.abort()

    def abort(self, code: int = GOING_AWAY) -> None:
        """Cuts the connection at once, with all that waits; `code` is what it is counted as, not sent."""
        if not self.closing:
            self._end(code)
        if not self._stream.closed():
            self._forget_held()
            _set_option(self._stream.socket, socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            self._stream.close()

    def ping(self) -> None:
        """Asks the client for a sign of life; a failure cuts the connection."""
        if self.closing:
            return
        try:
            self._ping()
        except Exception:  # noqa: BLE001 - the library's own errors, which all mean that the socket is gone
            self.abort()

    def on_pong(self) -> None:
        """For the handler to call with each pong."""
        self.heard = True

    def oldest_seconds(self, now: float) -> float:
        """How long the oldest waiting byte has waited, 0 if none does, seen at the granularity of the calls."""
        self._go_on()
        waiting = self.waiting_bytes
        if not waiting:
            self._marks.clear()
            return 0.0
        if not self._marks or self._marks[-1][1] != self._queued_bytes:
            self._marks.append((now, self._queued_bytes))
        while self._marks[0][1] <= self._queued_bytes - waiting:
            self._marks.pop(0)
        return now - self._marks[0][0]

    def release(self) -> None:
        """Lets go of the stream. Nothing may be sent afterwards."""
        self.closing = True
        self.on_change = _nobody_cares
        self.on_queued = _nobody_counts
        self._forget_held()
        if WRITE in vars(self._stream):
            delattr(self._stream, WRITE)

    def _prepare(self, stream: Stream) -> Send | None:
        """Bounds the buffers; gives the socket's own `send`, or None under TLS, where only the stream may write."""
        stream.max_write_buffer_size = MAX_QUEUED_BYTES
        _set_option(stream.socket, socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        # A frame does not wait for the client to acknowledge the one before.
        _set_option(stream.socket, socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        send: Send = stream.socket.send
        return None if isinstance(stream.socket, ssl.SSLSocket) else send

    def _queue(self, data: bytes | memoryview) -> None:
        """Hands `data` to the stream, or holds it if something waits there."""
        if not self.backlogged:
            try:
                self._watched_write(data)
            except Exception:  # noqa: BLE001 - closed or full, in the library's own errors; it is cut off by now
                self.abort()
        elif self.waiting_bytes + len(data) > MAX_QUEUED_BYTES:
            self.abort(TOO_SLOW)
        else:
            self._held.append(data)
            self._held_bytes += len(data)
            self._count(len(data))

    def _count(self, size: int) -> None:
        self._queued_bytes += size
        self.on_queued(size)

    def _go_on(self, _written: object = None) -> None:
        """Gives the stream, if it is empty, more of what is held; with nothing left, direct sends may go on."""
        while not self._stream.writing() and not self._stream.closed():
            if not self._held:
                self._recover()
                return
            written = self._stream_write(self._take_held(MAX_JOINED_BYTES))
            if self._stream.writing():
                written.add_done_callback(self._go_on)

    def _flush(self) -> bool:
        """Hands all that is held to the stream; false if there is no room, then the connection is cut."""
        if self._held:
            try:
                self._stream_write(self._take_held(MAX_QUEUED_BYTES))
            except Exception:  # noqa: BLE001 - closed or full, in the library's own errors
                self.abort()
                return False
        return True

    def _take_held(self, most: int) -> bytes | memoryview:
        """The next frames that are held, whole ones, `most` bytes together or one that is longer."""
        count, size = 1, len(self._held[0])
        while count < len(self._held) and size + len(self._held[count]) <= most:
            size += len(self._held[count])
            count += 1
        frames = self._held[:count]
        del self._held[:count]
        self._held_bytes -= size
        return b"".join(frames) if count > 1 else frames[0]

    def _forget_held(self) -> None:
        self._held.clear()
        self._held_bytes = 0

    def _watched_write(self, data: bytes | memoryview) -> Any:
        """Stands before the stream's `write`, whoever calls it."""
        try:
            written = self._stream_write(data)
        except Exception:  # noqa: BLE001 - closed or full, in the library's own errors
            self.abort(TOO_SLOW)
            # Now the stream itself says that it is closed, in the one way its other writers know.
            return self._stream_write(data)
        if self._stream.writing():
            written.add_done_callback(self._go_on)
            if not self.backlogged:
                self.backlogged = True
                self.on_change(self)
            self._count(len(data))
        return written

    def _recover(self) -> None:
        """Nothing waits any more: direct sends may go on."""
        if self.backlogged:
            self.backlogged = False
            self.on_change(self)

    def _end(self, code: int) -> None:
        self.closing = True
        self.close_code = code
        self.on_change(self)


def _nobody_cares(_connection: Connection) -> None:
    """What a connection tells its changes to before it is registered and after it left."""


def _nobody_counts(_size: int) -> None:
    """The same for what it lets wait."""


def _set_option(sock: Any, level: int, option: int, value: int | bytes) -> None:
    try:
        sock.setsockopt(level, option, value)
    except OSError:
        pass  # The peer was faster (macOS refuses options of a socket that is shut down).
