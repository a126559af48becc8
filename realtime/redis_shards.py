"""Which Redis server a channel belongs to: in a cluster each has slots of its own, else there is one for all.
What is published there is the broker's; a server as it is used is a redis_node.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from redis.asyncio import ConnectionPool
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import ResponseError

# What asking may take; a server that is well answers in a millisecond.
ASK_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Shard:
    """A cluster's server that takes writes, and the slots that are its own: (first, last) pairs."""

    url: str
    slots: tuple[tuple[int, int], ...]

    def owns(self, channel: str) -> bool:
        slot = slot_of(channel)
        return any(first <= slot <= last for first, last in self.slots)


def slot_of(channel: str) -> int:
    """The slot of a cluster that a channel belongs to."""
    return int(key_slot(channel.encode()))


def own_channel(shard: Shard, name: str) -> str:
    """A channel that begins with ``name`` and belongs to this shard."""
    # Slots are as good as random, so that a shard with a hundredth of them is met after some hundred tries.
    return next(
        channel
        for number in range(100 * REDIS_CLUSTER_HASH_SLOTS)
        if shard.owns(channel := f"{name}:{number}")
    )


async def find_shards(url: str) -> list[Shard]:
    """Ask the server at ``url`` for its cluster; empty where it belongs to none. Raises what the client does."""
    pool = ConnectionPool.from_url(url, protocol=2)
    connection = pool.make_connection()  # type: ignore[no-untyped-call]
    try:
        async with asyncio.timeout(ASK_SECONDS):
            await connection.connect()
            await connection.send_command("CLUSTER", "SLOTS", check_health=False)
            answer = await connection.read_response()
    except ResponseError:
        return []  # "This instance has cluster support disabled", or no such command
    finally:
        await connection.disconnect(nowait=True)
    return _shards(url, answer)


def _shards(url: str, answer: list[Any]) -> list[Shard]:
    slots: dict[str, list[tuple[int, int]]] = {}
    for first, last, primary, *_replicas in answer:
        slots.setdefault(_address(url, primary[0].decode(), primary[1]), []).append((first, last))
    return [Shard(address, tuple(sorted(own))) for address, own in sorted(slots.items())]


def _address(url: str, host: str, port: int) -> str:
    """``url`` with another server; a server that does not know its own name is the one that was asked."""
    parts = urlsplit(url)
    credentials, _, _ = parts.netloc.rpartition("@")
    name = host or parts.hostname or ""
    name = f"[{name}]" if ":" in name else name
    return parts._replace(netloc=f"{credentials}@{name}:{port}" if credentials else f"{name}:{port}").geturl()
