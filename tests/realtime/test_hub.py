"""The door: who is closed when, what listeners hear, how rooms live and end, and how an instance stops.
Order, replay and sockets have tests of their own.
"""

import asyncio
import logging

import pytest

from config.metrics import Metrics
from realtime.broker import LocalBroker
from realtime.close_codes import BAD_TOKEN, GOING_AWAY, NO_GROUP, TOO_MANY, TOO_SLOW, TRY_LATER
from realtime.events import AuthorChanged, GroupClosed, Position, SessionClosed, UserClosed
from realtime.fanout import SLICE_SENDS
from realtime.hub import MAX_CONNECTIONS, MAX_CONNECTIONS_OF_USER, Hub
from realtime.live_rooms import LINGER_SECONDS
from tests.realtime.fakes import NOON, ROOM, MemoryLog, Peer, stranger, until


class RecordingBroker(LocalBroker):
    """Remembers what was handed to it, and can fail."""

    def __init__(self) -> None:
        self.published = []
        self.subscribed = []
        self.deliver = None
        self.error = None

    async def start(self, deliver, missed):
        self.deliver = deliver
        self.missed = missed

    def publish(self, envelope):
        if self.error:
            raise self.error
        self.published.append(envelope)

    async def subscribe(self, community_id):
        self.subscribed.append(community_id)

    def unsubscribe(self, community_id):
        self.subscribed.remove(community_id)


async def test_user_who_is_closed_loses_all_connections_and_no_other_does(hub, enter):
    peers = [await enter(Peer(user_id=user_id)) for user_id in (1, 1, 2)]
    hub.control(UserClosed(user_id=1, code=NO_GROUP))
    assert [peer.closed_with for peer in peers] == [(NO_GROUP, ""), (NO_GROUP, ""), None]


async def test_session_that_is_closed_loses_its_connections_only(hub, enter):
    peers = [await enter(Peer(session_id=session_id)) for session_id in ("a", "a", "b")]
    hub.control(SessionClosed(session_id="a", code=BAD_TOKEN))
    assert [peer.closed_with for peer in peers] == [(BAD_TOKEN, ""), (BAD_TOKEN, ""), None]


async def test_group_that_is_closed_loses_its_room_and_sends_back_the_undecided(hub, enter):
    inside, outside = await enter(), await enter(stranger(community_id=8))
    undecided = stranger(community_id=None)
    hub.register(undecided.connection)
    hub.control(GroupClosed(community_id=ROOM, code=NO_GROUP))
    assert inside.closed_with == (NO_GROUP, "")
    assert outside.closed_with is None
    assert undecided.closed_with == (GOING_AWAY, "retry_after=0.0")


async def test_connection_that_is_closed_before_it_joined_does_not_join(hub, log):
    peer = stranger(community_id=None)
    hub.register(peer.connection)
    hub.control(UserClosed(user_id=peer.user_id, code=NO_GROUP))
    assert peer.connection.closing
    peer.connection.community_id = ROOM
    await hub.join(peer.connection, None, asked=False)
    assert peer.messages == []
    assert log.reads == []


async def test_join_without_a_room_is_a_mistake(hub):
    peer = stranger(community_id=None)
    hub.register(peer.connection)
    with pytest.raises(ValueError, match="community_id"):
        await hub.join(peer.connection, None, asked=False)


async def test_join_of_an_unregistered_connection_does_nothing(hub, log):
    await hub.join(stranger().connection, None, asked=False)
    assert log.reads == []


async def test_user_with_too_many_connections_loses_the_oldest(hub, enter):
    peers = [await enter(Peer(user_id=1)) for _ in range(MAX_CONNECTIONS_OF_USER + 2)]
    assert [peer.closed_with and peer.closed_with[0] for peer in peers] == [TOO_MANY, TOO_MANY] + [None] * 5
    hub.leave(peers[2].connection)
    await enter(Peer(user_id=1))
    assert peers[3].closed_with is None


async def test_instance_that_is_full_turns_away(hub):
    peers = [Peer(user_id=user_id) for user_id in range(MAX_CONNECTIONS)]
    for peer in peers:
        hub.register(peer.connection)
    assert hub.is_full
    assert hub.connection_count == MAX_CONNECTIONS
    late = stranger()
    hub.register(late.connection)
    assert late.closed_with[0] == TRY_LATER
    assert not any(peer.closed_with for peer in peers)
    hub.leave(late.connection)
    hub.leave(peers[0].connection)
    assert not hub.is_full


async def test_connection_that_left_gets_nothing_and_frees_its_stream(hub, log, enter):
    peer, other = await enter(), await enter()
    hub.leave(peer.connection)
    hub.leave(peer.connection)
    hub.publish(log.post(1))
    assert peer.seqs == []
    assert other.seqs == [1]
    assert "write" not in vars(peer.stream)
    assert hub.connection_count == 1


