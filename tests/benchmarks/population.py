"""The groups that the works of one run share, made when the first of them asks.
How a group is made is in `tests.support.population`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from store.store import Store, open_store
from tests.benchmarks.runner import Bench
from tests.support.population import CLOCK, Group, Member, make_group, train

T = TypeVar("T")

# Groups that are made at once: the database writes them to its journal together.
AT_ONCE = 16


def group(bench: Bench, name: str, *, trainees: int, posts: int) -> Group:
    """A group of this size, made at the first call with this name."""
    if name not in bench.shared:
        bench.say(f"   making {name}: {trainees:,} trainees, {posts:,} posts")
        bench.shared[name] = _run(
            bench, lambda store: make_group(store, name, trainees=trainees, posts=posts)
        )
    return bench.shared[name]


def training_group(bench: Bench, trainees: int) -> Group:
    """A group of this size who have trained for a year, made at the first call with this size."""
    name = f"training {trainees}"
    if name not in bench.shared:
        bench.say(f"   making {name}: a year of training")

        async def make(store: Store) -> Group:
            made = await make_group(store, name, trainees=trainees, posts=0)
            await train(store, made.trainees)
            return made

        bench.shared[name] = _run(bench, make)
    return bench.shared[name]


def rooms(bench: Bench, name: str, *, count: int) -> list[Group]:
    """Many groups of a trainer alone with ten posts each, made at the first call with this name."""
    if name not in bench.shared:
        bench.say(f"   making {name}: {count} groups")

        async def make(store: Store) -> list[Group]:
            made: list[Group] = []
            while len(made) < count:
                numbers = range(len(made), min(count, len(made) + AT_ONCE))
                made += await asyncio.gather(
                    *(make_group(store, f"{name} {number}", trainees=0, posts=10) for number in numbers)
                )
            return made

        bench.shared[name] = _run(bench, make)
    return bench.shared[name]


def with_phones(bench: Bench, members: Sequence[Member]) -> None:
    """Registers a device for each of them."""

    async def register(store: Store) -> None:
        for member in members:
            await store.device_tokens.register(
                member.user_id, token=f"phone of {member.user_id}", platform="android"
            )

    _run(bench, register)


def _run(bench: Bench, work: Callable[[Store], Awaitable[T]]) -> T:
    async def run() -> T:
        async with open_store(bench.mongodb_uri, CLOCK) as store:
            return await work(store)

    return asyncio.run(run())
