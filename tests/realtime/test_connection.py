"""One connection over a fake socket: where its bytes go, what is bounded, and that nothing is cut into.
The same over real sockets and Tornado is in test_sockets.
"""

import logging
import socket

import pytest

from realtime.close_codes import GOING_AWAY, TOO_SLOW
from realtime.connection import MAX_JOINED_BYTES, MAX_QUEUED_BYTES, SEND_BUFFER_BYTES, Connection
from tests.realtime.fakes import FakeStream, Peer, frames

FRAME = b"\x81\x05hello"


@pytest.fixture
def peer():
    return Peer()


async def test_connection_when_made_bounds_the_buffers(peer):
    assert peer.stream.max_write_buffer_size == MAX_QUEUED_BYTES == 1 << 20
    assert peer.socket.options[socket.SO_SNDBUF] == SEND_BUFFER_BYTES == 64 * 1024


async def test_send_when_nothing_waits_goes_straight_to_the_socket(peer):
    assert peer.connection.way_out == peer.socket.send
    assert peer.connection.send(FRAME) == len(FRAME)
    assert bytes(peer.socket.received) == FRAME
    assert not peer.stream.writing()


@pytest.mark.parametrize("room", [0, 1, 6])
async def test_send_when_partly_taken_leaves_the_rest_to_the_stream(peer, room):
    changes = []
    peer.connection.on_change = lambda connection: changes.append(connection.backlogged)
    peer.socket.room = room
    peer.connection.send(FRAME)
    assert peer.connection.way_out == peer.connection.send
    peer.connection.send(FRAME)
    peer.socket.room = None
    peer.stream.flush()
    peer.connection.send(FRAME)
    assert bytes(peer.socket.received) == FRAME * 3
    assert peer.connection.way_out == peer.socket.send
    assert changes == [True, False]


async def test_frames_for_a_client_that_stalls_are_held_and_not_tried_or_copied(peer):
    peer.socket.room = 0
    frame = bytes(MAX_JOINED_BYTES)
    peer.connection.send(frame)
    sends = peer.socket.sends
    for _ in range(10):
        peer.connection.send(frame)
    assert peer.socket.sends == sends
    assert len(peer.stream._write_buffer) == len(frame)
    assert all(held is frame for held in peer.connection._held)
    assert peer.connection.waiting_bytes == 11 * len(frame)


async def test_held_frames_go_out_joined_and_in_order_as_the_client_takes_them(peer):
    written = []
    numbered = [b"\x81\x02%02d" % number for number in range(100)]
    peer.socket.room = 1
    peer.connection.send(numbered[0])
    peer.connection._stream_write = lambda data: written.append(data) or FakeStream.write(peer.stream, data)
    for frame in numbered[1:]:
        peer.connection.send(frame)
    assert written == []
    peer.socket.room = 100
    peer.stream.flush()
    assert written == [b"".join(numbered[1:])]
    assert peer.connection.backlogged
    peer.socket.room = None
    peer.stream.flush()
    assert bytes(peer.socket.received) == b"".join(numbered)
    assert peer.connection.way_out == peer.socket.send


