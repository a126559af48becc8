"""Facts that the servers under test only deliver: an instance of its own, in the load's process, writes them.

What a server does for its phones can then be measured at a rate that it has not to write itself besides. Several posts
of a room are written together, as an instance does with writers who wait for each other, so a machine with few cores
keeps up; the others hear of each by Redis.
"""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Self

from community.actor import Actor
from community.posts import create_post
from config.deps import Deps
from config.settings import load_settings
from server import open_deps
from store.errors import StoreUnavailable
from tests.chaos.cluster import SETTINGS, Cluster
from tests.chaos.load import Ledger
from tests.support.population import Group

# So many rooms are written to at a time.
WRITERS = 4


@asynccontextmanager
async def other_instance(cluster: Cluster) -> AsyncIterator[Deps]:
    """An instance beside the cluster's, with the same database and Redis, that serves nobody."""
    assert cluster.redis is not None, "the servers hear of its facts by Redis"
    settings = load_settings(
        {
            **SETTINGS,
            "MONGODB_URI": cluster.mongo.uri,
            "REDIS_URL": cluster.redis.uri,
            "DATA_DIR": str(cluster.folder / "other-instance"),
            "PORT": "0",
        }
    )
    async with open_deps(settings) as deps:
        yield deps


async def trainers(deps: Deps, groups: Sequence[Group]) -> dict[Group, Actor]:
    """Each group's trainer, logged in; they have posted before, so that no post of theirs is looked at for awards."""
    users = await deps.store.users.some([group.trainer.user_id for group in groups])
    return {
        group: Actor(
            replace(users[group.trainer.user_id], has_posted=True),
            group.trainer.session_id,
            expires_at=float("inf"),
        )
        for group in groups
    }


class Facts:
    """``async with Facts(...)``: begins on the way in; on the way out all that was begun is written."""

    def __init__(
        self, deps: Deps, actors: Mapping[Group, Actor], text: str, *, rate: float, together: int, seed: int
    ) -> None:
        """`rate` is facts a second, `together` how many of them a room gets at once, one room after the other.

        What could not be written in time is left out, not made up for.
        """
        self.ledger = Ledger()
        self._deps = deps
        rooms = list(actors.items())
        random.Random(seed).shuffle(rooms)
        self._rooms = itertools.cycle(rooms)
        self._text = text
        self._rate = rate
        self._together = together
        self._numbers = itertools.count(1)
        self._due = 0.0
        self._over = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._work()) for _ in range(WRITERS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        await asyncio.gather(*self._tasks)

    async def _work(self) -> None:
        clock = asyncio.get_running_loop().time
        while not self._over:
            now = clock()
            self._due = max(self._due + self._together / self._rate, now)
            await asyncio.sleep(self._due - now)
            group, actor = next(self._rooms)
            await asyncio.gather(*(self._post(group, actor) for _ in range(self._together)))

    async def _post(self, group: Group, actor: Actor) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        content = f"{next(self._numbers)} {self._text}"
        try:
            shown = await create_post(self._deps, actor, content=content, content_format="plain")
        except StoreUnavailable as error:
            self.ledger.unanswered.append(str(error))
            return
        post_id = shown["id"]
        self.ledger.sent[post_id] = began
        self.ledger.acknowledged[post_id] = clock()
        self.ledger.by_room.setdefault(group.community_id, []).append(post_id)
