"""A Stripe to test against: the official library speaks to it by `STRIPE_API_BASE`, and it can fail in every way.

It keeps its own ledger on disk (`stripe_book`), honours idempotency keys for a day of a virtual clock, and counts
nothing that it has not done. What a failure means for us is each test's own business.
"""

import asyncio
import re
import socket
import struct
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from tests.support.stripe_book import Book, Object

# Ways to fail. `…_before` does nothing, `…_after` does it all, and the client cannot tell which.
SILENCE_BEFORE, SILENCE_AFTER = "silence before", "silence after"
RESET_BEFORE, RESET_AFTER = "reset before", "reset after"
ERROR_BEFORE, ERROR_AFTER = "5xx before", "5xx after"
# As Stripe does it where its own work broke: the 500 is the answer to this key from then on.
ERROR_KEPT_BEFORE, ERROR_KEPT_AFTER = "500 kept before", "500 kept after"
BROKEN_JSON_BEFORE, BROKEN_JSON_AFTER = "broken JSON before", "broken JSON after"
CUT_AFTER = "cut answer after"
CONFLICT, LIMITED, DECLINED, SLOW = "409", "429", "declined", "slow"
UNCLEAR = (
    SILENCE_BEFORE, SILENCE_AFTER, RESET_BEFORE, RESET_AFTER, ERROR_BEFORE, ERROR_AFTER, ERROR_KEPT_BEFORE,
    ERROR_KEPT_AFTER, BROKEN_JSON_BEFORE, BROKEN_JSON_AFTER, CUT_AFTER,
)  # fmt: skip
FAULTS = (*UNCLEAR, CONFLICT, LIMITED, DECLINED, SLOW)
SLOW_SECONDS = 0.05
RESET = struct.pack("ii", 1, 0)

Route = tuple[str, str, Callable[["StripeDouble", Mapping[str, str], str], Object]]