async def test_rooms_do_not_hear_each_other(hub, log, enter):
    here, there = await enter(), await enter(stranger(community_id=8))
    hub.publish(log.post(1))
    hub.publish(log.react(1, version=1, community_id=8))
    assert here.types == ["connected", "new_post"]
    assert there.types == ["connected", "reaction_update"]


async def test_fact_of_a_room_that_nobody_listens_to_is_nobodys(hub, log):
    hub.publish(log.post(1))
    assert hub.position(ROOM) is None
    assert log.reads == []


async def test_position_is_that_of_the_latest_fact_here(hub, log, enter):
    await enter()
    hub.publish(log.post(1))
    assert hub.position(ROOM) == Position("k3x9", 1)


async def test_listener_hears_events_and_control_messages(hub, log):
    heard = []
    hub.listen(heard.append)
    fact, level, changed = log.post(1), log.react(1, version=1), AuthorChanged(user_id=17)
    hub.publish(fact)
    hub.publish(level)
    hub.control(changed)
    assert heard == [fact, level, changed]


async def test_listener_that_fails_stops_nobody(hub, log, enter, caplog):
    heard = []

    def fail(_):
        raise RuntimeError("no")

    hub.listen(fail)
    hub.listen(heard.append)
    peer = await enter()
    hub.publish(log.post(1))
    assert peer.seqs == [1]
    assert len(heard) == 1
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    caplog.clear()


async def test_event_that_cannot_be_written_does_not_fail_the_request(hub, log, enter, caplog):
    await enter()
    fact = log.post(1)
    fact.post["content"] = object()
    hub.publish(fact)
    assert any(record.levelno == logging.ERROR for record in caplog.records)
    level = log.react(1, version=1)
    level.reactions["fire"] = object()
    hub.publish(level)
    fact.post["content"] = "mended"
    await until(lambda: hub.position(ROOM).seq == 1)
    caplog.clear()


async def test_envelopes_go_to_the_broker_after_this_instance(log, clock):
    broker = RecordingBroker()
    hub = Hub(broker, log, clock=clock)
    await hub.start()
    peer = stranger()
    hub.register(peer.connection)
    await hub.join(peer.connection, None, asked=False)
    assert broker.subscribed == [ROOM]
    hub.publish(log.post(1))
    hub.publish(log.react(1, version=1))
    closed = UserClosed(user_id=99, code=NO_GROUP)
    hub.control(closed)
    assert [type(envelope).__name__ for envelope in broker.published] == [
        "FactEnvelope",
        "LevelEnvelope",
        "UserClosed",
    ]
    for envelope in broker.published:
        broker.deliver(envelope)
    assert peer.types == ["connected", "new_post", "reaction_update"]
    hub.leave(peer.connection)
    await hub.stop(0)
    assert broker.subscribed == []


async def test_broker_that_fails_does_not_fail_the_request(log, clock, caplog):
    broker = RecordingBroker()
    hub = Hub(broker, log, clock=clock)
    peer = stranger()
    hub.register(peer.connection)
    await hub.join(peer.connection, None, asked=False)
    broker.error = ConnectionError("gone")
    hub.publish(log.post(1))
    hub.control(UserClosed(user_id=peer.user_id, code=NO_GROUP))
    assert peer.seqs == [1]
    assert peer.closed_with[0] == NO_GROUP
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    caplog.clear()
    hub.leave(peer.connection)
    await hub.stop(0)


async def test_room_that_nobody_is_in_lives_on_for_a_while(hub, log, clock, enter):
    peer = await enter()
    hub.leave(peer.connection)
    hub._rooms.close_left(hub._registry.rooms)
    hub.publish(log.post(1))
    clock.advance(LINGER_SECONDS - 1)
    hub._rooms.close_left(hub._registry.rooms)
    again = await enter(since="k3x9.0")
    assert again.seqs == [1]
    assert log.reads.count("head") == 1
    hub._rooms.close_left(hub._registry.rooms)
    clock.advance(LINGER_SECONDS * 2)
    hub._rooms.close_left(hub._registry.rooms)
    hub.leave(again.connection)
    hub._rooms.close_left(hub._registry.rooms)
    assert hub.position(ROOM) is not None
    clock.advance(LINGER_SECONDS)
    hub._rooms.close_left(hub._registry.rooms)
    assert hub.position(ROOM) is None
    await enter()
    assert log.reads.count("head") == 2


async def test_rooms_that_are_behind_the_database_catch_up(hub, log, enter):
    here, there = await enter(), await enter(stranger(community_id=8))
    log.post(1)
    log.post(2)
    await hub._rooms.compare()
    await until(lambda: here.seqs == [1, 2])
    assert there.seqs == []
    assert log.reads.count("heads") == 1
    assert log.reads.count("facts_after") == 1


async def test_room_that_moved_on_during_the_comparison_is_not_behind(hub, log, enter):
    await enter()
    log.gate, log.looks_first = asyncio.Event(), True
    comparing = asyncio.create_task(hub._rooms.compare())
    await until(lambda: "heads" in log.reads)
    hub.publish(log.post(1))
    log.gate.set()
    await comparing
    assert "facts_after" not in log.reads


