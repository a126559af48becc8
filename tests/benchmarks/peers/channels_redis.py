"""Django Channels with its Redis layer on uvicorn: a consumer a connection, `group_send` to the room.
No database, session or middleware is configured: only delivery is measured.
"""

import asyncio

import django
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import get_channel_layer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.urls import path

from tests.benchmarks.peers import common, on_uvicorn


class Member(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await self.channel_layer.group_add("feed", self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard("feed", self.channel_name)

    async def feed_event(self, message: dict) -> None:
        await self.send(text_data=message["text"])


async def publish(seq: int) -> None:
    await get_channel_layer().group_send("feed", {"type": "feed.event", "text": common.event_text(seq)})


def main() -> None:
    options = common.arguments()
    host = {"address": options.redis, **common.PATIENT_REDIS}
    layer = {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [host]}}
    settings.configure(CHANNEL_LAYERS={"default": layer}, USE_TZ=True)
    django.setup()
    app = ProtocolTypeRouter({"websocket": URLRouter([path("ws", Member.as_asgi())])})
    asyncio.run(on_uvicorn.serve(app, options.port, publish))


if __name__ == "__main__":
    main()
