"""Starlette on uvicorn with the connection list of its users' chat examples: `send_text` to one after another.
Serving it is in the shared uvicorn module.
"""

import asyncio

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.benchmarks.peers import common, on_uvicorn

ROOM: set[WebSocket] = set()


async def member(websocket: WebSocket) -> None:
    await websocket.accept()
    ROOM.add(websocket)
    try:
        while True:
            await websocket.receive_text()
    except WebSocketDisconnect:
        ROOM.discard(websocket)


async def publish(seq: int) -> None:
    text = common.event_text(seq)
    for websocket in list(ROOM):
        await websocket.send_text(text)


if __name__ == "__main__":
    app = Starlette(routes=[WebSocketRoute("/ws", member)])
    asyncio.run(on_uvicorn.serve(app, common.arguments().port, publish))
