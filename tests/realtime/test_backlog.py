"""What waits on an instance altogether: counted only where something waits, and cut where most does.
How long one client may let a byte wait is tested with the sweeper, how much one may let wait with the connection.
"""

import logging
from collections.abc import Callable

import pytest

from realtime import backlog as limits
from realtime.backlog import Backlog
from realtime.close_codes import TOO_SLOW
from realtime.connection import Connection
from tests.realtime.fakes import Peer
from tests.support.processes import until

WRITE = bytes(1024)
COST = len(WRITE)


@pytest.fixture(autouse=True)
def small_limits(monkeypatch):
    """Ten writes may wait; cutting goes on down to eight."""
    monkeypatch.setattr(limits, "MAX_TOTAL_BYTES", 10 * COST)
    monkeypatch.setattr(limits, "ENOUGH_TOTAL_BYTES", 8 * COST)


@pytest.fixture
def backlog():
    return Backlog()


def watching(backlog: Backlog) -> Callable[[Connection], None]:
    """What the hub does with a connection whose way out changed."""

    def changed(connection: Connection) -> None:
        if connection.backlogged and not connection.closing:
            backlog.watch(connection)

    return changed


@pytest.fixture
def stall(backlog):
    """A client that takes nothing, with some writes that wait for it."""

    def stall(writes: int = 0) -> Peer:
        peer = Peer()
        peer.connection.on_queued = backlog.grow
        peer.connection.on_change = watching(backlog)
        peer.socket.room = 0
        for _ in range(writes):
            peer.connection.send(WRITE)
        return peer

    return stall


async def test_waiting_bytes_are_what_stream_and_connection_hold(stall):
    peer = stall()
    assert peer.connection.waiting_bytes == 0
    peer.connection.send(WRITE)
    peer.connection.send(WRITE)
    assert peer.connection.waiting_bytes == 2 * COST
    peer.socket.room = 1000
    peer.stream.flush()
    assert peer.connection.waiting_bytes == 2 * COST - 1000
    peer.socket.room = None
    peer.stream.flush()
    assert peer.connection.waiting_bytes == 0
    peer.connection.abort()
    assert peer.connection.waiting_bytes == 0


async def test_those_with_the_most_are_cut_when_too_much_waits(stall):
    slow, slower, slowest = stall(2), stall(3), stall(5)
    assert not any(peer.connection.closing for peer in (slow, slower, slowest))
    slow.connection.send(WRITE)
    assert slowest.connection.close_code == TOO_SLOW
    assert slowest.stream.closed()
    assert not slow.connection.closing
    assert not slower.connection.closing


async def test_cutting_goes_on_until_enough_is_free(stall):
    peers = [stall(1) for _ in range(11)]
    assert sum(peer.connection.closing for peer in peers) == 3
    # The next cut is as far away as was freed.
    more = [stall(1) for _ in range(2)]
    assert sum(peer.connection.closing for peer in peers + more) == 3


async def test_cut_may_meet_whoever_is_writing(stall, backlog):
    peer = stall(11)
    assert peer.connection.close_code == TOO_SLOW
    assert peer.stream.closed()
    assert peer.connection.send(WRITE) == len(WRITE)
    assert len(backlog) == 0


async def test_nobody_is_cut_for_what_has_left_the_buffers(stall, backlog):
    peers = [stall(5) for _ in range(2)]
    for _ in range(20):
        for peer in peers:
            peer.socket.room = None
            peer.stream.flush()
            peer.socket.room = 0
            peer.connection.send(WRITE)
    assert not any(peer.connection.closing for peer in peers)
    # A look counts what is left without anybody being over the limit.
    backlog.look(0)
    stall(7)
    assert not any(peer.connection.closing for peer in peers)


async def test_who_caught_up_is_forgotten_and_watched_again(stall, backlog):
    peer = stall(1)
    assert len(backlog) == 1
    peer.socket.room = None
    peer.stream.flush()
    backlog.look(0)
    assert len(backlog) == 0
    peer.socket.room = 0
    peer.connection.send(WRITE)
    assert len(backlog) == 1
    backlog.forget(peer.connection)
    assert len(backlog) == 0


async def test_many_who_are_too_old_go_by_a_few_and_whoever_catches_up_meanwhile_stays(
    stall, backlog, monkeypatch
):
    monkeypatch.setattr(limits, "CUT_AT_ONCE", 2)
    monkeypatch.setattr(limits, "CUT_EVERY_SECONDS", 0.0)
    peers = [stall(1) for _ in range(8)]
    backlog.look(0)
    backlog.look(limits.MAX_QUEUED_SECONDS)
    assert not any(peer.connection.closing for peer in peers)
    backlog.look(limits.MAX_QUEUED_SECONDS + 1)
    assert sum(peer.connection.closing for peer in peers) == 2
    assert len(backlog) == 6
    left = next(peer for peer in peers if not peer.connection.closing)
    left.socket.room = None
    left.stream.flush()
    backlog.look(limits.MAX_QUEUED_SECONDS + 1)
    await until(lambda: len(backlog) == 0, what="the end of all who are too old")
    assert {peer.connection.close_code for peer in peers if peer is not left} == {TOO_SLOW}
    assert not left.connection.closing


async def test_direct_sends_are_not_counted(backlog):
    peer = Peer()
    peer.connection.on_queued = backlog.grow
    for _ in range(50):
        peer.connection.way_out(WRITE)
    stalled = Peer()
    stalled.connection.on_queued = backlog.grow
    stalled.connection.on_change = watching(backlog)
    stalled.socket.room = 0
    for _ in range(10):
        stalled.connection.send(WRITE)
    assert not stalled.connection.closing


async def test_operators_are_told_once_a_look_how_many_were_cut(stall, backlog, caplog):
    for _ in range(11):
        stall(1)
    assert not caplog.records
    backlog.look(0)
    backlog.look(1)
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "3 connections were cut: too much waited for all together")
    ]


async def test_registered_connections_are_counted_and_the_cut_ones_are_too_slow(hub, log, enter):
    stalled = [await enter() for _ in range(10)]
    healthy = await enter()
    for peer in stalled:
        peer.socket.room = 0
    for number in range(3):
        hub.publish(log.post(number, text="x" * 900))
    assert any(peer.connection.close_code == TOO_SLOW for peer in stalled)
    assert hub._metrics.slow_consumers_dropped._value.get() == sum(
        peer.connection.closing for peer in stalled
    )
    assert healthy.seqs == [1, 2, 3]
