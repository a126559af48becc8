"""The WebSocket protocol by raw frames, after the cases of the Autobahn test suite: what is taken, what is refused.

An echo shows what was understood; that the feed refuses the same way is at the end.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator

import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketProtocol13

from config.deps import Deps
from handlers import websocket
from handlers.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    StrictWebSocket,
    StrictWebSocketHandler,
)
from tests.realtime.fakes import until
from tests.support.groups import Groups
from tests.support.raw_socket import RawSocket, close_frame, dial, dial_feed, frame

EURO = "€".encode()
PROBE, PROVED = frame(PING, b"still there?"), (PONG, b"still there?")
NO_UTF8 = {
    "a lone continuation byte": b"abc\x80",
    "an overlong slash": b"\xc0\xaf",
    "an overlong euro": b"\xf0\x82\x82\xac",
    "a surrogate": b"\xed\xa0\x80",
    "beyond the last character": b"\xf4\x90\x80\x80",
    "an impossible byte": b"\xff",
    "half a character": EURO[:2],
    "good, then bad": "κόσμε".encode() + b"\xed\xa0\x80edited",
}


def fragments(opcode: int, *parts: bytes, between: bytes = b"") -> bytes:
    """Give one message in these parts, with other frames between them."""
    frames = [
        frame(CONTINUATION if number else opcode, part, final=number == len(parts) - 1)
        for number, part in enumerate(parts)
    ]
    return between.join(frames)


TAKEN: dict[str, tuple[bytes, list[tuple[int, bytes]]]] = {
    "text": (frame(TEXT, b"hello"), [(TEXT, b"hello")]),
    "empty text": (frame(TEXT), [(TEXT, b"")]),
    "empty binary": (frame(BINARY), [(BINARY, b"")]),
    "binary that is no text": (frame(BINARY, b"\xff\x00\xfe"), [(BINARY, b"\xff\x00\xfe")]),
    "text of all kinds": (frame(TEXT, "κόσμε😀\0".encode()), [(TEXT, "κόσμε😀\0".encode())]),
    "last code points": (frame(TEXT, "\ufffe\U0010ffff".encode()), [(TEXT, "\ufffe\U0010ffff".encode())]),
    "mask of zeros": (frame(TEXT, b"hello", mask=bytes(4)), [(TEXT, b"hello")]),
    "two messages at once": (frame(TEXT, b"a") + frame(BINARY, b"b"), [(TEXT, b"a"), (BINARY, b"b")]),
    "fragments": (fragments(TEXT, b"frag", b"ment"), [(TEXT, b"fragment")]),
    "binary fragments": (fragments(BINARY, b"\xff", b"\xfe"), [(BINARY, b"\xff\xfe")]),
    "empty fragments": (fragments(TEXT, b"", b"a", b"", b"b", b""), [(TEXT, b"ab")]),
    "nothing but empty fragments": (fragments(TEXT, b"", b"", b""), [(TEXT, b"")]),
    "character split over fragments": (fragments(TEXT, EURO[:1], EURO[1:2], EURO[2:]), [(TEXT, EURO)]),
    "pings between fragments": (
        fragments(TEXT, b"a", b"b", b"c", between=frame(PING, b"p")),
        [(PONG, b"p"), (PONG, b"p"), (TEXT, b"abc")],
    ),
    "pongs between fragments": (fragments(TEXT, b"a", b"b", between=frame(PONG, b"p")), [(TEXT, b"ab")]),
    "fragments after fragments": (
        fragments(TEXT, b"a", b"b") + fragments(BINARY, b"c", b"d"),
        [(TEXT, b"ab"), (BINARY, b"cd")],
    ),
    "ping": (frame(PING), [(PONG, b"")]),
    "ping with any bytes": (frame(PING, b"\x00\xff\xfe"), [(PONG, b"\x00\xff\xfe")]),
    "longest ping": (frame(PING, bytes(125)), [(PONG, bytes(125))]),
    "ten pings": (
        b"".join(frame(PING, b"%d" % n) for n in range(10)),
        [(PONG, b"%d" % n) for n in range(10)],
    ),
    "pong that nobody asked for": (frame(PONG, b"hello"), []),
    **{
        f"text of {size} bytes": (frame(TEXT, b"x" * size), [(TEXT, b"x" * size)])
        for size in (125, 126, 127, 128, 4095, 4096)
    },
    "fragments up to the limit": (
        fragments(TEXT, b"x" * 2048, b"y" * 2048),
        [(TEXT, b"x" * 2048 + b"y" * 2048)],
    ),
}

REFUSED: dict[str, tuple[bytes, int]] = {
    **{f"reserved bits {bits:03b}": (frame(TEXT, b"x", reserved=bits), 1002) for bits in range(1, 8)},
    "reserved bit of a ping": (frame(PING, b"x", reserved=4), 1002),
    "reserved bit of a close": (frame(CLOSE, reserved=1), 1002),
    "reserved bit of a fragment": (
        frame(TEXT, b"a", final=False) + frame(CONTINUATION, b"b", reserved=2),
        1002,
    ),
    **{f"opcode {code:#x}": (frame(code, b"x"), 1002) for code in (*range(3, 8), *range(0xB, 0x10))},
    "opcode 3 between fragments": (frame(TEXT, b"a", final=False) + frame(3), 1002),
    "text not masked": (frame(TEXT, b"hello", mask=None), 1002),
    "ping not masked": (frame(PING, mask=None), 1002),
    "close not masked": (frame(CLOSE, b"\x03\xe8", mask=None), 1002),
    "ping in fragments": (frame(PING, b"a", final=False) + frame(CONTINUATION, b"b"), 1002),
    "pong in fragments": (frame(PONG, b"a", final=False), 1002),
    "close in fragments": (frame(CLOSE, b"\x03", final=False) + frame(CONTINUATION, b"\xe8"), 1002),
    "ping of 126 bytes": (frame(PING, bytes(126)), 1002),
    "pong of 126 bytes": (frame(PONG, bytes(126)), 1002),
    "close of 126 bytes": (frame(CLOSE, b"\x03\xe8" + b"x" * 124), 1002),
    "ping of 64 KiB": (frame(PING, bytes(1 << 16)), 1002),
    "nothing to continue": (frame(CONTINUATION, b"x"), 1002),
    "nothing to continue, more to come": (frame(CONTINUATION, b"x", final=False), 1002),
    "continued after the end": (fragments(TEXT, b"a", b"b") + frame(CONTINUATION, b"c"), 1002),
    "text inside a text": (frame(TEXT, b"a", final=False) + frame(TEXT, b"b"), 1002),
    "binary inside a text": (frame(TEXT, b"a", final=False) + frame(BINARY, b"b"), 1002),
    "text inside a text, with a pong": (
        frame(TEXT, b"a", final=False) + frame(PONG) + frame(TEXT, b"b", final=False),
        1002,
    ),
    **{f"text with {name}": (frame(TEXT, text), 1007) for name, text in NO_UTF8.items()},
    **{
        f"fragments with {name}": (fragments(TEXT, text[:1], text[1:2], text[2:]), 1007)
        for name, text in NO_UTF8.items()
    },
    "text of 4097 bytes": (frame(TEXT, b"x" * 4097), 1009),
    "binary of 64 KiB": (frame(BINARY, bytes(1 << 16)), 1009),
    "binary of 2 MiB": (frame(BINARY, bytes(2 << 20)), 1009),
    "a head that promises 2^63 bytes": (frame(BINARY, size=1 << 63), 1009),
    "a head that promises 2^64 bytes": (frame(BINARY, size=(1 << 64) - 1), 1009),
    "fragments beyond the limit": (fragments(TEXT, b"x" * 2048, b"x" * 2049), 1009),
    "close with one byte": (frame(CLOSE, b"\x03"), 1002),
    **{
        f"close with {code}": (close_frame(code), 1002)
        for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    },
    "close with a wrong code and a reason": (close_frame(1005, b"why"), 1002),
    **{
        f"close because of {name}": (close_frame(1000, reason), 1007)
        for name, reason in NO_UTF8.items()
    },
}  # fmt: skip


class Echo(StrictWebSocketHandler):
    def initialize(self, opened: list["Echo"]) -> None:
        opened.append(self)

    async def on_message(self, message: str | bytes) -> None:
        if message == "close":
            self.close(4003, "out")
        else:
            await self.write_message(message, binary=isinstance(message, bytes))


@pytest.fixture
def opened() -> list[Echo]:
    return []


@pytest.fixture
async def echo(opened: list[Echo]) -> AsyncIterator[RawSocket]:
    """A raw client of an echo that takes what the feed takes."""
    server = HTTPServer(Application([("/", Echo, {"opened": opened})], websocket_max_message_size=4096))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    async with dial(f"http://127.0.0.1:{sockets[0].getsockname()[1]}") as client:
        yield client
    # Whatever was sent, the server's side ends with the client's.
    await until(lambda: all(handler._on_close_called for handler in opened))
    server.stop()
    await server.close_all_connections()


@pytest.mark.parametrize("case", TAKEN)
@pytest.mark.parametrize("piece_bytes", [1 << 20, 7, 1])
async def test_frames_are_taken(echo: RawSocket, case: str, piece_bytes: int) -> None:
    sent, answers = TAKEN[case]
    await echo.send_in_pieces(sent + PROBE, piece_bytes)
    assert [await echo.next() for _ in range(len(answers) + 1)] == [*answers, PROVED]


@pytest.mark.parametrize("case", REFUSED)
async def test_frames_are_refused_with_their_code(echo: RawSocket, case: str) -> None:
    sent, code = REFUSED[case]
    await echo.send(frame(TEXT, b"first") + PROBE)
    assert [await echo.next(), await echo.next()] == [(TEXT, b"first"), PROVED]
    await echo.send(sent + PROBE)
    frames = await echo.rest()
    assert [opcode for opcode, _ in frames].index(CLOSE) == len(frames) - 1, "one close frame, then nothing"
    assert int.from_bytes(frames[-1][1][:2]) == code


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4003, 4999])
async def test_close_is_answered_with_its_own_code(echo: RawSocket, code: int) -> None:
    await echo.send(close_frame(code, "bis später".encode()))
    assert await echo.rest() == [(CLOSE, code.to_bytes(2))]


@pytest.mark.parametrize("payload", [b"", b"\x03\xe8", b"\x03\xe8" + b"x" * 123])
async def test_close_is_answered_whatever_it_says_or_not(echo: RawSocket, payload: bytes) -> None:
    await echo.send(frame(CLOSE, payload))
    assert await echo.rest() == [(CLOSE, payload[:2])]


async def test_close_may_come_between_fragments(echo: RawSocket) -> None:
    await echo.send(frame(TEXT, b"unfinished", final=False) + close_frame(1000))
    assert await echo.rest() == [(CLOSE, b"\x03\xe8")]


async def test_nothing_is_taken_after_a_close(echo: RawSocket) -> None:
    await echo.send(close_frame(1000) + frame(TEXT, b"late") + PROBE + close_frame(1001) + b"\xff" * 100)
    assert await echo.rest() == [(CLOSE, b"\x03\xe8")]


async def test_server_closes_and_the_client_answers(echo: RawSocket) -> None:
    await echo.send(frame(TEXT, b"close"))
    assert await echo.next() == (CLOSE, (4003).to_bytes(2) + b"out")
    # What was on its way is not obeyed and not answered.
    await echo.send(frame(TEXT, b"late") + PROBE + close_frame(4003))
    assert await echo.next() is None


async def test_both_sides_close_at_once(echo: RawSocket) -> None:
    await echo.send(frame(TEXT, b"close") + close_frame(1000))
    assert await echo.rest() == [(CLOSE, (4003).to_bytes(2) + b"out")]


@pytest.mark.parametrize("answer", [close_frame(1005), frame(CLOSE, b"\x03"), frame(3), frame(TEXT, b"\xff")])
async def test_broken_answer_to_a_close_gets_no_second_one(echo: RawSocket, answer: bytes) -> None:
    await echo.send(frame(TEXT, b"close"))
    assert await echo.next() == (CLOSE, (4003).to_bytes(2) + b"out")
    await echo.send(answer)
    assert await echo.next() is None


@pytest.mark.parametrize("cut", [0, 1, 3, 5, 9])
async def test_half_closed_connection_is_closed(echo: RawSocket, cut: int) -> None:
    """Where a client's direction ends, in the middle of a frame or after one, so does the connection."""
    await echo.send(PROBE + frame(TEXT, b"unfinished")[:cut])
    assert await echo.next() == PROVED
    echo.end_sending()
    assert await echo.next() is None


