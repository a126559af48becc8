"""Two instances' brokers over a real cluster of three shards: each room by its own shard, also after slots moved."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis import Redis

from config.metrics import Metrics
from realtime.broker import Envelope
from realtime.events import UserClosed
from realtime.protocol import seal_fact
from realtime.redis_broker import RedisBroker
from realtime.redis_shards import Shard, find_shards, own_channel, slot_of
from tests.realtime.fakes import MemoryLog, until
from tests.support.redis_server import RedisServer

SLOTS = 16_384
ROOMS = range(100, 130)


def split(shards: int) -> list[tuple[int, int]]:
    return [(SLOTS * number // shards, SLOTS * (number + 1) // shards - 1) for number in range(shards)]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[RedisServer]]:
    servers = []
    for number, (first, last) in enumerate(split(3)):
        folder = tmp_path / str(number)
        folder.mkdir()
        server = RedisServer(folder, options={"cluster-enabled": "yes"}).start()
        servers.append(server)
        with Redis.from_url(server.uri) as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number:
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", servers[0].port)
    yield servers
    for server in servers:
        server.stop()


async def all_known(server: RedisServer) -> None:
    async with asyncio.timeout(20):
        while len(await find_shards(server.uri)) < 3:  # noqa: ASYNC110 - the servers tell each other
            await asyncio.sleep(0.05)


@pytest.fixture
async def whole(cluster: list[RedisServer]) -> list[RedisServer]:
    """The cluster, when all its servers know of all slots."""
    for server in cluster:
        await all_known(server)
    return cluster


class Instance:
    def __init__(self, url: str) -> None:
        self.broker = RedisBroker(url, metrics=Metrics())
        self.heard: list[Envelope] = []

    async def start(self) -> "Instance":
        await self.broker.start(self.heard.append, lambda: None)
        for room in ROOMS:
            await self.broker.subscribe(room)
        await until(lambda: len(self.broker._shards) == 3, seconds=20)
        await until(lambda: all(self.broker.hears(room) for room in ROOMS), seconds=20)
        return self


@pytest.fixture
async def instances(whole: list[RedisServer]) -> AsyncIterator[tuple[Instance, Instance]]:
    here, there = Instance(whole[0].uri), Instance(whole[1].uri)
    yield await here.start(), await there.start()
    for instance in (here, there):
        await instance.broker.stop()


async def test_every_room_and_control_is_heard_over_its_shard(instances):
    here, there = instances
    log = MemoryLog()
    said = [seal_fact(log.post(1, community_id=room)) for room in ROOMS]
    for envelope in said:
        here.broker.publish(envelope)
    here.broker.publish(UserClosed(user_id=5, code=4003))
    await until(lambda: len(there.heard) == len(said) + 1)
    assert set(there.heard) == {*said, UserClosed(user_id=5, code=4003)}
    # The rooms are spread: each shard has some of them.
    assert {here.broker._nodes.index(here.broker._node_of(f"cohort:1:room:{room}")) for room in ROOMS} == {
        0,
        1,
        2,
    }


async def test_rooms_of_other_shards_are_heard_when_one_is_killed(instances, whole):
    here, there = instances
    whole[2].kill()
    await until(lambda: not there.broker.is_healthy and not here.broker.is_healthy)
    heard = [room for room in ROOMS if there.broker.hears(room)]
    assert 0 < len(heard) < len(ROOMS)
    log = MemoryLog()
    said = [seal_fact(log.post(1, community_id=room)) for room in heard]
    for envelope in said:
        here.broker.publish(envelope)
    await until(lambda: set(said) <= set(there.heard))


async def test_moved_slots_are_followed(instances, whole):
    here, there = instances
    first, last = split(3)[2]
    nodes = {}
    for server in whole:
        with Redis.from_url(server.uri) as client:
            nodes[server] = client.execute_command("CLUSTER", "MYID")
    # The last third of the slots goes to the first server, as an operator moves them; all servers are told. Its epoch
    # is the highest: what the third server said of them just before is not believed any more.
    with Redis.from_url(whole[0].uri) as client:
        client.execute_command("CLUSTER", "BUMPEPOCH")
    for server in whole:
        with Redis.from_url(server.uri) as client:
            for slot in {slot_of(f"cohort:1:room:{room}") for room in ROOMS}:
                if first <= slot <= last:
                    client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", nodes[whole[0]])
    moved = [room for room in ROOMS if first <= slot_of(f"cohort:1:room:{room}") <= last]
    assert moved

    def is_followed(instance: Instance) -> bool:
        owners = {instance.broker._node_of(f"cohort:1:room:{room}") for room in moved}
        return len(owners) == 1 and all(instance.broker.hears(room) for room in moved)

    def by_the_first(instance: Instance) -> bool:
        shard = next(each for each in instance.broker._shards if str(whole[0].port) in each.url)
        return all(shard.owns(f"cohort:1:room:{room}") for room in moved)

    await until(lambda: all(by_the_first(each) and is_followed(each) for each in instances), seconds=30)
    log = MemoryLog()
    said = [seal_fact(log.post(1, community_id=room)) for room in moved]
    for envelope in said:
        here.broker.publish(envelope)
    await until(lambda: set(said) <= set(there.heard))


async def test_single_server_is_no_cluster(tmp_path):
    server = RedisServer(tmp_path).start()
    assert await find_shards(server.uri) == []
    server.stop()


def test_own_channel_is_the_shards():
    for first, last in split(7):
        shard = Shard("redis://a:1", ((first, last),))
        channel = own_channel(shard, "name")
        assert channel.startswith("name:")
        assert first <= slot_of(channel) <= last
