"""Two instances' brokers over a real server: what one says the other hears, and what happens when it breaks."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from config.metrics import Metrics
from realtime.broker import Envelope
from realtime.events import UserClosed
from realtime.protocol import seal_fact, seal_level
from realtime.redis_broker import PREFIX, RedisBroker
from realtime.redis_node import MAX_QUEUED
from tests.realtime.fakes import ROOM, MemoryLog, until
from tests.support.redis_server import RedisServer


class Instance:
    """One instance's broker, and what it heard."""

    def __init__(self, url: str) -> None:
        self.metrics = Metrics()
        self.broker = RedisBroker(url, metrics=self.metrics)
        self.heard: list[Envelope] = []
        self.missed = 0

    async def start(self, *rooms: int) -> "Instance":
        await self.broker.start(self.heard.append, self._miss)
        await until(lambda: self.broker.is_healthy)
        for room in rooms:
            await self.broker.subscribe(room)
        return self

    def _miss(self) -> None:
        self.missed += 1

    def figure(self, name: str) -> float:
        text = self.metrics.render()[0].decode()
        return float(next(line.split()[1] for line in text.splitlines() if line.startswith(f"{name} ")))


@pytest.fixture
async def instances(redis: RedisServer) -> AsyncIterator[tuple[Instance, Instance]]:
    here, there = Instance(redis.uri), Instance(redis.uri)
    yield await here.start(ROOM), await there.start(ROOM)
    for instance in (here, there):
        await instance.broker.stop()


async def test_what_one_publishes_the_other_hears_in_order_and_itself_does_not(instances):
    here, there = instances
    log = MemoryLog()
    said = [seal_fact(log.post(1)), seal_level(log.react(1, version=1)), UserClosed(user_id=1, code=4003)]
    said += [seal_fact(log.comment(number, 1)) for number in range(500)]
    for envelope in said:
        here.broker.publish(envelope)
    await until(lambda: len(there.heard) >= len(said))
    # Controls have a channel of their own, so only what a room is told keeps its order.
    assert [each for each in there.heard if each != said[2]] == said[:2] + said[3:]
    assert said[2] in there.heard
    assert here.heard == []


async def test_rooms_without_members_here_are_not_heard(instances):
    here, there = instances
    log = MemoryLog()
    elsewhere, known = seal_fact(log.post(1, community_id=8)), seal_fact(log.post(1))
    here.broker.publish(elsewhere)
    here.broker.publish(known)
    await until(lambda: there.heard)
    assert there.heard == [known]
    assert there.broker.hears(ROOM)
    assert not there.broker.hears(8)


async def test_room_is_heard_when_subscribe_returns_and_not_after_unsubscribe(instances):
    here, there = instances
    log = MemoryLog()
    await there.broker.subscribe(8)
    assert there.broker.hears(8)
    first = seal_fact(log.post(1, community_id=8))
    here.broker.publish(first)
    await until(lambda: there.heard)
    there.broker.unsubscribe(8)
    await until(lambda: not there.broker.hears(8))
    await there.broker.subscribe(9)
    here.broker.publish(seal_fact(log.post(2, community_id=8)))
    last = seal_fact(log.post(3, community_id=9))
    here.broker.publish(last)
    await until(lambda: last in there.heard)
    assert there.heard == [first, last]


async def test_subscriptions_of_a_thousand_rooms_are_all_heard(instances):
    here, there = instances
    await asyncio.gather(*(there.broker.subscribe(room) for room in range(100, 1_100)))
    await until(lambda: all(there.broker.hears(room) for room in range(100, 1_100)))
    log = MemoryLog()
    for room in range(100, 1_100):
        here.broker.publish(seal_fact(log.post(1, community_id=room)))
    await until(lambda: len(there.heard) == 1_000)


async def test_brokers_find_back_when_the_server_was_killed(instances, redis):
    here, there = instances
    redis.kill()
    await until(lambda: not here.broker.is_healthy and not there.broker.is_healthy)
    assert not there.broker.hears(ROOM)
    log = MemoryLog()
    here.broker.publish(seal_fact(log.post(1)))
    lost_before = here.figure("cohort_broker_lost_total")
    assert lost_before >= 1
    missed = there.missed
    redis.start()
    await until(lambda: here.broker.is_healthy and there.broker.hears(ROOM))
    assert there.missed > missed
    known = seal_fact(log.post(2))
    here.broker.publish(known)
    await until(lambda: there.heard)
    assert there.heard == [known]


async def test_brokers_find_back_when_the_server_was_frozen(instances, redis):
    here, there = instances
    log = MemoryLog()
    redis.freeze()
    for number in range(1, 50):
        here.broker.publish(seal_fact(log.post(number)))
    await until(lambda: not here.broker.is_healthy and not there.broker.is_healthy)
    missed = there.missed
    redis.thaw()
    # What the one could not send, the other is told to look for.
    await until(lambda: here.broker.is_healthy and there.broker.hears(ROOM) and there.missed > missed)
    known = seal_fact(log.post(50))
    here.broker.publish(known)
    await until(lambda: known in there.heard)


async def test_broker_without_a_server_holds_up_nobody(tmp_path):
    server = RedisServer(tmp_path).start()
    uri = server.uri
    server.stop()
    broker = RedisBroker(uri, metrics=Metrics())
    await broker.start(lambda _envelope: None, lambda: None)
    assert not broker.is_healthy
    # Returns although nobody will ever hear.
    await broker.subscribe(ROOM)
    broker.publish(UserClosed(user_id=1, code=4003))
    await broker.stop()
    await broker.stop()


async def test_messages_that_nobody_takes_are_bounded(instances, redis):
    here, _ = instances
    redis.freeze()
    log = MemoryLog()
    fact = seal_fact(log.post(1))
    for _ in range(MAX_QUEUED + 5):
        here.broker.publish(fact)
    assert here.figure("cohort_broker_lost_total") >= 5
    redis.thaw()


async def test_what_is_no_envelope_is_logged_and_the_next_is_heard(instances, redis, caplog):
    here, there = instances
    known = seal_fact(MemoryLog().post(1))
    here.broker._nodes[0].publish(f"{PREFIX}room:{ROOM}", b"nobody00nonsense")
    here.broker.publish(known)
    await until(lambda: known in there.heard)
    assert "could not be taken" in caplog.text
    caplog.clear()


async def test_stop_sends_what_waits(instances):
    here, there = instances
    log = MemoryLog()
    said = [seal_fact(log.post(number)) for number in range(300)]
    for envelope in said:
        here.broker.publish(envelope)
    await here.broker.stop()
    await until(lambda: len(there.heard) == len(said))
