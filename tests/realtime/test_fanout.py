"""The fan-out by itself: slices, bursts, members that come and go in the middle, sockets that fail.
Which frames it is given is tested with the room.
"""

import asyncio
import itertools
import random

import pytest

from realtime.connection import MAX_JOINED_BYTES
from realtime.events import Position
from realtime.fanout import MAX_WAITING_BYTES, FanOut
from realtime.protocol import text_frame
from tests.realtime.fakes import EPOCH, Peer, stranger, until


def at(seq: int) -> Position:
    return Position(EPOCH, seq)


def frame(seq: int) -> bytes:
    return text_frame(b'{"type":"x","seq":%d}' % seq)


@pytest.fixture
async def sent():
    return []


@pytest.fixture
async def room(sent):
    return FanOut(at(0), slice_sends=3, on_sent=sent.append)


def enter(room: FanOut, peer: Peer | None = None) -> Peer:
    peer = peer or stranger()
    peer.connection.on_change = room.reroute
    room.add(peer.connection)
    return peer


async def idle(room: FanOut) -> None:
    await until(lambda: room._turn is None)


async def test_frame_when_idle_is_sent_before_publish_returns(room, sent):
    peers = [enter(room) for _ in range(3)]
    room.publish(frame(1), at(1))
    assert [peer.seqs for peer in peers] == [[1]] * 3
    assert room.started == at(1)
    assert sent == [3]


async def test_large_room_is_served_in_slices_between_turns_of_the_loop(room):
    peers = [enter(room) for _ in range(8)]
    room.publish(frame(1), at(1))
    served = [sum(bool(peer.seqs) for peer in peers)]
    while room._turn is not None:
        await asyncio.sleep(0)
        served.append(sum(bool(peer.seqs) for peer in peers))
    assert served == [3, 6, 8]


async def test_burst_is_joined_into_one_send_each(room, sent):
    peers = [enter(room) for _ in range(4)]
    for seq in range(1, 6):
        room.publish(frame(seq), at(seq))
    assert room.started == at(1)
    await idle(room)
    assert [peer.seqs for peer in peers] == [[1, 2, 3, 4, 5]] * 4
    assert [peer.socket.sends for peer in peers] == [2] * 4
    assert sent == [4, 16]
    assert room.started == at(5)


