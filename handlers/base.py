"""What every handler shares: who is asking, what came in, how an answer goes out, and how a failure does.

A handler's method loads its input, calls one operation and replies; all that repeats is here.
"""

import gzip
import hashlib
import hmac
import logging
import re
import secrets
from asyncio import Future
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import date
from types import TracebackType
from typing import Any, ClassVar, cast

import orjson
from marshmallow import ValidationError
from tornado.http1connection import HTTP1Connection
from tornado.web import HTTPError, RequestHandler

from community.actor import Actor
from community.errors import BadToken, DomainError, Forbidden, Invalid, NotFound, Unauthenticated
from community.present import addressed
from community.sessions import authenticate
from config.deps import Deps
from config.log import request_id
from handlers.client_address import client_behind, subscriber
from handlers.endpoint import AUTH, UNLIMITED, Answered, Endpoint, declarations, rate_of
from handlers.errors import MethodNotAllowed, UnknownHost, answer_to
from handlers.host_header import is_known
from handlers.json_reader import BadJson, read_json
from handlers.schemas.fields import Day
from handlers.validation import loaded_by
from store.errors import StoreError, StoreUnavailable
from store.idempotency import StoredAnswer
from store.ids import MAX_ID
from store.turns import Patience
from store.users import email_key

log = logging.getLogger("cohort.http")

# Below this gzip costs more than it saves; level 1 takes half the time of level 6 for 3 % more bytes.
GZIP_FROM_BYTES, GZIP_LEVEL = 1024, 1
# RFC 9110, 12.5.3: `gzip;q=0` refuses it.
ACCEPTS_GZIP = re.compile(r"(?:^|[,\s])gzip\s*(?:$|,|;\s*q=(?!0(?:\.0{0,3})?\s*(?:,|$)))", re.IGNORECASE)
MAX_KEY_LENGTH = 255
# Taken over from a proxy in front, so that one id follows a request through all logs.
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    # Answers are somebody's own; `private` and an ETag where a phone polls, see `reply`.
    "Cache-Control": "no-store",
}


# Beyond what browsers show of an answer from another origin by themselves.
EXPOSED = "X-Feed-Position, X-Request-ID, ETag, Retry-After, RateLimit, RateLimit-Policy"


