"""Coming in: the greeting, what a returning client is given and from where, and that nothing is missed meanwhile.
Order inside the room is tested in test_live_room.
"""

import asyncio
import logging
from datetime import timedelta

import pytest

from realtime.close_codes import TOO_SLOW, TRY_LATER
from realtime.events import Event, Position
from realtime.history import LEVEL_POSTS, RING_FACTS
from realtime.hub import Hub
from realtime.live_room import MAX_REPLAY_FACTS
from realtime.live_rooms import LINGER_SECONDS
from realtime.protocol import seal_fact
from tests.realtime.fakes import NOON, ROOM, Peer, stranger, until


def publish(hub: Hub, *events: Event) -> None:
    for event in events:
        hub.publish(event)


@pytest.fixture
def later(log, clock):
    """Lets so much time pass that what happens from now on is remembered whole."""

    def later() -> None:
        clock.advance(120)
        log.at = clock.now()

    return later


async def large_room(hub, enter):
    """A room that one event needs twenty turns of the loop for."""
    for _ in range(20):
        await enter()
    hub._rooms.get(ROOM).fanout._slice_sends = 1


async def hub_is_idle(hub):
    await until(lambda: hub._rooms.get(ROOM).fanout._turn is None)


async def test_client_without_a_position_is_greeted_with_the_rooms(hub, log, enter):
    log.post(1)
    peer = await enter()
    greeting = peer.messages[0]
    assert greeting == {
        "type": "connected",
        "timestamp": "2026-11-21T12:00:00.000Z",
        "room": "community_feed_7",
        "position": "k3x9.1",
        "recovered": None,
        "heartbeat_seconds": 25,
    }
    publish(hub, log.post(2))
    assert peer.seqs == [2]


async def test_many_who_join_at_once_share_one_reading_of_the_head(log, enter):
    peers = await asyncio.gather(*[enter() for _ in range(20)])
    assert log.reads == ["head"]
    assert all(peer.types == ["connected"] for peer in peers)


async def test_returning_client_gets_what_it_missed_from_the_log(hub, log, enter):
    for number in range(5):
        log.post(number)
    peer = await enter(since="k3x9.2")
    assert peer.messages[0]["recovered"] is True
    # Its own position: should the replay not reach it, it comes back with that.
    assert peer.messages[0]["position"] == "k3x9.2"
    assert peer.seqs == [3, 4, 5]
    assert log.reads == ["head", "facts_after", "levels_since"]
    publish(hub, log.post(6))
    assert peer.seqs == [3, 4, 5, 6]


async def test_returning_client_gets_what_it_missed_from_memory(hub, log, enter, later):
    await enter()
    later()
    publish(hub, *[log.post(number) for number in range(5)])
    publish(hub, log.react(3, version=1), log.react(3, version=2))
    log.reads.clear()
    peer = await enter(since="k3x9.3")
    assert log.reads == []
    assert peer.seqs == [4, 5]
    assert [(m["post_id"], m["version"]) for m in peer.messages if "version" in m] == [(3, 2)]


async def test_returning_client_that_missed_nothing_gets_nothing(log, enter):
    log.post(1)
    peer = await enter(since="k3x9.1")
    assert peer.types == ["connected"]
    assert peer.messages[0]["recovered"] is True


async def test_room_remembers_what_it_read_from_the_log(hub, log, enter, clock):
    log.post(1)
    clock.advance(3600)
    await enter(since="k3x9.1")
    assert log.reads == ["head", "facts_after", "levels_since"]
    log.at = NOON + timedelta(hours=2)
    publish(hub, log.post(2))
    peer = await enter(since="k3x9.1")
    assert peer.seqs == [2]
    assert log.reads == ["head", "facts_after", "levels_since"]


async def test_room_reads_the_log_once_for_all_who_come_with_later_positions(hub, log, enter):
    for number in range(1, 20):
        log.post(number)
        log.react(number, version=1)
    first = await enter(since="k3x9.3")
    assert first.seqs == list(range(4, 20))
    for since in range(3, 20):
        peer = await enter(since=f"k3x9.{since}")
        assert peer.seqs == list(range(since + 1, 20))
        assert peer.types.count("reaction_update") == 19
    assert log.reads == ["head", "facts_after", "levels_since"]
    await enter(since="k3x9.2")
    assert log.reads.count("facts_after") == 2