class Refused(Exception):
    """A definite refusal in Stripe's own form."""

    def __init__(
        self, message: str, *, status: int = 400, kind: str = "invalid_request_error", code: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body: Object = {"error": {"type": kind, "message": message, **({"code": code} if code else {})}}


@dataclass
class StripeDouble:
    """One Stripe. ``faults`` are the next failures, one for each request that is not a GET; ``chooser`` picks others."""

    folder: Path
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    # Gives the fault of a request, or none: method and path.
    chooser: Callable[[str, str], str | None] | None = None
    faults: deque[str] = field(default_factory=deque)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    port: int = 0
    kept_folder: Any = None

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.book = Book(self.folder / "stripe.jsonl", self.now)
        self.running: set[str] = set()
        self.silent: set[asyncio.Future[None]] = set()
        self.routes += BASIC_ROUTES

    @classmethod
    def for_a_run(cls) -> "StripeDouble":
        """One whose folder is gone with it."""
        folder = tempfile.TemporaryDirectory(prefix="cohort-stripe-")
        double = cls(Path(folder.name))
        double.kept_folder = folder
        return double

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def transfers(self) -> list[Object]:
        return self.book.all("transfer")

    def transfers_of(self, group: str) -> list[Object]:
        return [each for each in self.transfers if each["transfer_group"] == group]

    def verify(self, account_id: str, *, payouts_enabled: bool = True) -> None:
        """The owner of an account has proved who they are (or Stripe has second thoughts)."""
        account = self.book.get("account", account_id)
        assert account is not None
        enabled = {"payouts_enabled": payouts_enabled, "details_submitted": True}
        self.book.put("account", {**account, **enabled})

    def reverse(self, transfer_id: str, cents: int) -> Object:
        """Take so much of a transfer back, on top of what was; gives it as an event would show it."""
        transfer = self.book.get("transfer", transfer_id)
        assert transfer is not None
        return self.book.put("transfer", {**transfer, "amount_reversed": transfer["amount_reversed"] + cents})

    def fault_of(self, method: str, path: str) -> str | None:
        if self.chooser is not None:
            return self.chooser(method, path)
        return self.faults.popleft() if self.faults and method != "GET" else None

    def answer(self, method: str, path: str, form: Mapping[str, str], key: str | None) -> tuple[int, Object]:
        """Do what is asked, once for each key."""
        asked = f"{method} {path} {sorted(form.items())}"
        kept = self.book.kept(key) if key else None
        if kept is not None:
            if kept.asked != asked:
                refused = Refused("Keys can only be used with the same parameters.", kind="idempotency_error")
                return refused.status, refused.body
            return kept.status, kept.body
        try:
            status, body = 200, self._do(method, path, form)
        except Refused as refusal:
            return refusal.status, refusal.body
        if key:
            self.book.keep(key, asked, status, body)
        return status, body

    def _do(self, method: str, path: str, form: Mapping[str, str]) -> Object:
        for verb, pattern, do in self.routes:
            match = re.fullmatch(pattern, path)
            if verb == method and match:
                return do(self, form, match[1] if match.groups() else "")
        raise Refused(f"Unrecognized request URL ({method}: {path}).", status=404)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["StripeDouble"]:
        """Serve on a free port (the same one again after a restart); whoever was kept waiting is let go at the end."""
        server = HTTPServer(Application([(r".*", _Handler, {"double": self})], log_function=lambda _: None))
        sockets = bind_sockets(self.port, "127.0.0.1")
        self.port = sockets[0].getsockname()[1]
        server.add_sockets(sockets)
        try:
            yield self
        finally:
            server.stop()
            for waiting in self.silent:
                waiting.cancel()
            await server.close_all_connections()
            if self.kept_folder is not None:
                self.kept_folder.cleanup()


def create_account(double: StripeDouble, form: Mapping[str, str], _: str) -> Object:
    if "@" not in form.get("email", ""):
        raise Refused("Invalid email address.", code="email_invalid")
    if form.get("controller[stripe_dashboard][type]") != "express":
        raise Refused("Only Express accounts are known here.")
    if form.get("capabilities[transfers][requested]") != "true":
        raise Refused("An account that cannot receive transfers is of no use.")
    abilities = {"charges_enabled": False, "payouts_enabled": False, "details_submitted": False}
    account_id = double.book.new_id("acct")
    metadata = {"ambassador_id": form["metadata[ambassador_id]"]}
    return double.book.put(
        "account",
        {"id": account_id, "object": "account", "email": form["email"], "metadata": metadata, **abilities},
    )


def get_account(double: StripeDouble, _: Mapping[str, str], name: str) -> Object:
    account = double.book.get("account", name)
    if account is None:
        raise Refused(f"No such account: '{name}'", status=404, code="resource_missing")
    return account


def create_account_link(double: StripeDouble, form: Mapping[str, str], _: str) -> Object:
    get_account(double, form, form["account"])
    link_id = double.book.new_id("link")
    link = {"id": link_id, "return_url": form["return_url"], "refresh_url": form["refresh_url"]}
    double.book.put("account_link", link)
    return {"object": "account_link", "url": f"https://connect.stripe.example/setup/{link_id}"}


def create_transfer(double: StripeDouble, form: Mapping[str, str], _: str) -> Object:
    account = double.book.get("account", form["destination"])
    if account is None:
        raise Refused(f"No such destination: '{form['destination']}'", code="resource_missing")
    if not form["amount"].isdigit() or int(form["amount"]) < 1:
        raise Refused("Invalid integer: amount", code="parameter_invalid_integer")
    return double.book.put(
        "transfer",
        {
            "id": double.book.new_id("tr"),
            "object": "transfer",
            "amount": int(form["amount"]),
            "amount_reversed": 0,
            "currency": form["currency"],
            "destination": form["destination"],
            "transfer_group": form.get("transfer_group"),
            "metadata": {"payout_id": form.get("metadata[payout_id]")},
            "created": int(double.now().timestamp()),
        },
    )


def list_transfers(double: StripeDouble, form: Mapping[str, str], _: str) -> Object:
    group = form.get("transfer_group")
    found = [each for each in reversed(double.transfers) if group in {None, each["transfer_group"]}]
    after = form.get("starting_after")
    if after is not None:
        found = found[[each["id"] for each in found].index(after) + 1 :]
    limit = int(form.get("limit", "10"))
    return {"object": "list", "data": found[:limit], "has_more": len(found) > limit, "url": "/v1/transfers"}


BASIC_ROUTES: list[Route] = [
    ("POST", r"/v1/accounts", create_account),
    ("GET", r"/v1/accounts/(\w+)", get_account),
    ("POST", r"/v1/account_links", create_account_link),
    ("POST", r"/v1/transfers", create_transfer),
    ("GET", r"/v1/transfers", list_transfers),
]


class _Handler(RequestHandler):
    double: StripeDouble

    def initialize(self, double: StripeDouble) -> None:
        self.double = double

    async def get(self) -> None:
        await self._serve({name: values[-1].decode() for name, values in self.request.arguments.items()})

    async def post(self) -> None:
        await self._serve(dict(parse_qsl(self.request.body.decode())))

    async def delete(self) -> None:
        await self._serve(dict(parse_qsl(self.request.body.decode())))

    async def _serve(self, form: Mapping[str, str]) -> None:
        method, path = str(self.request.method), self.request.path
        key = self.request.headers.get("Idempotency-Key")
        if not re.fullmatch(r"Bearer (sk|rk)_test_\w+", self.request.headers.get("Authorization", "")):
            refused = Refused("Invalid API Key provided.", status=401)
            self._send(refused.status, refused.body)
            return
        fault = self.double.fault_of(method, path)
        self.double.requests.append((method, path, fault))

        def do() -> tuple[int, Object]:
            return self.double.answer(method, path, form, key)

        if key is not None and key in self.double.running:
            self._send(409, _problem("idempotency_error", "idempotency_key_in_use"))
            return
        if key is not None:
            self.double.running.add(key)
        try:
            await FAULTY.get(fault or "", _Handler._well)(self, do)
        finally:
            self.double.running.discard(key or "")

    async def _well(self, do: Callable[[], tuple[int, Object]]) -> None:
        self._send(*do())

    def _send(self, status: int, body: Object) -> None:
        self.set_status(status)
        self.write(body)

    async def silence(self) -> None:
        waiting = asyncio.get_running_loop().create_future()
        self.double.silent.add(waiting)
        self._on_close = waiting
        try:
            await waiting
        except asyncio.CancelledError:
            self._cut()
        finally:
            self.double.silent.discard(waiting)

    def on_connection_close(self) -> None:
        waiting = getattr(self, "_on_close", None)
        if waiting is not None and not waiting.done():
            waiting.cancel()

    def _cut(self) -> None:
        """Reset the connection, as a machine that dies does."""
        stream = self.detach()
        if stream.socket is not None:
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        stream.close()

    def garble(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.write(b'{"id": "tr_0')

    def bad_gateway(self) -> None:
        self.set_status(502)
        self.write("<html>Bad Gateway</html>")

    async def cut_answer(self) -> None:
        """Send the head of a good answer, and die."""
        stream = self.detach()
        await stream.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"
        )
        stream.close()

    def keep_error(self, form_of: Callable[[], tuple[int, Object]] | None) -> None:
        """Answer 500, and the same to this key from now on."""
        method, path = str(self.request.method), self.request.path
        form = dict(parse_qsl(self.request.body.decode()))
        body = _problem("api_error")
        key = self.request.headers.get("Idempotency-Key")
        if key is not None and self.double.book.kept(key) is None:
            if form_of is not None:
                form_of()
            self.double.book.keep(key, f"{method} {path} {sorted(form.items())}", 500, body)
        self._send(500, body)


def _problem(kind: str, code: str = "") -> Object:
    return {"error": {"type": kind, "message": "No.", **({"code": code} if code else {})}}


Do = Callable[[], tuple[int, Object]]


def _then(after: Callable[[_Handler], Any], *, does: bool) -> Callable[[_Handler, Do], Awaitable[None]]:
    """A fault that does what was asked, or not, before it goes wrong."""

    async def fail(handler: _Handler, do: Do) -> None:
        if does:
            do()
        outcome = after(handler)
        if outcome is not None:
            await outcome

    return fail


async def _slow(handler: _Handler, do: Do) -> None:
    await asyncio.sleep(SLOW_SECONDS)
    handler._send(*do())


def _refusing(status: int, kind: str, code: str = "") -> Callable[[_Handler, Do], Awaitable[None]]:
    return _then(lambda handler: handler._send(status, _problem(kind, code)), does=False)


async def _kept_before(handler: _Handler, _: Do) -> None:
    handler.keep_error(None)


async def _kept_after(handler: _Handler, do: Do) -> None:
    handler.keep_error(do)


FAULTY: Mapping[str, Callable[[_Handler, Do], Awaitable[None]]] = {
    SILENCE_BEFORE: _then(_Handler.silence, does=False),
    SILENCE_AFTER: _then(_Handler.silence, does=True),
    RESET_BEFORE: _then(_Handler._cut, does=False),
    RESET_AFTER: _then(_Handler._cut, does=True),
    ERROR_BEFORE: _then(_Handler.bad_gateway, does=False),
    ERROR_AFTER: _then(_Handler.bad_gateway, does=True),
    ERROR_KEPT_BEFORE: _kept_before,
    ERROR_KEPT_AFTER: _kept_after,
    BROKEN_JSON_BEFORE: _then(_Handler.garble, does=False),
    BROKEN_JSON_AFTER: _then(_Handler.garble, does=True),
    CUT_AFTER: _then(_Handler.cut_answer, does=True),
    CONFLICT: _refusing(409, "idempotency_error", "idempotency_key_in_use"),
    LIMITED: _refusing(429, "rate_limit_error", "rate_limit"),
    DECLINED: _refusing(400, "invalid_request_error", "balance_insufficient"),
    SLOW: _slow,
}