class ApiHandler(RequestHandler):
    """Base of all handlers of ``/api/``. A subclass whose methods declare nothing cannot even be defined."""

    endpoints: ClassVar[Mapping[str, Endpoint]] = {}
    # What `cached` endpoints say instead of `no-store`: ask again each time, by ETag.
    CACHED = "private, no-cache"

    deps: Deps
    route: str
    _counted = False
    _json: dict[str, object] | None = None
    _has_turn = False
    # How long it still waits for the database.
    _patience: Patience | None = None
    # Set by `prepare` for endpoints with roles; those without must not read it.
    actor: Actor
    # How its caller stands; told with whatever the answer will be.
    _limit_headers: Mapping[str, str] = {}

    def __init_subclass__(cls, *, declares: bool = True) -> None:
        if declares:
            cls.endpoints = declarations(cls)

    def initialize(self, deps: Deps, route: str) -> None:
        self.deps = deps
        self.route = route

    def set_default_headers(self) -> None:
        # Runs before `initialize`, and again for each error.
        if not hasattr(self, "request_id"):
            given = self.request.headers.get("X-Request-ID", "")
            self.request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        self.clear_header("Server")
        self.set_header("X-Request-ID", self.request_id)
        for name, value in (*SECURITY_HEADERS.items(), *self._limit_headers.items()):
            self.set_header(name, value)

    @property
    def endpoint(self) -> Endpoint:
        return self.endpoints[self._method]

    @property
    def _method(self) -> str:
        """The declared method that answers: HEAD is a GET whose body is not sent."""
        method = str(self.request.method).lower()
        return "get" if method == "head" else method

    @property
    def _allowed(self) -> tuple[str, ...]:
        names = [name.upper() for name in self.endpoints]
        return (*names, *(["HEAD"] if "get" in self.endpoints else []), "OPTIONS")

    async def prepare(self) -> None:
        request_id.set(self.request_id)
        self._patience = Patience()
        self._counted = True
        self.deps.lifecycle.request_started()
        self._allow_origin()
        declared = self.endpoints.get(self._method)
        any_host = declared is not None and declared.any_host
        if not any_host and not is_known(self.request.host, self.deps.settings):
            raise UnknownHost
        if self.request.method == "OPTIONS":
            return
        if declared is None:
            raise HTTPError(405)
        if declared.roles:
            if self._method == "get":
                self._has_turn = await self.deps.lifecycle.begin_read()
            self.actor = await authenticate(self.deps, self._bearer())
        await self._count(declared)
        if declared.roles and self.actor.role not in declared.roles:
            raise Forbidden

    async def _count(self, declared: Endpoint) -> None:
        """Let the request through if it is within its limit. Raises ``TooManyRequests``."""
        rate = rate_of(self._method, declared)
        if rate == UNLIMITED:
            return
        self._limit_headers = await self.deps.rate_limits.count(rate, *self._callers(declared, rate))
        for name, value in self._limit_headers.items():
            self.set_header(name, value)

    def _callers(self, declared: Endpoint, rate: str) -> list[str]:
        """Who the request counts for: whoever is logged in, else the address, and whose password may be guessed."""
        if declared.roles:
            return [f"user:{self.actor.id}"]
        found = [f"address:{subscriber(self.client_address)}"]
        if rate == AUTH and declared.body is not None and "email" in declared.body.fields:
            with suppress(BadJson):  # `load` will refuse it
                email = self.read_body().get("email")
                if isinstance(email, str):
                    found.append(f"email:{hashlib.sha256(email_key(email).encode()).hexdigest()}")
        return found

    @property
    def client_address(self) -> str:
        """Who asks, as far as addresses tell (see ``handlers.client_address``)."""
        forwarded = self.request.headers.get_list("X-Forwarded-For")
        return client_behind(str(self.request.remote_ip), forwarded, self.deps.settings.trusted_proxies)

    def on_finish(self) -> None:
        self.let_go()

    def let_go(self) -> None:
        """Give back what this request holds of the server. Doing it twice is harmless."""
        if self._patience is not None:
            self._patience.end()
        if self._has_turn:
            self._has_turn = False
            self.deps.lifecycle.end_read()
        if self._counted:
            self._counted = False
            self.deps.lifecycle.request_finished()

    def _bearer(self) -> str:
        scheme, _, token = self.request.headers.get("Authorization", "").partition(" ")
        if not scheme:
            raise Unauthenticated
        if scheme.lower() != "bearer" or not token.strip():
            raise BadToken
        return token.strip()

    def _allow_origin(self) -> None:
        origin = self.request.headers.get("Origin")
        if origin is None or origin not in self.deps.settings.cors_origins:
            return
        self.set_header("Access-Control-Allow-Origin", origin)
        self.set_header("Vary", "Origin")
        self.set_header("Access-Control-Expose-Headers", EXPOSED)
        if self.request.method == "OPTIONS":
            self.set_header("Access-Control-Allow-Methods", ", ".join(n.upper() for n in self.endpoints))
            self.set_header(
                "Access-Control-Allow-Headers", "Authorization, Content-Type, Idempotency-Key, If-None-Match"
            )
            self.set_header("Access-Control-Max-Age", "600")

    async def head(self, **path: str) -> None:
        """Answer like GET, without the body: Tornado leaves it out."""
        answered = self.get(**path)
        if answered is not None:
            await answered

    async def options(self, **_: str) -> None:
        """Answer a browser's question before a request from another origin."""
        self.set_header("Allow", ", ".join(self._allowed))
        self.set_status(204)

    def flush(self, include_footers: bool = False) -> "Future[None]":  # noqa: FBT001, FBT002 - Tornado's signature
        """Send what is written. While draining, whoever keeps the connection is asked to use another next time."""
        if self.deps.lifecycle.draining:
            self.set_header("Connection", "close")
        return super().flush(include_footers)

    # What came in

    def load(self) -> dict[str, Any]:
        """Give the body, checked by the endpoint's schema. Raises ``Invalid`` with a message a field."""
        schema = self.endpoint.body
        if schema is None:
            raise TypeError(f"{self.route} declares no body")
        return loaded_by(schema, self.read_body())

    def load_query(self, *names: str) -> dict[str, Any]:
        """Give these parameters of the query, checked by the endpoint's schema. Raises ``Invalid``."""
        schema = self.endpoint.query
        if schema is None:
            raise TypeError(f"{self.route} declares no query")
        given = {name: self.get_query_argument(name) for name in names if self.get_query_arguments(name)}
        return loaded_by(schema, given)

    @staticmethod
    def day_of(text: str) -> date:
        """Give a day out of a path. Raises ``Invalid`` for what is none."""
        try:
            found: date = Day().deserialize(text)
        except ValidationError as error:
            raise Invalid({"date": [str(each) for each in error.messages]}) from error
        return found

    def read_body(self) -> dict[str, object]:
        """Give the body, read once. Raises ``BadJson``."""
        if self._json is None:
            content_type = self.request.headers.get("Content-Type")
            self._json = read_json(self.request.body, content_type=content_type)
        return self._json

    @staticmethod
    def id_of(text: str, what: str = "") -> int:
        """Give an id out of a path. Raises ``NotFound`` for a number that no id has."""
        if len(text) > 16 or not 0 < int(text) <= MAX_ID:
            raise NotFound(f"{what} not found." if what else None)
        return int(text)

    @property
    def base_url(self) -> str:
        """Where links start: ``PUBLIC_URL``, or in development the address the request came to."""
        return self.deps.settings.public_url or f"{self.request.protocol}://{self.request.host}"

    # How an answer goes out

    def reply(self, value: object, *, status: int = 200) -> None:
        """Answer with JSON; with ETag, and 304 to a matching ``If-None-Match``, where the endpoint is cached."""
        self.reply_bytes(orjson.dumps(value), status=status)

    def reply_bytes(self, body: bytes, *, status: int = 200, etag: str | None = None) -> None:
        if self.endpoint.cached:
            tag = etag or etag_of(body)
            self.set_header("ETag", tag)
            self.set_header("Cache-Control", self.CACHED)
            self.set_header("Vary", "Accept-Encoding, Origin")
            known = self.request.headers.get("If-None-Match", "")
            if tag in known or known.strip() == "*":
                self.set_status(304)
                return
        self.set_status(status)
        self._write_json(body)

    def _write_json(self, body: bytes) -> None:
        body = addressed(body, self.base_url)
        self.set_header("Content-Type", "application/json")
        if len(body) > GZIP_FROM_BYTES:
            self.set_header("Vary", "Accept-Encoding, Origin")
            if ACCEPTS_GZIP.search(self.request.headers.get("Accept-Encoding", "")):
                body = gzip.compress(body, GZIP_LEVEL, mtime=0)
                self.set_header("Content-Encoding", "gzip")
        self.write(body)

    def reply_empty(self) -> None:
        self.set_status(204)

    def compute_etag(self) -> None:
        """Tornado would hash every answer; only cached endpoints have an ETag, made in ``reply``."""

    async def create(self, make: Callable[[int | None], Awaitable[object]]) -> None:
        """Run an operation that creates, once for each ``Idempotency-Key``, and answer with what it gave.

        ``make`` is given the id to use, or None where the client sent no key. The status is 201, or as
        ``Answered`` says.
        """
        key = self.request.headers.get("Idempotency-Key")
        if key is None:
            made = Answered.of(await make(None))
            self.reply(made.value, status=made.status)
            return
        if not 1 <= len(key) <= MAX_KEY_LENGTH or not key.isprintable():
            message = f"Ensure this header has 1 to {MAX_KEY_LENGTH} printable characters."
            raise Invalid({"Idempotency-Key": [message]})
        owner = self.actor.id if self.endpoint.roles else None
        stored_key = hashlib.sha256(f"{owner}\n{key}".encode()).hexdigest()
        kept = self.deps.store.idempotency
        claim = await kept.claim(stored_key, user_id=owner, fingerprint=self._fingerprint())
        if isinstance(claim, StoredAnswer):
            self.set_header("Idempotent-Replayed", "true")
            self.reply_bytes(claim.body, status=claim.status)
            return
        try:
            made = Answered.of(await make(claim.reserved_id))
        except DomainError:
            await kept.release(stored_key)
            raise
        except StoreUnavailable:
            # Perhaps it was done. The next try may start at once, with the same id.
            await kept.abandon(stored_key)
            raise
        body = orjson.dumps(made.value)
        if made.status == 202:
            await kept.abandon(stored_key)
            self.reply_bytes(body, status=202)
            return
        try:
            await kept.settle(stored_key, status=made.status, body=body)
        except StoreError as error:
            log.warning("an answer could not be kept for its Idempotency-Key: %s", error)
        self.reply_bytes(body, status=made.status)

    def _fingerprint(self) -> str:
        """The request as a keyed digest: bodies may hold passwords, which must not be guessable from it."""
        raw = self.read_body()
        said = orjson.dumps(
            [self.request.method, self.request.path.rstrip("/"), raw], option=orjson.OPT_SORT_KEYS
        )
        return hmac.new(self.deps.settings.jwt_secrets[0].encode(), said, hashlib.sha256).hexdigest()

    # How a failure goes out

    def cut(self) -> None:
        """End an answer that cannot be completed: what was sent of it must not look like all of it."""
        cast("HTTP1Connection", self.request.connection).close()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        if status_code == 405:
            error = MethodNotAllowed(str(self.request.method), self._allowed)
        answer = answer_to(error if error is not None else HTTPError(status_code))
        self.set_status(answer.status)
        self._allow_origin()
        for name, value in answer.headers.items():
            self.set_header(name, value)
        self.set_header("Content-Type", "application/json")
        self.finish(answer.body)

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Log what nobody expected with its traceback; refusals are in the access log."""
        answer = answer_to(value)
        if answer.status == 500 and typ is not None and value is not None:
            log.error("%s %s failed", self.request.method, self.route, exc_info=(typ, value, tb))
        elif answer.status > 500:
            log.warning("%s %s: %s: %s", self.request.method, self.route, type(value).__name__, value)


class NotFoundHandler(ApiHandler, declares=False):
    """Everything that no route matches."""

    async def prepare(self) -> None:
        request_id.set(self.request_id)
        raise NotFound

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Nothing is here, with whatever method or body: Tornado finds fault with those before ``prepare``."""
        if status_code < 500:
            status_code, kwargs = 404, {"exc_info": (NotFound, NotFound(), None)}
        super().write_error(status_code, **kwargs)


def etag_of(body: bytes) -> str:
    """A weak tag: the same JSON may go out compressed or not."""
    return f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
