"""The whole server with one addition: each line on stdin writes a post by the operation itself, without HTTP.
The moment that the operation publishes is written into the post, for receivers to count from.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from tornado.httpserver import HTTPServer

from community.actor import Actor
from community.posts import create_post
from config.deps import Deps
from config.settings import load_settings
from handlers.routes import make_app
from realtime.events import Event, PostCreated
from server import open_deps
from tests.benchmarks.peers import common

HOUR_SECONDS = 3_600


class Stamping:
    """A hub that writes the moment into each post that it publishes; all else is the hub's own."""

    def __init__(self, hub: Any) -> None:
        self._hub = hub

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hub, name)

    def publish(self, event: Event) -> None:
        if isinstance(event, PostCreated):
            event = replace(event, post={"sent_ns": time.monotonic_ns(), **event.post})
        self._hub.publish(event)


@asynccontextmanager
async def stamped_deps() -> AsyncIterator[Deps]:
    async with open_deps(load_settings()) as deps:
        yield replace(deps, realtime=Stamping(deps.realtime))


async def main() -> None:
    options = common.arguments(("--user", int))
    listener = common.listening_socket(options.port)
    async with stamped_deps() as deps:
        user = await deps.store.users.get(options.user)
        actor = Actor(user=user, session_id="", expires_at=time.time() + HOUR_SECONDS)

        async def publish(_seq: int) -> None:
            await create_post(deps, actor, content=common.PARAGRAPH, content_format="plain")

        HTTPServer(make_app(deps)).add_socket(listener)
        common.publish_on_request(asyncio.get_running_loop(), publish)
        common.announce(listener)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
