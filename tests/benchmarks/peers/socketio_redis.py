"""Socket.IO with its Redis adapter: each event goes through the Redis channel and comes back to the room.
Its ping is set far away, so that idle members of a long run need not answer.
"""

import asyncio

import socketio

from tests.benchmarks.peers import common, on_uvicorn

FAR_SECONDS = 3_600


def main() -> None:
    options = common.arguments()
    server = socketio.AsyncServer(
        async_mode="asgi",
        client_manager=socketio.AsyncRedisManager(options.redis, redis_options=common.PATIENT_REDIS),
        ping_interval=FAR_SECONDS,
        ping_timeout=FAR_SECONDS,
    )

    @server.event
    async def connect(sid: str, _environ: dict, _auth: object) -> None:
        await server.enter_room(sid, "feed")

    async def publish(seq: int) -> None:
        await server.emit("new_post", common.event(seq), room="feed")

    asyncio.run(on_uvicorn.serve(socketio.ASGIApp(server, socketio_path="/ws"), options.port, publish))


if __name__ == "__main__":
    main()
