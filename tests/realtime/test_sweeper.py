"""What time does to connections, with a clock that the test moves: beats, dead peers, tokens, old bytes.
The task that calls the sweep every second is tested with the hub.
"""

import logging

import pytest

from realtime.close_codes import BAD_TOKEN, TOO_SLOW
from realtime.sweeper import MAX_ATTENDED
from tests.realtime.fakes import NOON, ROOM, stranger, until


@pytest.fixture
def sweep(hub, clock):
    """Lets seconds pass, one look a second."""

    def sweep(seconds: int = 1, after=lambda: None) -> None:
        for _ in range(seconds):
            clock.advance(1)
            hub._sweeper.tick()
            after()

    return sweep


async def test_heartbeats_come_every_25_seconds_with_the_position(hub, log, enter, sweep):
    peer = await enter()
    hub.publish(log.post(1))
    sweep(200, peer.connection.on_pong)
    beats = [message for message in peer.messages if message["type"] == "heartbeat"]
    assert len(beats) == 8
    assert {beat["position"] for beat in beats} == {"k3x9.1"}
    assert peer.pings == 8


async def test_beats_of_many_are_spread(hub, enter, clock, sweep):
    peers = [await enter() for _ in range(200)]
    for _ in range(25):
        before = sum(peer.pings for peer in peers)
        sweep()
        assert sum(peer.pings for peer in peers) - before <= 30
    assert [peer.pings for peer in peers] == [1] * 200


async def test_heartbeat_does_not_overtake_what_is_on_its_way(hub, log, enter, sweep):
    peers = [await enter() for _ in range(4)]
    hub._rooms.get(ROOM).fanout._slice_sends = 1
    hub.publish(log.post(1))
    sweep(25)
    for peer in peers:
        told = 0
        for message in peer.messages:
            told = message.get("seq", told)
            if message["type"] == "heartbeat":
                assert message["position"] == f"k3x9.{told}"
    assert {message["position"] for peer in peers for message in peer.messages if "seq" not in message} == {
        "k3x9.0",
        "k3x9.1",
    }
    await until(lambda: hub._rooms.get(ROOM).fanout._turn is None)


async def test_dead_peer_is_found_within_60_seconds(hub, enter, sweep, clock):
    peer = await enter()
    sweep(100, peer.connection.on_pong)
    assert not peer.connection.closing
    died = clock.monotonic()
    while not peer.connection.closing:
        sweep()
    assert clock.monotonic() - died <= 60
    assert peer.stream.closed()


async def test_peer_that_was_dead_from_the_start_is_found_within_60_seconds(enter, sweep):
    peers = [await enter() for _ in range(50)]
    sweep(51)
    assert all(peer.connection.closing for peer in peers)


async def test_token_that_ends_closes_within_a_second(hub, enter, sweep):
    peer = await enter(stranger(expires_at=NOON.timestamp() + 900))
    sweep(899, peer.connection.on_pong)
    assert peer.closed_with is None
    sweep(1)
    assert peer.closed_with[0] == BAD_TOKEN


async def test_token_that_ends_before_its_owner_joined_closes_too(hub, sweep):
    peer = stranger(expires_at=NOON.timestamp() + 3, community_id=None)
    hub.register(peer.connection)
    sweep(30)
    assert peer.closed_with[0] == BAD_TOKEN
    assert peer.messages == []


async def test_connection_that_has_not_joined_has_no_heartbeat(hub, sweep):
    peer = stranger(community_id=None)
    hub.register(peer.connection)
    sweep(60)
    assert peer.pings == 0
    assert not peer.connection.closing


async def test_bytes_that_wait_over_ten_seconds_cut_the_connection(hub, log, enter, sweep):
    slow, stalled = await enter(), await enter()
    for peer in (slow, stalled):
        peer.socket.room = 0
    hub.publish(log.post(1))
    sweep(6, slow.connection.on_pong)
    slow.socket.room = None
    slow.stream.flush()
    sweep(5)
    assert not slow.connection.closing
    assert not slow.connection.backlogged
    assert not stalled.connection.closing
    sweep(1)
    assert stalled.connection.close_code == TOO_SLOW
    assert stalled.stream.closed()
    assert slow.seqs == [1]


async def test_connection_that_never_left_is_forgotten_once_its_socket_is_gone(hub, sweep):
    peer = stranger()
    hub.register(peer.connection)
    peer.connection.close(4003)
    sweep(30)
    assert hub.connection_count == 1
    peer.stream.close()
    sweep(30)
    assert hub.connection_count == 0


async def test_connection_that_cannot_be_looked_after_does_not_hold_up_the_others(enter, sweep, caplog):
    peers = [await enter(stranger(expires_at=NOON.timestamp() + 1)) for _ in range(3)]
    peers[1].connection.expires_at = "soon"
    sweep(1)
    assert [peer.closed_with is not None for peer in peers] == [True, False, True]
    assert peers[1].stream.closed()
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    caplog.clear()


async def test_tokens_that_end_all_at_once_are_attended_to_in_parts(hub, sweep):
    peers = [stranger(expires_at=NOON.timestamp() + 1) for _ in range(MAX_ATTENDED + 10)]
    for peer in peers:
        hub.register(peer.connection)
    sweep(1)
    assert sum(peer.closed_with is not None for peer in peers) == MAX_ATTENDED
    sweep(1)
    assert all(peer.closed_with for peer in peers)
