"""The server with a death wish: run like ``server.py``, it dies by SIGKILL where a request asks it to.

A request with the header ``X-Die`` (``before 3``, ``sent 3``, ``after 3``) kills the server at that request's
third write to the database: before it is sent, when it is sent and not yet answered, or when it is answered.
What counts the writes is the driver's own hook for observers. A parent that has imported everything listens
and forks the next server on the same port at once; it also makes the OpenAPI document once for all of them.
"""

import functools
import os
import signal
import sys
from asyncio import get_running_loop
from contextvars import ContextVar
from dataclasses import dataclass
from socket import socket
from typing import Any

from pymongo import monitoring
from tornado.netutil import bind_sockets

import server
from handlers import routes
from handlers.base import ApiHandler

HEADER = "X-Die"
BEFORE, SENT, AFTER = "before", "sent", "after"
PROGRAM = ("-m", "tests.support.crashing_server")
# The commands that change something. Before a transaction's commit nothing of it is to be seen.
WRITES = frozenset({"insert", "update", "delete", "findAndModify", "commitTransaction"})


@dataclass
class Wish:
    """When to die; ``left`` counts down the writes of the request that wished."""

    moment: str
    left: int


# Set in the task of one request, and so seen by its writes alone.
wish: ContextVar[Wish | None] = ContextVar("wish", default=None)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Executioner(monitoring.CommandListener):
    """Hears of each command just before it is sent, and when it has been answered."""

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        wished = wish.get()
        if wished is None or event.command_name not in WRITES:
            return
        wished.left -= 1
        if wished.left == 0 and wished.moment == BEFORE:
            die()
        if wished.left == 0 and wished.moment == SENT:
            # The command goes out in this turn of the loop, so its answer is not read in the next.
            get_running_loop().call_soon(die)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        wished = wish.get()
        if (
            wished is not None
            and wished.left == 0
            and wished.moment == AFTER
            and event.command_name in WRITES
        ):
            die()

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """A command that was refused is no moment to die at."""


def hear_wishes() -> None:
    prepare = ApiHandler.prepare

    async def prepare_to_die(handler: ApiHandler) -> None:
        text = handler.request.headers.get(HEADER)
        if text is not None:
            moment, _, count = text.partition(" ")
            wish.set(Wish(moment, int(count)))
        await prepare(handler)

    ApiHandler.prepare = prepare_to_die


def serve_on(sockets: list[socket]) -> None:
    """Serve until the end, in a process of its own; gives nothing back."""

    def inherited(*_: Any, **__: Any) -> list[socket]:
        return sockets

    server.bind_sockets = inherited
    server.run(lambda: server.main(standalone_mode=True))


def main() -> None:
    monitoring.register(Executioner())
    hear_wishes()
    routes.build_document = functools.cache(routes.build_document)
    routes.build_document(routes.ROUTES, version=routes.VERSION)
    sockets = bind_sockets(0, "127.0.0.1")
    while True:
        child = os.fork()
        if child == 0:
            serve_on(sockets)
        _, status = os.waitpid(child, 0)
        if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
            sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