async def test_burst_is_joined_only_up_to_what_a_socket_takes(room):
    peers = [enter(room) for _ in range(4)]
    big = text_frame(b" " * (MAX_JOINED_BYTES // 2) + b"{}")
    for seq in range(1, 5):
        room.publish(big, at(seq))
    await idle(room)
    assert [peer.socket.sends for peer in peers] == [4] * 4


async def test_member_that_joins_during_a_run_gets_what_has_not_begun(room):
    for _ in range(4):
        enter(room)
    room.publish(frame(1), at(1))
    room.publish(frame(2), at(2))
    started = room.started
    late = enter(room)
    assert started == at(1)
    assert room.told(late.connection) == at(1)
    await idle(room)
    assert late.seqs == [2]


async def test_told_says_what_a_member_was_handed_and_no_more(room):
    peers = [enter(room) for _ in range(5)]
    room.publish(frame(1), at(1))
    assert [room.told(peer.connection).seq for peer in peers] == [1, 1, 1, 0, 0]
    await idle(room)
    assert [room.told(peer.connection).seq for peer in peers] == [1] * 5


async def test_member_that_leaves_during_a_run_gets_nothing_more(room):
    peers = [enter(room) for _ in range(6)]
    room.publish(frame(1), at(1))
    room.remove(peers[4].connection)
    room.remove(peers[4].connection)
    await idle(room)
    assert [peer.seqs for peer in peers] == [[1], [1], [1], [1], [], [1]]
    assert len(room) == 5


async def test_places_of_those_who_left_are_used_up_again(room):
    peers = [enter(room) for _ in range(40)]
    for peer in peers[:30]:
        room.remove(peer.connection)
    room.publish(frame(1), at(1))
    await idle(room)
    assert len(room._sends) == len(room) == 10
    peers[35].connection.close(4001)
    room.publish(frame(2), at(2))
    await idle(room)
    assert [peer.seqs for peer in peers[30:35]] == [[1, 2]] * 5
    assert peers[35].seqs == [1]


async def test_failing_and_full_sockets_do_not_stop_the_others(room):
    peers = [enter(room) for _ in range(5)]
    peers[0].socket.error = BrokenPipeError()
    peers[1].socket.room = 4
    peers[2].socket.room = 0
    room.publish(frame(1), at(1))
    room.publish(frame(2), at(2))
    await idle(room)
    assert peers[0].connection.closing
    for peer in peers[1:3]:
        assert peer.connection.backlogged
        peer.socket.room = None
        peer.stream.flush()
    room.publish(frame(3), at(3))
    await idle(room)
    assert [peer.seqs for peer in peers] == [[], [1, 2, 3], [1, 2, 3], [1, 2, 3], [1, 2, 3]]
    assert peers[1].connection.way_out == peers[1].socket.send


async def test_flush_hands_over_everything_at_once(room):
    peers = [enter(room) for _ in range(7)]
    for seq in (1, 2):
        room.publish(frame(seq), at(seq))
    room.flush()
    assert [peer.seqs for peer in peers] == [[1, 2]] * 7
    assert room.started == at(2)
    assert room._turn is None


async def test_position_without_a_frame_moves_the_room_in_its_turn(room, sent):
    peers = [enter(room) for _ in range(4)]
    room.publish(b"", at(1))
    assert room.started == at(1)
    room.publish(frame(2), at(2))
    room.publish(b"", at(3))
    assert room.started == at(2)
    await idle(room)
    assert room.started == at(3)
    assert [peer.socket.sends for peer in peers] == [1] * 4


async def test_what_has_not_begun_can_be_dropped(room):
    peers = [enter(room) for _ in range(4)]
    for seq in (1, 2):
        room.publish(frame(seq), at(seq))
    room.drop_waiting()
    await idle(room)
    assert [peer.seqs for peer in peers] == [[1]] * 4
    assert room.started == at(1)


async def test_what_waits_for_the_next_turn_can_be_dropped(room):
    peers = [enter(room) for _ in range(4)]
    for seq in (1, 2):
        room.publish(frame(seq), at(seq))
    await asyncio.sleep(0)
    assert room.started == at(1)
    room.drop_waiting()
    await idle(room)
    room.publish(frame(3), at(3))
    await idle(room)
    assert [peer.seqs for peer in peers] == [[1, 3]] * 4


async def test_room_is_behind_when_too_much_waits(room):
    for _ in range(4):
        enter(room)
    half = bytes(MAX_WAITING_BYTES // 2 + 1)
    room.publish(half, at(1))
    room.publish(half, at(2))
    assert not room.is_behind
    room.publish(half, at(3))
    assert room.is_behind
    room.flush()
    assert not room.is_behind


@pytest.mark.parametrize("seed", range(20))
async def test_members_at_random_get_all_from_their_join_in_order(room, seed):
    walk, numbers = random.Random(seed), itertools.count(1)
    inside: dict[Peer, int] = {}
    seen: list[tuple[Peer, int, int]] = []
    last = 0
    for _ in range(300):
        what = walk.random()
        if what < 0.3:
            last = next(numbers)
            room.publish(frame(last), at(last))
        elif what < 0.4 or not inside:
            peer = enter(room)
            inside[peer] = room.started.seq
        elif what < 0.5:
            peer = walk.choice(list(inside))
            seen.append((peer, inside.pop(peer), room.told(peer.connection).seq))
            room.remove(peer.connection)
        elif what < 0.6:
            walk.choice(list(inside)).socket.room = walk.choice([0, 1, 30, None])
        elif what < 0.7:
            peer = walk.choice(list(inside))
            peer.socket.room = None
            peer.stream.flush()
        else:
            await asyncio.sleep(0)
    await idle(room)
    for peer in inside:
        peer.socket.room = None
        peer.stream.flush()
    for peer, since, through in seen + [(peer, since, last) for peer, since in inside.items()]:
        peer.socket.room = None
        if peer.connection.slot >= 0 or not peer.stream._write_buffer:
            assert peer.seqs == list(range(since + 1, through + 1))
