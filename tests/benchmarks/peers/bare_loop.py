"""The least that Python can do to reach a room: one frame, and a loop of `socket.send` over its sockets.
No protocol is kept beyond the handshake; it is the measure of the machine, not a server to use.
"""

import asyncio
import base64
import hashlib
import re
import socket

from tests.benchmarks.peers import common

WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def text_frame(text: str) -> bytes:
    """One unmasked text frame of 126 to 65,535 bytes."""
    payload = text.encode()
    return b"\x81\x7e" + len(payload).to_bytes(2) + payload


async def admit(loop: asyncio.AbstractEventLoop, client: socket.socket, sends: list) -> None:
    client.setblocking(False)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    request = await loop.sock_recv(client, 65_536)
    found = re.search(rb"(?i)sec-websocket-key: *(\S+)", request)
    if found is None:
        client.close()
        return
    accept = base64.b64encode(hashlib.sha1(found[1] + WEBSOCKET_GUID, usedforsecurity=False).digest())
    answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    await loop.sock_sendall(client, answer + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    sends.append(client.send)


async def main() -> None:
    loop = asyncio.get_running_loop()
    listener = common.listening_socket(common.arguments().port)
    sends: list = []

    def publish(seq: int) -> None:
        frame = text_frame(common.event_text(seq))
        for send in sends:
            send(frame)

    common.publish_on_request(loop, publish)
    common.announce(listener)
    while True:
        client, _ = await loop.sock_accept(listener)
        await admit(loop, client, sends)


if __name__ == "__main__":
    asyncio.run(main())
