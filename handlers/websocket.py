"""Tornado's WebSocket made strict: what a client sends is held against RFC 6455, and refusals say their code.

Sending, pongs and the time-out of the closing handshake stay Tornado's; what a message means is its handler's.
"""

import ssl
from contextlib import suppress
from socket import SHUT_WR
from typing import Final

from tornado.iostream import IOStream
from tornado.websocket import WebSocketHandler, WebSocketProtocol, WebSocketProtocol13

from realtime.close_codes import INVALID_TEXT, PROTOCOL_ERROR, TOO_LARGE

# A frame's first two bytes (section 5.2).
FINAL, RESERVED, OPCODE, MASKED, SIZE = 0x80, 0x70, 0x0F, 0x80, 0x7F
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
CONTROL: Final = frozenset({CLOSE, PING, PONG})
MAX_CONTROL_BYTES: Final = 125

# What a close frame may carry (section 7.4.1 and IANA's registry); 3000-4999 are for libraries and applications.
CLOSE_CODES: Final = frozenset({*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)})

# What is still read of a client that was refused: a photo that was on its way, but not a stream without end.
MAX_IGNORED_BYTES, IGNORED_AT_ONCE_BYTES = 4 << 20, 64 * 1024


class Refused(Exception):
    """The client has to go; ``code`` and ``reason`` are what its close frame says."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class StrictWebSocketHandler(WebSocketHandler):
    """A handler whose clients must keep to the protocol."""

    def get_websocket_protocol(self) -> WebSocketProtocol | None:
        protocol = super().get_websocket_protocol()
        if isinstance(protocol, WebSocketProtocol13):
            return StrictWebSocket(self, mask_outgoing=False, params=protocol.params)
        return None

    def _detach_stream(self) -> IOStream:
        """Give the stream of a connection that was upgraded, and let go what is over: 1.3 KiB of 17.2 for each idle socket.

        Tornado puts seven functions into each handler that forbid what belongs to requests, and keeps the request's
        connection with its head.
        """
        stream = self.detach()
        self.request.connection = None
        return stream

    def on_frame(self) -> None:
        """Told of every frame that comes, control frames and broken ones too. May raise ``Refused``."""

    def refuse(self, refused: Refused) -> None:
        """Begin the closing handshake with what ``refused`` says; nothing may be sent after it."""
        self.close(refused.code, refused.reason)


class StrictWebSocket(WebSocketProtocol13):
    """The server's side of one connection, without extensions.

    Tornado by itself takes frames that are not masked, echoes any close code, and mostly hangs up without one.
    """

    handler: StrictWebSocketHandler

    _opcode: int | None = None  # Of the message whose fragments are coming in,
    _message = b""  # and what has come of it.

    async def _receive_frame(self) -> None:
        try:
            await self._take_frame()
        except Refused as refused:
            await self._refuse(refused)

    async def _take_frame(self) -> None:
        first, second = await self._read_bytes(2)
        self.handler.on_frame()
        opcode = self._checked_opcode(first, second)
        size = second & SIZE
        if size > MAX_CONTROL_BYTES:
            size = int.from_bytes(await self._read_bytes(2 if size == 126 else 8))
        if len(self._message) + size > self.params.max_message_size:
            raise Refused(TOO_LARGE, "message too large")
        mask = await self._read_bytes(4)
        payload = masked(mask, await self._read_bytes(size)) if size else b""
        if opcode in CONTROL:
            self._take_control(opcode, payload)
        else:
            await self._take_data(opcode, payload, is_final=bool(first & FINAL))

    def _checked_opcode(self, first: int, second: int) -> int:
        """Give the opcode of a frame that may come now. Raises ``Refused``."""
        opcode = first & OPCODE
        if first & RESERVED:
            raise Refused(PROTOCOL_ERROR, "reserved bits")
        if not second & MASKED:
            raise Refused(PROTOCOL_ERROR, "not masked")
        if opcode in CONTROL:
            if not first & FINAL or second & SIZE > MAX_CONTROL_BYTES:
                raise Refused(PROTOCOL_ERROR, "control frame too long or in parts")
        elif opcode not in {CONTINUATION, TEXT, BINARY}:
            raise Refused(PROTOCOL_ERROR, "unknown opcode")
        elif (opcode == CONTINUATION) != (self._opcode is not None):
            raise Refused(PROTOCOL_ERROR, "fragment out of place")
        return opcode

    async def _take_data(self, opcode: int, payload: bytes, *, is_final: bool) -> None:
        kind = self._opcode or opcode
        message = self._message + payload
        self._opcode, self._message = (None, b"") if is_final else (kind, message)
        if not is_final:
            return
        whole = _decoded(message) if kind == TEXT else message
        if not self.server_terminated:
            handled = self._run_callback(self.handler.on_message, whole)
            if handled is not None:
                await handled

    def _take_control(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self._send_pong(payload)
        elif opcode == PONG:
            self._run_callback(self.handler.on_pong, payload)
        else:
            self._take_close(payload)

    def _take_close(self, payload: bytes) -> None:
        """Answer with the client's own code, or take it as the answer to ours; either way that was all."""
        if payload:
            code = int.from_bytes(payload[:2])
            if len(payload) == 1 or code not in CLOSE_CODES:
                raise Refused(PROTOCOL_ERROR, "close code")
            self.close_code, self.close_reason = code, _decoded(payload[2:])
        self.client_terminated = True
        self.close(self.close_code)

    async def _refuse(self, refused: Refused) -> None:
        """Say why, then read without looking until the client has gone, for a few seconds.

        A socket that is closed with bytes unread is reset, and the close frame is lost with them.
        """
        if self.server_terminated:
            self._abort()
            return
        self.handler.refuse(refused)
        self._end_sending()
        ignored = 0
        while ignored < MAX_IGNORED_BYTES:
            ignored += len(await self.stream.read_bytes(IGNORED_AT_ONCE_BYTES, partial=True))
        self._abort()

    def _end_sending(self) -> None:
        """Let the client see the end behind the close frame; it would wait for it before it closes its side."""
        if self.stream.closed() or self.stream.writing() or isinstance(self.stream.socket, ssl.SSLSocket):
            return
        with suppress(OSError):
            self.stream.socket.shutdown(SHUT_WR)


def masked(mask: bytes, payload: bytes) -> bytes:
    """Give the payload masked, or, which is the same, as it was before."""
    key = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload) ^ int.from_bytes(key)).to_bytes(len(payload))


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise Refused(INVALID_TEXT, "not UTF-8") from None
