"""The server with a death wish at the named points of a payout: run like `server.py`, it dies where a file says.

The file `DATA_DIR/die-at` holds the name of a crash point; whoever reaches that point first takes the file away and is
killed by SIGKILL. A parent that has imported everything listens and forks the next server on the same port at once;
`DATA_DIR/pid` says which one lives. Leases and time-outs are short, so that what a dead server held is free within a
second: nothing that is safe may depend on them.
"""

import functools
import os
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from socket import socket

from tornado.netutil import bind_sockets

import server
from handlers import routes
from payments import payouts
from tests.support.ambassadors import QuickDoor

PROGRAM = ("-m", "tests.support.mortal_payouts")
DIE_AT, PID = "die-at", "pid"
LEASE_FOR = timedelta(seconds=1)
READ_FOR = timedelta(seconds=2)


def wish(folder: Path, point: str) -> None:
    """Have whoever reaches that point next die there."""
    waiting = folder / f"{DIE_AT}.new"
    waiting.write_text(point)
    waiting.rename(folder / DIE_AT)


class Executioner:
    """Stands in for `deps.crash_point`."""

    def __init__(self, folder: Path) -> None:
        self._wish = folder / DIE_AT

    def __call__(self, point: str) -> None:
        try:
            if self._wish.read_text() != point:
                return
            self._wish.unlink()
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


opened = server.open_deps


@asynccontextmanager
async def open_deps(settings, **options):
    """The server's own dependencies, with the executioner, and a time-out that tests can wait for."""
    async with opened(settings, **options) as deps:
        gateway = QuickDoor(settings.stripe_api_base, read_for=READ_FOR)
        yield replace(deps, crash_point=Executioner(settings.data_dir), gateway=gateway)
        await gateway.close()


def main() -> None:
    folder = Path(sys.argv[sys.argv.index("--data-dir") + 1])
    folder.mkdir(parents=True, exist_ok=True)
    payouts.LEASE_FOR = LEASE_FOR
    server.open_deps = open_deps
    routes.build_document = functools.cache(routes.build_document)
    routes.build_document(routes.ROUTES, version=routes.VERSION)
    sockets = bind_sockets(0, "127.0.0.1", backlog=server.BACKLOG)

    def inherited(*_: object, **__: object) -> list[socket]:
        return sockets

    server.bind_sockets = inherited
    while True:
        child = os.fork()
        if child == 0:
            server.run(lambda: server.main(standalone_mode=True))
        (folder / f"{PID}.new").write_text(str(child))
        (folder / f"{PID}.new").rename(folder / PID)
        _, status = os.waitpid(child, 0)
        if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
            sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
