"""One room's order: next, older, ahead; gaps filled by one reader; levels folded; what cannot be filled.
Facts of other instances come in as the broker would hand them over.
"""

import asyncio
import logging
from datetime import timedelta

import pytest

from realtime import live_rooms
from realtime.events import Fact, Position
from realtime.fanout import MAX_WAITING_BYTES
from realtime.live_room import MAX_REPLAY_FACTS, MAX_WAITING_FACTS
from realtime.protocol import seal_fact, seal_level
from tests.realtime.fakes import NOON, ROOM, stranger, until


@pytest.fixture
def arrive(hub):
    """A fact or level comes in from another instance."""

    def arrive(*facts: Fact) -> None:
        for fact in facts:
            hub._hear(seal_fact(fact))

    return arrive


@pytest.fixture
def arrive_level(hub):
    return lambda level: hub._hear(seal_level(level))


async def test_fact_of_another_instance_is_delivered(log, enter, arrive):
    peer = await enter()
    arrive(log.post(1), log.post(2))
    assert peer.types == ["connected", "new_post", "new_post"]
    assert peer.seqs == [1, 2]
    assert log.reads == ["head"]


async def test_fact_that_comes_twice_is_delivered_once(log, enter, arrive):
    peer = await enter()
    first, second = log.post(1), log.post(2)
    arrive(first, first, second, first, second)
    assert peer.seqs == [1, 2]


async def test_fact_ahead_of_a_lost_one_waits_for_the_log(log, enter, arrive):
    peer = await enter()
    facts = [log.post(number) for number in range(5)]
    arrive(facts[0], facts[2], facts[4])
    assert peer.seqs == [1]
    await until(lambda: len(peer.seqs) == 5)
    assert peer.seqs == [1, 2, 3, 4, 5]
    assert log.reads == ["head", "facts_after"]


async def test_facts_in_the_wrong_order_are_put_right_at_once(log, enter, arrive):
    peer = await enter()
    facts = [log.post(number) for number in range(3)]
    arrive(facts[2], facts[1], facts[0])
    assert peer.seqs == [1, 2, 3]


async def test_facts_that_come_while_the_log_is_read_are_in_order(log, enter, arrive):
    peer = await enter()
    facts = [log.post(number) for number in range(3)]
    log.gate = asyncio.Event()
    arrive(facts[2])
    await until(lambda: "facts_after" in log.reads)
    more = [log.post(number) for number in range(3, 6)]
    arrive(facts[0], more[1])
    assert peer.seqs == [1]
    log.gate.set()
    await until(lambda: len(peer.seqs) == 6)
    arrive(*more)
    assert peer.seqs == [1, 2, 3, 4, 5, 6]


async def test_facts_beyond_what_may_wait_come_from_the_log(hub, log, enter, arrive):
    peer = await enter()
    log.gate = asyncio.Event()
    arrive(*[log.post(number) for number in range(MAX_WAITING_FACTS + 10)][1:])
    room = hub._rooms.get(ROOM)
    assert len(room._waiting) == MAX_WAITING_FACTS
    log.gate.set()
    await until(lambda: "resync" in peer.types)
    assert peer.messages[-1]["position"] == str(log.head_of(ROOM))
    assert not room._waiting
    arrive(log.post(9))
    assert peer.seqs == [MAX_WAITING_FACTS + 11]


async def test_deleted_facts_are_left_out_of_what_is_filled(log, enter, arrive):
    peer = await enter()
    log.post(1)
    log.post(2)
    log.delete_post(1)
    arrive(log.post(3))
    await until(lambda: len(peer.seqs) == 3)
    assert peer.seqs == [2, 3, 4]
    arrive(log.post(4))
    assert peer.seqs == [2, 3, 4, 5]


async def test_room_moves_on_when_the_last_facts_are_gone_from_the_log(hub, log, enter):
    peer = await enter()
    log.post(1)
    log.facts[ROOM].append(log.facts[ROOM][0])
    log.gone = lambda _: {1, 2}
    await hub._rooms.compare()
    await until(lambda: hub.position(ROOM).seq == 2)
    assert peer.types == ["connected"]
    late = await enter()
    assert late.messages[0]["position"] == "k3x9.2"


