"""The server itself with Tornado's default backlog of 128 connections that wait to be accepted.
`python -m tests.benchmarks.peers.default_backlog` takes the server's own options.
"""

import runpy
import socket
import sys

DEFAULT_BACKLOG = 128

listen = socket.socket.listen


def listen_shallowly(self: socket.socket, _backlog: int = DEFAULT_BACKLOG) -> None:
    listen(self, DEFAULT_BACKLOG)


if __name__ == "__main__":
    socket.socket.listen = listen_shallowly
    sys.argv[0] = "server.py"
    runpy.run_path("server.py", run_name="__main__")
