"""WebSocket frames as bytes (RFC 6455), for clients that are too many for a client library.

Sockets are their users' business; only whole, unfragmented frames are known here, as the server sends no others.
"""

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10

HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def client_frame(opcode: int, payload: bytes) -> bytes:
    """A masked frame of at most 125 bytes; the mask is zero, which leaves the payload as it is."""
    return bytes((0x80 | opcode, 0x80 | len(payload))) + bytes(4) + payload


def frame_ends(stream: bytes) -> tuple[list[tuple[int, int, int]], int]:
    """The whole unmasked frames in `stream` as (opcode, start and end of the payload), and where they end."""
    frames = []
    at, length = 0, len(stream)
    while at + 2 <= length:
        size, start = stream[at + 1] & 0x7F, at + 2
        if size == 126:
            size, start = int.from_bytes(stream[at + 2 : at + 4]), at + 4
        elif size == 127:
            size, start = int.from_bytes(stream[at + 2 : at + 10]), at + 10
        if start + size > length:
            break
        frames.append((stream[at] & 0x0F, start, start + size))
        at = start + size
    return frames, at