async def test_log_that_fails_is_read_again(log, enter, arrive, caplog):
    peer = await enter()
    log.error = ConnectionError("no primary")
    log.post(1)
    arrive(log.post(2))
    await until(lambda: log.reads.count("facts_after") >= 2)
    log.error = None
    await until(lambda: peer.seqs == [1, 2])
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert log.reads.count("facts_after") <= 5


async def test_gap_that_the_log_cannot_fill_is_a_resync(log, enter, arrive):
    peers = [await enter() for _ in range(3)]
    for number in range(10):
        log.post(number)
    log.cut_through[ROOM] = 4
    arrive(log.facts[ROOM][9])
    await until(lambda: "resync" in peers[0].types)
    for peer in peers:
        assert peer.types == ["connected", "resync"]
        assert peer.messages[1]["position"] == "k3x9.10"
    arrive(log.post(11))
    assert [peer.seqs for peer in peers] == [[11]] * 3


async def test_gap_over_the_limit_is_a_resync(log, enter, arrive):
    peer = await enter()
    for number in range(MAX_REPLAY_FACTS + 1):
        log.post(number)
    arrive(log.facts[ROOM][-1])
    await until(lambda: "resync" in peer.types)
    assert peer.seqs == []


async def test_numbering_anew_is_a_resync_for_everyone(hub, log, enter, arrive):
    peer = await enter()
    old = [log.post(number) for number in range(3)]
    arrive(*old[:2])
    log.epoch = "new1"
    log.facts[ROOM] = []
    arrive(log.post(9))
    await until(lambda: "resync" in peer.types)
    assert peer.messages[-1]["position"] == "new1.1"
    arrive(old[2])
    arrive(log.post(10))
    await until(lambda: peer.types[-1] == "new_post")
    assert peer.messages[-1]["position"] == "new1.2"
    await until(lambda: not hub._rooms.get(ROOM)._waiting)
    assert peer.types == ["connected", "new_post", "new_post", "resync", "new_post"]


async def test_numbering_anew_that_is_ahead_of_the_old_is_a_resync_too(log, enter, arrive):
    peer = await enter()
    arrive(log.post(1))
    log.epoch = "new1"
    log.facts[ROOM] = []
    arrive(*[log.post(number) for number in range(5)])
    await until(lambda: "resync" in peer.types)
    assert peer.types == ["connected", "new_post", "resync"]
    assert peer.messages[-1]["position"] == "new1.5"


async def test_large_room_is_told_to_reload_at_once(hub, log, enter):
    peers = [await enter() for _ in range(20)]
    room = hub._rooms.get(ROOM)
    room.fanout._slice_sends = 1
    hub.publish(log.post(1))
    room._restart(Position("new1", 7))
    # No member may be told a position of the new numbering before it is told to reload.
    assert [peer.types[-2:] for peer in peers] == [["new_post", "resync"]] * 20
    assert {room.fanout.told(peer.connection) for peer in peers} == {hub.position(ROOM)}


async def test_head_below_what_is_known_is_a_resync(hub, log, enter, arrive):
    peer = await enter()
    arrive(*[log.post(number) for number in range(3)])
    del log.facts[ROOM][1:]
    await hub._rooms.compare()
    await until(lambda: "resync" in peer.types)
    assert peer.messages[-1]["position"] == "k3x9.1"