async def test_returning_client_gets_facts_then_levels(hub, log, enter):
    log.post(1)
    log.react(1, version=4)
    log.post(2)
    log.react(2, version=1)
    peer = await enter(since="k3x9.0")
    assert peer.types == ["connected", "new_post", "new_post", "reaction_update", "reaction_update"]


async def test_levels_older_than_the_margin_are_not_given(log, enter):
    log.post(1)
    log.react(1, version=1)
    log.at += timedelta(seconds=61)
    log.post(2)
    log.react(2, version=1)
    peer = await enter(since="k3x9.2")
    assert [message["post_id"] for message in peer.messages[1:]] == [2]


async def test_levels_from_shortly_before_the_last_fact_are_given(log, enter):
    log.react(1, version=1)
    log.at += timedelta(seconds=59)
    log.post(2)
    assert (await enter(since="k3x9.1")).types == ["connected", "reaction_update"]


async def test_deleted_facts_are_not_replayed(hub, log, enter):
    publish(hub, log.post(1), log.post(2), log.comment(5, 2), log.delete_comment(5, 2), log.delete_post(1))
    from_log = await enter(since="k3x9.0")
    assert from_log.seqs == [2, 4, 5]


async def test_deleted_facts_are_not_replayed_from_memory(hub, log, enter, later):
    await enter()
    later()
    publish(hub, log.post(9), log.post(1), log.post(2), log.comment(5, 2))
    publish(hub, log.delete_comment(5, 2), log.delete_post(1))
    log.reads.clear()
    peer = await enter(since="k3x9.1")
    assert log.reads == []
    assert peer.seqs == [3, 5, 6]


@pytest.mark.parametrize("since", ["", "nonsense", "k3x9", "K3X9.1", "k3x9.01", "k3x9.1.1"])
async def test_position_that_cannot_be_read_is_a_resync(log, enter, since):
    log.post(1)
    peer = await enter(since=since)
    assert peer.types == ["connected", "resync"]
    assert peer.messages[0]["recovered"] is False
    assert [message["position"] for message in peer.messages] == ["k3x9.1"] * 2


@pytest.mark.parametrize("since", ["other.1", "k3x9.3", "k3x9.9007199254740991"])
async def test_position_that_never_was_is_a_resync(hub, log, enter, since):
    log.post(1)
    log.post(2)
    peer = await enter(since=since)
    assert peer.types == ["connected", "resync"]
    publish(hub, log.post(3))
    assert peer.seqs == [3]


async def test_position_behind_the_cut_of_the_log_is_a_resync(log, enter):
    for number in range(5):
        log.post(number)
    log.cut_through[ROOM] = 3
    assert (await enter(since="k3x9.2")).types == ["connected", "resync"]
    assert (await enter(since="k3x9.3")).seqs == [4, 5]


async def test_more_facts_than_the_limit_are_a_resync(log, enter):
    for number in range(MAX_REPLAY_FACTS + 1):
        log.post(number)
    assert len((await enter(since="k3x9.1")).seqs) == MAX_REPLAY_FACTS
    assert (await enter(since="k3x9.0")).types == ["connected", "resync"]


async def test_more_bytes_than_the_limit_are_a_resync(log, enter):
    for number in range(12):
        log.post(number, text="x" * 100_000)
    assert (await enter(since="k3x9.0")).types == ["connected", "resync"]
    assert len((await enter(since="k3x9.2")).seqs) == 10


async def test_more_levels_than_the_limit_are_a_resync(log, enter):
    log.post(1)
    for post_id in range(LEVEL_POSTS + 1):
        log.react(post_id, version=1)
    assert (await enter(since="k3x9.1")).types == ["connected", "resync"]


async def test_position_of_a_faster_instance_is_looked_up_in_the_log(hub, log, enter):
    first = await enter()
    log.post(1)
    log.post(2)
    peer = await enter(since="k3x9.1")
    assert peer.messages[0]["recovered"] is True
    assert peer.seqs == [2]
    assert first.seqs == [1, 2]


async def test_position_of_a_faster_instance_is_not_doubled_in_a_large_room(hub, log, later, enter):
    await large_room(hub, enter)
    later()
    publish(hub, log.post(1), log.post(2), log.post(3))
    log.reads.clear()
    peer = await enter(since="k3x9.3")
    await hub_is_idle(hub)
    assert log.reads == []
    assert peer.seqs == []


