"""How the ASGI peers are served: one uvicorn worker in this process, without logs, pings or compression.
Which application it serves is each peer's own matter.
"""

import asyncio
import socket
from typing import Any

import uvicorn

from tests.benchmarks.peers import common


class Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or []:
            common.announce(listener)


async def serve(app: Any, port: int, publish: common.Publish = common.nothing) -> None:
    """Serves until stdin ends; `publish` answers the lines on it."""
    config = uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        backlog=common.BACKLOG,
        # The default of 5 s would close the load's connections while other sides have their turn.
        timeout_keep_alive=600,
    )
    common.publish_on_request(asyncio.get_running_loop(), publish)
    await Server(config).serve(sockets=[common.listening_socket(port)])