@pytest.mark.parametrize("cut", [0, 1, 3, 9])
async def test_client_may_vanish_within_a_frame(echo: RawSocket, opened: list[Echo], cut: int) -> None:
    await echo.send(PROBE + frame(TEXT, b"unfinished")[:cut])
    assert await echo.next() == PROVED
    echo.reset()
    await until(lambda: opened[0]._on_close_called)


async def test_refused_client_that_goes_on_sending_is_cut_off(
    echo: RawSocket, opened: list[Echo], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "MAX_IGNORED_BYTES", 100_000)
    await echo.send(frame(3))
    assert await echo.next() == (CLOSE, (1002).to_bytes(2) + b"unknown opcode")
    assert not opened[0]._on_close_called
    await echo.send(bytes(200_000))
    await until(lambda: opened[0]._on_close_called)


async def test_extensions_that_are_offered_are_not_used(echo: RawSocket) -> None:
    # The first bit would be a compressed message's.
    await echo.send(frame(TEXT, b"\xca\x48\xcd\xc9\xc9\x07\x00", reserved=4))
    assert await echo.closed() == 1002


def test_tornado_still_has_what_the_strict_protocol_relies_on() -> None:
    theirs = WebSocketProtocol13
    for name in ("_receive_frame", "_read_bytes"):
        assert inspect.iscoroutinefunction(getattr(theirs, name)), f"Tornado's {name} has changed"
    for name in ("_run_callback", "_send_pong", "_abort", "close", "is_closing"):
        assert callable(getattr(theirs, name)), f"Tornado's {name} is gone"
    # Its loop reads by the one method that is replaced, until the client has closed or is cut off.
    loop = inspect.getsource(theirs._receive_frame_loop)
    assert "while not self.client_terminated" in loop
    assert "await self._receive_frame()" in loop
    assert "except StreamClosedError" in loop
    assert "on_ws_connection_close(self.close_code, self.close_reason)" in loop
    assert StrictWebSocket._receive_frame is not theirs._receive_frame
    # Its closing sends one frame at most and is bounded in time.
    close = inspect.getsource(theirs.close)
    assert "if not self.server_terminated" in close
    assert "add_timeout" in close
    assert set(inspect.signature(theirs.__init__).parameters) == {
        "self",
        "handler",
        "mask_outgoing",
        "params",
    }


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(TEXT, b"x", reserved=4), 1002),
        (frame(TEXT, b"x", mask=None), 1002),
        (frame(0xB), 1002),
        (close_frame(1005), 1002),
        (close_frame(1000, b"\xff"), 1007),
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"x" * 4097), 1009),
        (frame(BINARY, bytes(2 << 20)), 1009),
        (frame(PING) * 31, 1008),
        (close_frame(1000), 1000),
        (frame(TEXT, b"nobody obeys") + close_frame(4999), 4999),
    ],
    ids=[
        *(
            "reserved bit",
            "not masked",
            "opcode",
            "close code",
            "close reason",
            "text",
            "large",
            "very large",
        ),
        *("pings", "close", "close after a text"),
    ],
)
async def test_s29_feed_refuses_with_the_code_and_sends_nothing_after_it(
    groups: Groups, base_url: str, deps: Deps, sent: bytes, code: int
) -> None:
    trainer = await groups.trainer()
    async with dial_feed(base_url, trainer.token) as client:
        await client.send(sent)
        writing = asyncio.create_task(trainer.write("meanwhile"))
        frames = [each for each in await client.rest() if each[0] != PONG]
        await writing
    while frames and frames[0][0] == TEXT:
        frames.pop(0)
    assert [opcode for opcode, _ in frames] == [CLOSE]
    assert int.from_bytes(frames[0][1][:2]) == code
    await until(lambda: deps.realtime.connection_count == 0)
