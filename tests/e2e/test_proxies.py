"""What the shipped load balancers let through: nothing that they and a server could read in two ways, and no token.

Each case is sent raw through each of them, with a second request hidden in it and an honest one behind it.
"""

import asyncio
import contextlib
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from tornado.httpclient import AsyncHTTPClient

from tests.conftest import SECRET
from tests.support.ambiguous_requests import CASES, CHUNKED, request
from tests.support.balancers import BALANCERS, Balancer, HAProxy, Nginx, NotInstalled
from tests.support.client import Api
from tests.support.framing import HONEST, Way
from tests.support.groups import Groups
from tests.support.http_connection import Address, HttpConnection
from tests.support.processes import free_port, processes_in, until
from tests.support.sockets import open_feed


@pytest.fixture(scope="module")
def ways(
    tmp_path_factory: pytest.TempPathFactory, mongo_uri: str
) -> Iterator[Callable[[type[Balancer]], Way]]:
    """Gives the way by a kind of balancer, made when it is first asked for: tests of both kinds alternate."""
    found: dict[type[Balancer], Way] = {}
    with contextlib.ExitStack() as stack:

        def way_by(kind: type[Balancer]) -> Way:
            if kind not in found:
                found[kind] = stack.enter_context(
                    way_of(kind, tmp_path_factory.mktemp(kind.program), mongo_uri)
                )
            return found[kind]

        yield way_by


@contextlib.contextmanager
def way_of(kind: type[Balancer], folder: Path, mongo_uri: str) -> Iterator[Way]:
    """A server of its own, and the balancer in front of it."""
    uri = mongo_uri.replace("/cohort", f"/test_{secrets.token_hex(6)}")
    with processes_in(folder / "processes") as processes:
        server = processes.start(MONGODB_URI=uri, JWT_SECRET=SECRET)
        asyncio.run(server.listening())
        address = ("127.0.0.1", int(server.base_url.rpartition(":")[2]))
        with behind(kind, folder / "balancer", [address, address]) as balancer:
            yield Way(balancer, server)


@pytest.fixture(params=BALANCERS, ids=lambda kind: kind.program)
def way(request: pytest.FixtureRequest, ways: Callable[[type[Balancer]], Way]) -> Way:
    return ways(request.param)


def balancer_of(
    kind: type[Balancer],
    folder: Path,
    servers: Sequence[Address],
    *,
    shorter: Mapping[str, str] | None = None,
) -> Balancer:
    """A balancer that is yet to be started; without its program the test is skipped, with the reason."""
    try:
        return kind(folder, servers, shorter=shorter)
    except NotInstalled as missing:
        pytest.skip(str(missing))


@contextlib.contextmanager
def behind(kind: type[Balancer], folder: Path, servers: Sequence[Address]) -> Iterator[Balancer]:
    """A balancer that runs meanwhile."""
    balancer = balancer_of(kind, folder, servers)
    asyncio.run(balancer.start())
    try:
        yield balancer
    finally:
        balancer.stop()


@pytest.mark.parametrize("case", CASES)
async def test_s30_request_is_read_in_one_way_when_it_could_be_in_two(way: Way, case: str) -> None:
    assert await way.wrong_with(case) == []


FIGURES = (
    b"/metrics",
    b"/metrics/",
    b"/metrics?x=1",
    b"//metrics",
    b"/./metrics",
    b"/x/../metrics",
    b"/%6detrics",
)


@pytest.mark.parametrize("target", [*FIGURES, b"http://t/metrics"])
async def test_figures_are_not_public_when_asked_for_in_any_spelling(way: Way, target: bytes) -> None:
    asked = request(b"Connection: close", start=b"GET " + target + b" HTTP/1.1", body=b"")
    _, received = await asyncio.to_thread(way.exchange, asked)
    assert re.match(rb"HTTP/1\.1 4\d\d ", received)
    assert b"cohort_" not in received


async def test_socket_lives_through_the_balancer_and_leaves_no_token_in_logs(
    way: Way, http_client: AsyncHTTPClient
) -> None:
    trainer = await Groups(Api(way.balancer.base_url, http_client), None).trainer()
    async with open_feed(way.balancer.base_url, trainer.token) as feed:
        assert (await feed.next())["type"] == "connected"
        post = await trainer.write()
        assert (await feed.until("new_post"))["post"]["id"] == post["id"]
    for target in ("/ws/community/feed/", "/metrics", "/sent", "/se nt", "/\x01"):
        await asyncio.to_thread(
            way.exchange, f"GET {target}?token={trainer.token} HTTP/1.1\r\nHost: t\r\n\r\n".encode() + HONEST
        )
    await until(lambda: "/metrics" in way.balancer.log, 10, "the last requests in the log")
    # Without a mail server letters are in the log, links and all; that is for development.
    told = "\n".join(line for line in way.server.log.splitlines() if '"push.mail"' not in line)
    for log in (way.balancer.log, told):
        assert trainer.token not in log
        assert "token=" not in log


