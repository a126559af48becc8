"""An application on a free port of this process, as a real server, for as long as a test wants it.

Which application, and what is asked of it, is the test's.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application


@asynccontextmanager
async def serving(app: Application) -> AsyncIterator[tuple[HTTPServer, int]]:
    """Give the server and its port; all its connections are closed on the way out."""
    server = HTTPServer(app)
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    yield server, sockets[0].getsockname()[1]
    server.stop()
    await server.close_all_connections()
