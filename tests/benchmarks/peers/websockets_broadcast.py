"""The `websockets` library and its own `broadcast`, the fastest documented way of a Python WebSocket library.
Pings and compression are off, as they would only be work beside the one measured.
"""

import asyncio

from websockets.asyncio.server import ServerConnection, broadcast, serve

from tests.benchmarks.peers import common

ROOM: set[ServerConnection] = set()


async def member(connection: ServerConnection) -> None:
    ROOM.add(connection)
    try:
        await connection.wait_closed()
    finally:
        ROOM.discard(connection)


def publish(seq: int) -> None:
    broadcast(ROOM, common.event_text(seq))


async def main() -> None:
    listener = common.listening_socket(common.arguments().port)
    async with serve(member, sock=listener, compression=None, ping_interval=None):
        common.publish_on_request(asyncio.get_running_loop(), publish)
        common.announce(listener)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