async def test_held_frames_are_joined_only_up_to_what_the_kernel_takes_at_once(peer):
    written = []
    peer.socket.room = 0
    large, small = bytes(MAX_JOINED_BYTES + 1), bytes(MAX_JOINED_BYTES // 2)
    peer.connection.send(FRAME)
    peer.connection._stream_write = lambda data: written.append(data) or FakeStream.write(peer.stream, data)
    for frame in (small, small, small, large, small):
        peer.connection.send(frame)
    peer.socket.room = None
    peer.stream.flush()
    assert [len(data) for data in written] == [2 * len(small), len(small), len(large), len(small)]
    assert written[2] is large


async def test_pong_does_not_wait_behind_held_frames(peer):
    peer.socket.room = 1
    peer.connection.send(FRAME)
    peer.connection.send(FRAME)
    peer.stream.write(b"\x8a\x00")
    peer.socket.room = None
    peer.stream.flush()
    assert bytes(peer.socket.received) == FRAME + b"\x8a\x00" + FRAME


async def test_close_sends_held_frames_first(peer):
    peer.socket.room = 0
    for _ in range(20):
        peer.connection.send(FRAME)
    peer.connection.close(4003, "out")
    peer.socket.room = None
    peer.stream.flush()
    assert bytes(peer.socket.received[: 20 * len(FRAME)]) == FRAME * 20
    assert frames(bytes(peer.socket.received))[20:] == [(8, (4003).to_bytes(2) + b"out")]


async def test_close_without_room_for_held_frames_cuts(peer):
    peer.socket.room = 0
    peer.connection.send(bytes(MAX_QUEUED_BYTES - len(FRAME)))
    peer.connection.send(FRAME)
    peer.stream.write(b"\x8a\x00")
    peer.connection.close(4003, "out")
    assert peer.stream.closed()
    assert peer.connection.close_code == 4003
    assert peer.closed_with is None


async def test_abort_and_release_let_go_of_held_frames():
    for end in (Connection.abort, Connection.release):
        peer = Peer()
        peer.socket.room = 0
        for _ in range(3):
            peer.connection.send(FRAME)
        end(peer.connection)
        assert not peer.connection._held


async def test_write_of_another_that_leaves_a_backlog_is_noticed(peer):
    peer.socket.room = 1
    peer.stream.write(b"\x8a\x00")
    assert peer.connection.backlogged
    peer.connection.send(FRAME)
    peer.socket.room = None
    peer.stream.flush()
    assert bytes(peer.socket.received) == b"\x8a\x00" + FRAME


async def test_backlog_from_before_the_connection_is_noticed():
    stream = FakeStream()
    stream.socket.room = 0
    stream.write(b"HTTP/1.1 101")
    connection = Connection(
        stream, user_id=1, session_id="s", expires_at=0, close=lambda code, reason: None, ping=lambda: None
    )
    assert connection.way_out == connection.send


async def test_connection_under_tls_writes_through_the_stream_only():
    peer = Peer(tls=True)
    assert peer.connection.way_out == peer.connection.send
    peer.connection.send(FRAME)
    assert bytes(peer.socket.received) == FRAME
    assert peer.connection.way_out == peer.connection.send


async def test_connection_with_too_much_waiting_is_cut(peer):
    peer.socket.room = 0
    frame = bytes(1024)
    for _ in range(MAX_QUEUED_BYTES // 1024):
        peer.connection.send(frame)
    assert not peer.connection.closing
    sock = peer.socket
    assert peer.connection.send(frame) == len(frame)
    assert peer.connection.closing
    assert peer.connection.close_code == TOO_SLOW
    assert peer.stream.closed()
    assert socket.SO_LINGER in sock.options
    assert peer.closed_with is None
    assert peer.connection.send(frame) == len(frame)


async def test_write_of_another_into_a_full_stream_sees_it_closed(peer):
    peer.socket.room = 0
    peer.connection.send(bytes(MAX_QUEUED_BYTES))
    with pytest.raises(OSError, match="Stream is closed"):
        peer.stream.write(b"\x8a\x00")
    assert peer.connection.close_code == TOO_SLOW


@pytest.mark.parametrize("error", [BrokenPipeError(), ConnectionResetError(), OSError(9, "bad descriptor")])
async def test_send_to_a_dead_socket_ends_the_connection(peer, error):
    peer.socket.error = error
    assert peer.connection.send(FRAME) == len(FRAME)
    assert peer.connection.closing
    assert peer.connection.close_code == GOING_AWAY
    assert peer.stream.closed()


async def test_close_sends_what_waits_then_the_close_frame_then_nothing(peer):
    peer.socket.room = 3
    peer.connection.send(FRAME)
    peer.connection.close(4003, "out")
    peer.connection.close(4001, "again")
    assert peer.connection.way_out is len
    peer.connection.send(FRAME)
    peer.connection.ping()
    peer.socket.room = None
    peer.stream.flush()
    assert frames(bytes(peer.socket.received)) == [(1, b"hello"), (8, (4003).to_bytes(2) + b"out")]
    assert peer.closed_with == (4003, "out")


async def test_close_that_fails_is_logged_and_cuts(peer, caplog):
    def fail(code: int, reason: str) -> None:
        raise RuntimeError("no")

    connection = Connection(
        FakeStream(), user_id=1, session_id="s", expires_at=0, close=fail, ping=lambda: None
    )
    connection.close(4003)
    assert connection.is_gone
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    caplog.clear()


async def test_ping_that_fails_cuts(peer):
    peer.stream.close()
    peer.connection.ping()
    assert peer.connection.closing


async def test_connection_to_a_closed_stream_is_closing_from_the_start():
    stream = FakeStream()
    stream.close()
    connection = Connection(
        stream, user_id=1, session_id="s", expires_at=0, close=lambda code, reason: None, ping=lambda: None
    )
    assert connection.closing
    assert connection.send(FRAME) == len(FRAME)


async def test_oldest_seconds_is_the_age_of_what_waits_longest(peer):
    seconds = peer.connection.oldest_seconds
    assert seconds(100) == 0
    peer.socket.room = 0
    peer.connection.send(FRAME)
    assert seconds(101) == 0
    assert seconds(102) == 1
    peer.connection.send(FRAME)
    assert seconds(104) == 3
    peer.socket.room = len(FRAME)
    peer.stream.flush()
    assert seconds(106) == 2
    peer.socket.room = None
    peer.stream.flush()
    assert seconds(107) == 0
    assert not peer.connection.backlogged


async def test_oldest_seconds_counts_the_time_that_bytes_were_held(peer):
    seconds = peer.connection.oldest_seconds
    peer.socket.room = 0
    peer.connection.send(FRAME)
    assert seconds(100) == 0
    peer.connection.send(bytes(MAX_JOINED_BYTES))
    assert seconds(101) == 1
    # The first is gone, the second is half of it in the stream: it has waited since it was held.
    peer.socket.room = len(FRAME) + MAX_JOINED_BYTES // 2
    peer.stream.flush()
    assert seconds(108) == 7
    peer.socket.room = MAX_JOINED_BYTES
    peer.stream.flush()
    assert seconds(109) == 0


async def test_release_gives_the_stream_its_own_write_back(peer):
    peer.connection.release()
    assert "write" not in vars(peer.stream)
    assert peer.connection.closing
    peer.connection.release()


async def test_option_that_the_system_refuses_is_no_error():
    peer = Peer()
    peer.socket.refuses = True
    peer.connection.abort()
    assert peer.stream.closed()