@pytest.mark.parametrize("since", [1, 2])
async def test_who_comes_back_while_a_large_room_is_served_misses_and_doubles_nothing(
    hub, log, later, enter, since
):
    await large_room(hub, enter)
    later()
    publish(hub, log.post(1), log.post(2))
    await hub_is_idle(hub)
    publish(hub, log.post(3), log.post(4), log.post(5))
    log.reads.clear()
    peer = await enter(since=f"k3x9.{since}")
    await hub_is_idle(hub)
    assert log.reads == []
    assert peer.seqs == list(range(since + 1, 6))


async def test_read_that_ends_while_a_large_room_is_served_misses_and_doubles_nothing(hub, log, enter):
    publish(hub, log.post(1), log.post(2))
    await large_room(hub, enter)
    log.gate = asyncio.Event()
    joining = asyncio.create_task(enter(since="k3x9.1"))
    await until(lambda: "facts_after" in log.reads)
    publish(hub, log.post(3), log.post(4), log.post(5))
    log.gate.set()
    peer = await joining
    assert peer.seqs == [2, 3]
    await hub_is_idle(hub)
    assert peer.seqs == [2, 3, 4, 5]


async def test_level_that_changes_after_it_was_read_is_given_as_it_is_now(hub, log, enter):
    publish(hub, log.post(1), log.react(1, version=1))
    await enter()
    levels_gate = asyncio.Event()
    log.gate, log.looks_first = asyncio.Event(), True
    joining = asyncio.create_task(enter(since="k3x9.0"))
    await until(lambda: "facts_after" in log.reads)
    log.gate.set()
    log.gate = levels_gate
    await until(lambda: "levels_since" in log.reads)
    publish(hub, log.react(1, version=2))
    levels_gate.set()
    peer = await joining
    assert [message["version"] for message in peer.messages if "version" in message] == [1, 2]


async def test_room_is_kept_for_a_client_that_is_still_reading(hub, log, clock, enter):
    log.post(1)
    first = await enter()
    hub.leave(first.connection)
    log.gate = asyncio.Event()
    joining = asyncio.create_task(enter(since="k3x9.0"))
    await until(lambda: "facts_after" in log.reads)
    for _ in range(2):
        hub._rooms.close_left(hub._registry.rooms)
        clock.advance(LINGER_SECONDS)
    log.gate.set()
    peer = await joining
    publish(hub, log.post(2))
    assert peer.seqs == [1, 2]


async def test_read_under_way_that_is_too_old_is_followed_by_another(hub, log, enter):
    await enter()
    log.gate, log.looks_first = asyncio.Event(), True
    log.post(1)
    hub._hear(seal_fact(log.post(2)))
    await until(lambda: "facts_after" in log.reads)
    log.post(3)
    joining = asyncio.create_task(enter(since="k3x9.3"))
    await asyncio.sleep(0)
    log.gate.set()
    peer = await joining
    assert peer.messages[0]["recovered"] is True
    assert peer.seqs == []


async def test_facts_during_the_read_are_neither_missed_nor_doubled(hub, log, enter):
    for number in range(3):
        log.post(number)
    await enter()
    log.gate = asyncio.Event()
    joining = asyncio.create_task(enter(since="k3x9.1"))
    await until(lambda: "facts_after" in log.reads)
    publish(hub, log.post(4), log.react(2, version=9), log.post(5))
    log.gate.set()
    peer = await joining
    publish(hub, log.post(6))
    assert peer.seqs == [2, 3, 4, 5, 6]
    assert {(m["post_id"], m["version"]) for m in peer.messages if "version" in m} == {(2, 9)}


async def test_who_ask_for_the_same_at_once_share_one_read(hub, log, enter):
    for number in range(3):
        log.post(number)
    await enter()
    log.reads.clear()
    peers = await asyncio.gather(*[enter(since="k3x9.1") for _ in range(20)])
    assert log.reads == ["facts_after", "levels_since"]
    assert all(peer.seqs == [2, 3] for peer in peers)
    assert not hub._joining._reads


