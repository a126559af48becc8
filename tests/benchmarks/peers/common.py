"""What every peer process shares: its arguments, its event, and the line on stdin that makes it publish.
No server is here; each peer brings its own.
"""

import argparse
import asyncio
import inspect
import itertools
import json
import os
import socket
import sys
import time
from collections.abc import Awaitable, Callable

# As deep as the product's own backlog, so that no peer is judged by its accept queue.
BACKLOG = 4096

# Brings the event to about 700 bytes, the size of a post with a paragraph in it.
PARAGRAPH = "Five by five at eighty kilos today and the last set moved better than the first one did. " * 3

# redis-py 8 gives up a read after 5 s unless told otherwise: idle subscribers of the peers would be cut off.
PATIENT_REDIS = {"socket_timeout": None}

Publish = Callable[[int], Awaitable[None] | None]


def arguments(*more: tuple[str, type]) -> argparse.Namespace:
    """The options each peer takes: its port (0 picks one), the Redis that some use, and `more` of its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--redis", default="")
    for flag, kind in more:
        parser.add_argument(flag, type=kind, required=True)
    return parser.parse_args()


def listening_socket(port: int) -> socket.socket:
    """A bound, listening, non-blocking socket on the loopback address; says so on stdout in one line."""
    listener = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
    listener.setblocking(False)
    return listener


def announce(listener: socket.socket) -> None:
    """Tells the starting process where to connect, once this one can serve."""
    print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)


def event(seq: int) -> dict:
    """One new post as the feed tells it; `sent_ns` is the moment of publishing, from which receivers count."""
    return {
        "type": "new_post",
        "timestamp": "2026-11-21T09:17:03.123Z",
        "sent_ns": time.monotonic_ns(),
        "seq": seq,
        "position": f"k3x9.{seq:010d}",
        "post": {
            "id": 4_011_223_344_556_677,
            "author": {"id": 17, "first_name": "Ana", "last_name": "Ferreira", "profile_image": None},
            "content": PARAGRAPH,
            "content_format": "plain",
            "post_type": "text",
            "image_url": None,
            "reactions": {"fire": 0, "thumbs_up": 0, "heart": 0},
            "user_reactions": [],
            "comment_count": 0,
            "created_at": "2026-11-21T09:17:03.120Z",
        },
    }


def event_text(seq: int) -> str:
    """The same event as the JSON text of one frame."""
    return json.dumps(event(seq), separators=(",", ":"))


def nothing(_seq: int) -> None:
    """What a peer without a room publishes."""


def publish_on_request(loop: asyncio.AbstractEventLoop, publish: Publish) -> None:
    """From now on each line `publish K` on stdin publishes K events; the end of stdin ends the process."""
    tasks: set[asyncio.Task] = set()
    numbers = itertools.count(1)

    async def burst(count: int) -> None:
        for _ in range(count):
            waiting = publish(next(numbers))
            if inspect.isawaitable(waiting):
                await waiting

    def on_line(line: bytes) -> None:
        task = loop.create_task(burst(int(line.split()[1])))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    read_lines(loop, on_line)


def read_lines(loop: asyncio.AbstractEventLoop, on_line: Callable[[bytes], None]) -> None:
    """Calls `on_line` with each line on stdin; its end ends the process, so that no peer outlives its run."""

    def readable() -> None:
        chunk = os.read(sys.stdin.fileno(), 65_536)
        if not chunk:
            sys.exit(0)
        for line in chunk.splitlines():
            on_line(line)

    loop.add_reader(sys.stdin.fileno(), readable)
