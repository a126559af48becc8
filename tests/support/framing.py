"""Ways to a server, straight or by a load balancer, and whether a request with two readings was read in one along them.

The requests are in `ambiguous_requests`; which ways there are, and what is slow, is each user's business.
"""

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass

from tests.support.ambiguous_requests import CASES, PASSED, PASSED_BY_BOTH
from tests.support.balancers import Balancer
from tests.support.http_connection import Address
from tests.support.processes import ServerProcess, until

# Whoever has got no answer for so long gets none: half of an ambiguous request is still awaited.
SILENCE_SECONDS = 1.0
STATUS = re.compile(rb"HTTP/1\.[01] (?!100)(\d{3})")
HONEST = b"GET /healthz HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
# What the balancers themselves ask.
READINESS = frozenset({"GET /readyz", "HEAD /readyz"})
# Behind an upgrade that is refused another path is hidden: straight it is another request, and no doubt about it.
HIDDEN = "GET /hidden"


def exchange(address: Address, raw: bytes) -> tuple[int, bytes]:
    """Send this as it is and read until the end, or silence; gives the port it came from, and what came back."""
    received = b""
    with closing(socket.create_connection(address)) as client:
        client.settimeout(SILENCE_SECONDS)
        client.sendall(raw)
        port = client.getsockname()[1]
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while chunk := client.recv(65536):
                received += chunk
    return port, received


def answered(server: ServerProcess) -> dict[str, str]:
    """The method and path of each request that a server answered, by its id."""
    lines = [json.loads(line) for line in server.log.splitlines()]
    return {
        line["request_id"]: line["message"].rsplit(" ", 3)[0]
        for line in lines
        if line["logger"] == "cohort.access"
    }


@dataclass
class Way:
    """A load balancer and the server behind it."""

    balancer: Balancer
    server: ServerProcess

    def exchange(self, raw: bytes) -> tuple[int, bytes]:
        return exchange(self.balancer.address, raw)

    def logged(self, port: int) -> list[str]:
        """The lines of the balancer's log about requests from this port."""
        return [line for line in self.balancer.log.splitlines() if line.startswith(f"127.0.0.1:{port} ")]

    def strangers(self, but: Collection[str] = ()) -> list[str]:
        """The requests that the server answered and the balancer did not send, or not so; without those ``but``."""
        sent = self.balancer.requests
        return [
            f"{identity}: {asked}"
            for identity, asked in answered(self.server).items()
            if sent.get(identity) != asked and asked not in READINESS and identity not in but
        ]

    async def wrong_with(self, case: str) -> list[str]:
        """What is wrong with how a case and an honest request behind it were read; nothing where all is well."""
        before = answered(self.server)
        port, received = await asyncio.to_thread(self.exchange, CASES[case] + HONEST)
        answers = [int(status) for status in STATUS.findall(received)]
        await until(lambda: len(self.logged(port)) >= len(answers), 10, "a line of the log for each answer")
        await until(lambda: not self.strangers(before), 10, "a line of the balancer's log for each")
        known = {each: asked for each, asked in answered(self.server).items() if each not in before}
        wrong = ["the hidden request was served"] if "GET /metrics" in known.values() else []
        if case not in PASSED_BY_BOTH | PASSED[self.balancer.name]:
            if len(answers) != 1 or answers[0] < 400:
                wrong.append(f"answered by {answers}, where one refusal was due")
            if [line for line in self.logged(port) if any(identity in line for identity in known)]:
                wrong.append("it came as far as the server")
        _, after = await asyncio.to_thread(self.exchange, HONEST)
        if STATUS.findall(after) != [b"200"]:
            wrong.append("the next one got the answer to something else")
        return wrong


async def wrong_straight(server: ServerProcess, address: Address, case: str) -> list[str]:
    """The same for a server that is asked straight: it reads a hidden request as part of another one, or not at all."""
    before = answered(server)
    _, received = await asyncio.to_thread(exchange, address, CASES[case] + HONEST)
    _, after = await asyncio.to_thread(exchange, address, HONEST)
    known = [asked for identity, asked in answered(server).items() if identity not in before]
    wrong = ["the hidden request was served"] if HIDDEN in known else []
    if STATUS.findall(after) != [b"200"]:
        wrong.append(f"the next one was not answered, after {STATUS.findall(received)}")
    return wrong