async def test_more_during_the_read_than_the_room_remembers_is_too_slow(hub, log, enter):
    log.post(1)
    await enter()
    log.gate, log.looks_first = asyncio.Event(), True
    peer = stranger()
    joining = asyncio.create_task(enter(peer, since="k3x9.0"))
    await until(lambda: "facts_after" in log.reads)
    publish(hub, *[log.post(number) for number in range(2, RING_FACTS + 3)])
    log.gate.set()
    await joining
    assert peer.closed_with[0] == TOO_SLOW
    assert peer.messages == []


async def test_facts_during_the_read_count_towards_the_limit(hub, log, enter):
    for number in range(MAX_REPLAY_FACTS - 100):
        log.post(number)
    await enter()
    log.gate, log.looks_first = asyncio.Event(), True
    joining = asyncio.create_task(enter(since="k3x9.0"))
    await until(lambda: "facts_after" in log.reads)
    publish(hub, *[log.post(number) for number in range(1_000, 1_150)])
    log.gate.set()
    assert (await joining).types == ["connected", "resync"]


async def test_room_that_is_numbered_anew_during_the_read_sends_the_client_back(hub, log, enter):
    log.post(1)
    await enter()
    log.gate = asyncio.Event()
    peer = stranger()
    joining = asyncio.create_task(enter(peer, since="k3x9.0"))
    await until(lambda: "facts_after" in log.reads)
    hub._rooms.get(ROOM)._restart(Position("k3x9", 1))
    log.gate.set()
    await joining
    assert peer.closed_with[0] == TOO_SLOW


async def test_client_that_leaves_during_the_read_is_not_let_in(hub, log, enter):
    log.post(1)
    await enter()
    log.gate = asyncio.Event()
    peer = stranger()
    joining = asyncio.create_task(enter(peer, since="k3x9.0"))
    await until(lambda: "facts_after" in log.reads)
    hub.leave(peer.connection)
    log.gate.set()
    await joining
    publish(hub, log.post(2))
    assert peer.messages == []
    assert len(hub._rooms.get(ROOM).fanout) == 1


async def test_log_that_cannot_be_read_sends_clients_away(hub, log, enter, caplog):
    log.error = ConnectionError("no primary")
    peers = await asyncio.gather(*[enter() for _ in range(3)])
    assert [peer.closed_with[0] for peer in peers] == [TRY_LATER] * 3
    log.error = None
    await enter()
    log.post(1)
    log.error = ConnectionError("no primary")
    hub._hear(seal_fact(log.facts[ROOM][0]))
    peer = await enter(since="k3x9.0")
    assert peer.closed_with[0] == TRY_LATER
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    log.error = None


async def test_fact_that_passes_while_the_room_is_opened_is_not_missed(hub, log, enter):
    log.gate, log.looks_first = asyncio.Event(), True
    joining = asyncio.create_task(enter())
    await until(lambda: "head" in log.reads)
    hub.publish(log.post(1))
    log.gate.set()
    peer = await joining
    await until(lambda: hub.position(ROOM).seq == 1)
    assert peer.messages[0]["position"] == "k3x9.1" or peer.seqs == [1]


async def test_author_who_changed_is_not_replayed_from_memory(hub, log, enter, later):
    await enter()
    later()
    publish(hub, log.post(1), log.post(2, author_id=18), log.post(3))
    hub._rooms.forget_author(18)
    log.reads.clear()
    assert (await enter(since="k3x9.1")).seqs == [2, 3]
    assert log.reads == ["facts_after", "levels_since"]
    log.reads.clear()
    assert (await enter(since="k3x9.2")).seqs == [3]
    assert log.reads == []


async def test_author_who_changes_while_the_log_is_read_is_not_remembered(hub, log, enter):
    peer = await enter()
    log.gate = asyncio.Event()
    log.post(1)
    hub._hear(seal_fact(log.post(2)))
    await until(lambda: "facts_after" in log.reads)
    hub._rooms.forget_author(17)
    log.gate.set()
    await until(lambda: peer.seqs == [1, 2])
    assert hub._rooms.get(ROOM).ring.after(0, through=2) is None


async def test_large_replay_to_a_slow_client_does_not_cut_it_off(log, enter):
    for number in range(10):
        log.post(number, text="x" * 100_000)
    peer = Peer(user_id=5)
    peer.socket.room = 0
    await enter(peer, since="k3x9.0")
    assert not peer.connection.closing
    peer.socket.room = None
    peer.stream.flush()
    assert len(peer.seqs) == 10
