"""Tornado as its own chat demo uses it: `write_message` to each handler of the room.
None of the product's delivery is here.
"""

import asyncio

from tornado.httpserver import HTTPServer
from tornado.web import Application
from tornado.websocket import WebSocketHandler

from tests.benchmarks.peers import common

ROOM: set[WebSocketHandler] = set()


class Socket(WebSocketHandler):
    def open(self) -> None:
        self.set_nodelay(True)
        ROOM.add(self)

    def on_close(self) -> None:
        ROOM.discard(self)


def publish(seq: int) -> None:
    text = common.event_text(seq)
    for member in ROOM:
        member.write_message(text)


async def main() -> None:
    listener = common.listening_socket(common.arguments().port)
    HTTPServer(Application([(r"/ws", Socket)])).add_socket(listener)
    common.publish_on_request(asyncio.get_running_loop(), publish)
    common.announce(listener)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