async def test_room_that_cannot_keep_up_is_told_to_reload(log, enter, hub, caplog):
    peers = [await enter() for _ in range(2)]
    room = hub._rooms.get(ROOM)
    room.fanout._slice_sends = 1
    text = "x" * (MAX_WAITING_BYTES // 4)
    for number in range(6):
        hub.publish(log.post(number, text=text))
    await until(lambda: room.fanout._turn is None)
    assert [peer.types for peer in peers] == [["connected", "new_post", "resync", "new_post"]] * 2
    assert peers[0].messages[-1]["position"] == str(room.last)
    assert len(caplog.records) == 1


async def test_levels_are_folded_to_the_first_and_the_last_of_a_window(log, enter, arrive_level):
    peer = await enter()
    for version in range(1, 6):
        arrive_level(log.react(1, version=version, fire=version))
    assert [message["version"] for message in peer.messages[1:]] == [1]
    await until(lambda: len(peer.messages) == 3)
    assert peer.messages[-1]["version"] == 5
    assert peer.messages[-1]["reactions"]["fire"] == 5


async def test_levels_of_many_posts_are_folded_each_for_itself(log, enter, arrive_level, hub):
    peer = await enter()
    for post_id in range(5):
        arrive_level(log.react(post_id, version=1))
        arrive_level(log.react(post_id, version=2))
    assert [message["version"] for message in peer.messages[1:]] == [1] * 5
    await until(lambda: len(peer.messages) == 11)
    assert [message["version"] for message in peer.messages[6:]] == [2] * 5
    await until(lambda: not hub._rooms.get(ROOM)._folding._windows)
    assert hub._rooms.get(ROOM)._folding._timer is None
    arrive_level(log.react(1, version=3))
    assert peer.messages[-1]["version"] == 3


async def test_level_that_is_not_newer_is_not_sent(log, enter, arrive_level):
    peer = await enter()
    second = log.react(1, version=2)
    arrive_level(second)
    arrive_level(second)
    arrive_level(log.react(1, version=1))
    await asyncio.sleep(0)
    assert peer.types == ["connected", "reaction_update"]


async def test_level_of_a_post_that_is_deleted_is_not_sent_any_more(log, enter, arrive, arrive_level, hub):
    peer = await enter()
    arrive(log.post(1))
    arrive_level(log.react(1, version=1))
    arrive_level(log.react(1, version=2))
    arrive(log.delete_post(1))
    arrive_level(log.react(2, version=1))
    arrive_level(log.react(2, version=2))
    await until(lambda: peer.messages[-1].get("post_id") == 2 and peer.messages[-1]["version"] == 2)
    assert [m["version"] for m in peer.messages if m["type"] == "reaction_update" and m["post_id"] == 1] == [
        1
    ]


async def test_compare_tells_levels_that_were_not_heard(hub, log, enter):
    peer = await enter()
    log.at = NOON + timedelta(seconds=1)
    log.react(1, version=3)
    await hub._rooms.compare()
    await until(lambda: peer.types == ["connected", "reaction_update"])
    await hub._rooms.compare()
    late = log.react(1, version=4)
    hub.publish(late)
    await hub._rooms.compare()
    await until(lambda: [message.get("version") for message in peer.messages] == [None, 3, 4])


async def test_compare_reaches_back_over_failures(hub, log, enter, clock):
    peer = await enter()
    log.error = ConnectionError("away")
    for _ in range(3):
        clock.advance(60)
        with pytest.raises(ConnectionError):
            await hub._rooms.compare()
    log.error = None
    log.at = NOON + timedelta(seconds=1)
    log.react(1, version=3)
    await hub._rooms.compare()
    await until(lambda: "reaction_update" in peer.types)


async def test_compare_finds_more_levels_than_one_query_gives(hub, log, enter, monkeypatch):
    monkeypatch.setattr(live_rooms, "COMPARED_LEVELS", 3)
    peer = await enter()
    log.at = NOON + timedelta(seconds=1)
    for post_id in range(10):
        log.react(post_id, version=1)
    await hub._rooms.compare()
    await until(lambda: peer.types.count("reaction_update") == 10)


async def test_compare_reads_all_rooms_where_they_are_more_than_one_query_takes(hub, log, enter, monkeypatch):
    monkeypatch.setattr(live_rooms, "COMPARED_ROOMS", 1)
    await enter(stranger(community_id=8))
    here = await enter()
    log.post(1)
    await hub._rooms.compare()
    await until(lambda: here.seqs == [1])
    assert log.reads.count("heads") == 2
