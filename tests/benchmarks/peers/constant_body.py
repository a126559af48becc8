"""Tornado answering one JSON body of a given size from memory: the most that its HTTP side can do.
It reads no database and knows no user.
"""

import asyncio

import orjson
from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler

from tests.benchmarks.peers import common


def constant_body(size_bytes: int) -> bytes:
    """A JSON object that is exactly `size_bytes` long (at least 11)."""
    return orjson.dumps({"text": "x" * (size_bytes - 11)})


class Constant(RequestHandler):
    def initialize(self, body: bytes) -> None:
        self.body = body

    def get(self) -> None:
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.finish(self.body)


async def main() -> None:
    options = common.arguments(("--bytes", int))
    listener = common.listening_socket(options.port)
    body = constant_body(options.bytes)
    HTTPServer(Application([(r"/.*", Constant, {"body": body})])).add_socket(listener)
    common.publish_on_request(asyncio.get_running_loop(), common.nothing)
    common.announce(listener)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