async def test_comparison_without_rooms_asks_nothing(hub, log):
    await hub._rooms.compare()
    assert log.reads == []


async def test_room_that_closes_during_the_comparison_is_left_alone(hub, log, enter, clock):
    peer = await enter()
    hub.leave(peer.connection)
    log.gate = asyncio.Event()
    comparing = asyncio.create_task(hub._rooms.compare())
    await until(lambda: "heads" in log.reads)
    for _ in range(2):
        hub._rooms.close_left(())
        clock.advance(LINGER_SECONDS)
    log.post(1)
    log.gate.set()
    await comparing
    assert "facts_after" not in log.reads


async def test_stop_closes_everyone_with_a_time_to_come_back(hub, enter):
    peers = [await enter() for _ in range(SLICE_SENDS + 1)]
    stopping = asyncio.create_task(hub.stop())
    await until(lambda: all(peer.closed_with for peer in peers))
    late = stranger()
    hub.register(late.connection)
    assert late.closed_with == (GOING_AWAY, "retry_after=0.0")
    hub.leave(late.connection)
    for peer in peers:
        hub.leave(peer.connection)
    await stopping
    assert {peer.closed_with[0] for peer in peers} == {GOING_AWAY}
    seconds = [float(peer.closed_with[1].removeprefix("retry_after=")) for peer in peers]
    assert 0 <= min(seconds) < 5 < max(seconds) <= 10


async def test_stop_cuts_off_who_does_not_answer(hub, enter):
    peer = await enter()
    await hub.stop(0)
    assert peer.stream.closed()
    hub.leave(peer.connection)


async def test_stop_while_a_room_is_opened_gives_up_on_it(log, clock, caplog):
    hub = Hub(LocalBroker(), log, clock=clock)
    log.gate = asyncio.Event()
    peer = stranger()
    hub.register(peer.connection)
    joining = asyncio.create_task(hub.join(peer.connection, None, asked=False))
    await until(lambda: "head" in log.reads)
    stopping = asyncio.create_task(hub.stop(0))
    await until(lambda: peer.closed_with)
    hub.leave(peer.connection)
    await stopping
    await joining
    assert peer.messages == []


async def test_join_that_is_cancelled_is_cancelled(hub, log):
    log.gate = asyncio.Event()
    peer = stranger()
    hub.register(peer.connection)
    joining = asyncio.create_task(hub.join(peer.connection, None, asked=False))
    await until(lambda: "head" in log.reads)
    joining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await joining
    log.gate.set()
    await until(lambda: hub.position(ROOM))


async def test_hub_that_runs_sweeps_and_compares_by_itself(log, clock):
    metrics = Metrics()
    hub = Hub(LocalBroker(), log, clock=clock, metrics=metrics)
    await hub.start()
    peer = stranger(expires_at=NOON.timestamp() + 1)
    hub.register(peer.connection)
    await hub.join(peer.connection, None, asked=False)
    clock.advance(2)
    await until(lambda: peer.closed_with)
    assert peer.closed_with[0] == BAD_TOKEN
    hub.leave(peer.connection)
    await hub.stop(0)


async def test_figures_are_counted(log, clock):
    metrics = Metrics()
    hub = Hub(LocalBroker(), log, clock=clock, metrics=metrics)
    peers = [stranger() for _ in range(3)]
    for peer in peers:
        hub.register(peer.connection)
        await hub.join(peer.connection, None, asked=False)
    hub.publish(log.post(1))
    peers[0].socket.room = 0
    peers[0].connection.send(bytes(1 << 20))
    peers[0].connection.send(b"x")
    for since in ("k3x9.0", "nonsense"):
        peer = stranger()
        peers.append(peer)
        hub.register(peer.connection)
        await hub.join(peer.connection, Position.parse(since), asked=True)
    text = metrics.render()[0].decode()
    for line in (
        "cohort_connections 5.0",
        "cohort_rooms 1.0",
        "cohort_events_published_total 1.0",
        "cohort_events_delivered_total 3.0",
        "cohort_slow_consumers_dropped_total 1.0",
        "cohort_resyncs_total 1.0",
        "cohort_event_log_reads_total 1.0",
        'cohort_replays_total{source="log"} 1.0',
        'cohort_replays_total{source="none"} 1.0',
    ):
        assert line in text.splitlines()
    assert peers[0].connection.close_code == TOO_SLOW
    for peer in peers:
        hub.leave(peer.connection)
    await hub.stop(0)


async def test_hub_without_a_clock_uses_the_machines():
    hub = Hub(LocalBroker(), MemoryLog())
    peer = stranger(expires_at=0)
    hub.register(peer.connection)
    hub._sweeper.tick()
    assert peer.closed_with[0] == BAD_TOKEN
    hub.leave(peer.connection)
    await hub.stop(0)