class Echo:
    """A server that takes down the heads of requests and answers all of them well."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.heads: list[str] = []
        self._talks: set[asyncio.Task[None] | None] = set()

    async def ended(self) -> None:
        """Wait until whoever talked to it has gone."""
        await asyncio.gather(*filter(None, self._talks))

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._talks.add(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionResetError):
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                if not head.startswith(("GET /readyz", "HEAD /readyz")):
                    self.heads.append(head)
                body = b"" if head.startswith("HEAD") else self.name
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(self.name), body))
                await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def echoes(kind: type[Balancer], folder: Path) -> AsyncIterator[tuple[Balancer, list[Echo]]]:
    """A balancer in front of two of them."""
    servers = [Echo(b"a"), Echo(b"b")]
    async with contextlib.AsyncExitStack() as stack:
        addresses = []
        for server in servers:
            listening = await asyncio.start_server(server.talk, "127.0.0.1", 0)
            await stack.enter_async_context(listening)
            addresses.append(listening.sockets[0].getsockname())
        async with balancer_of(kind, folder, addresses) as balancer:
            yield balancer, servers
        for server in servers:
            await server.ended()


@pytest.mark.parametrize("kind", BALANCERS)
async def test_what_clients_claim_about_themselves_is_replaced(kind: type[Balancer], tmp_path: Path) -> None:
    claims = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "gopher", "X-Request-ID": "chosen-by-them"}
    async with echoes(kind, tmp_path / "balancer") as (balancer, servers):
        connection = HttpConnection(balancer.address)
        await connection.send("GET", "/", headers=claims)
        connection.close()
    head = next(head for server in servers for head in server.heads)
    assert [line for line in head.split("\r\n") if "forwarded-for" in line.lower()] in (
        ["X-Forwarded-For: 127.0.0.1"],
        ["x-forwarded-for: 127.0.0.1"],
    )
    assert re.search(r"^x-forwarded-proto: http\r$", head, re.IGNORECASE | re.MULTILINE)
    assert re.search(r"^x-request-id: [0-9a-f-]{32,36}\r$", head, re.IGNORECASE | re.MULTILINE)
    assert not [claim for claim in claims.values() if claim in head]


@pytest.mark.parametrize("kind", BALANCERS)
async def test_client_stays_with_its_server_when_it_keeps_cookies(
    kind: type[Balancer], tmp_path: Path
) -> None:
    async with echoes(kind, tmp_path / "balancer") as (balancer, _):
        connection = HttpConnection(balancer.address)
        first = await connection.send("GET", "/")
        cookie = first.headers["set-cookie"]
        assert "HttpOnly" in cookie
        kept = {"Cookie": cookie.partition(";")[0]}
        same = {(await connection.send("GET", "/", headers=kept)).body for _ in range(20)}
        others = {(await connection.send("GET", "/")).body for _ in range(64)}
        connection.close()
    assert same == {first.body}
    assert others == {b"a", b"b"}, "who keeps none is sent to all"


SLOW = {
    "head": request(b"X-Never", body=b"")[:-4],
    "body": request(b"Content-Length: 3", body=b"{"),
    "chunk": request(CHUNKED, body=b"3\r\n{"),
}


@pytest.mark.parametrize(
    ("kind", "shorter", "sent"),
    [
        (HAProxy, {"timeout http-request 10s": "timeout http-request 500ms"}, "head"),
        (Nginx, {"client_header_timeout 10s": "client_header_timeout 500ms"}, "head"),
        # Behind HAProxy it is the servers that wait for a body, and give up on it.
        (Nginx, {"client_body_timeout 30s": "client_body_timeout 500ms"}, "body"),
        (Nginx, {"client_body_timeout 30s": "client_body_timeout 500ms"}, "chunk"),
    ],
)
async def test_s31_client_is_given_up_when_it_falls_silent(
    kind: type[Balancer], shorter: dict[str, str], sent: str, tmp_path: Path
) -> None:
    nobody = [("127.0.0.1", free_port()) for _ in range(2)]
    async with balancer_of(kind, tmp_path / "balancer", nobody, shorter=shorter) as balancer:
        reader, writer = await asyncio.open_connection(*balancer.address)
        writer.write(SLOW[sent])
        received = b""
        with contextlib.suppress(ConnectionResetError):
            async with asyncio.timeout(10):
                received = await reader.read()
        writer.close()
        await until(lambda: " 408 " in balancer.log, 10, "a refusal in the log")
    assert not received or received.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("kind", BALANCERS)
async def test_refusal_has_the_contracts_shape_when_no_server_is_there(
    kind: type[Balancer], tmp_path: Path
) -> None:
    nobody = [("127.0.0.1", free_port()) for _ in range(2)]
    async with balancer_of(kind, tmp_path / "balancer", nobody) as balancer:
        connection = HttpConnection(balancer.address)
        answer = await connection.send("POST", "/api/community/feed/", {}, headers={"X-Token": "t"})
        hidden = await connection.send("GET", "/ws/community/feed/?token=eyJhbGciOi")
        connection.close()
    for each in (answer, hidden):
        assert (each.status, each.json["code"]) == (503, "service_unavailable")
        assert each.headers["content-type"] == "application/json"
        assert int(each.headers["retry-after"]) > 0
    assert "eyJhbGciOi" not in balancer.log
