"""The one table from what went wrong to what the client is told.

Operations and the store raise in their own words; no other module knows an HTTP status of an error.
"""

import http
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson
from tornado.web import HTTPError

from community import errors as domain
from handlers.json_reader import BadJson
from payments import errors as money
from payments.money import amount_text
from store.errors import StoreUnavailable
from store.idempotency import KeyReused, UnderWay

# When a client may come again after the database went away; a restart of it takes about a second.
RETRY_SECONDS = "2"


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, JSON body and extra headers of a refusal."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class MethodNotAllowed(Exception):
    """The path exists, but not with this method; ``allowed`` are the ones it has."""

    def __init__(self, method: str, allowed: tuple[str, ...]) -> None:
        super().__init__(method)
        self.method = method
        self.allowed = allowed


class TooManyRequests(Exception):
    """A limit is reached; ``headers`` tell which, ``seconds`` when one more request will be let through."""

    def __init__(self, seconds: int, headers: Mapping[str, str]) -> None:
        super().__init__(seconds)
        self.seconds = seconds
        self.headers = headers


class UnknownHost(Exception):
    """The request is for another server than this, by its ``Host``."""


class InvalidCursor(Exception):
    """A cursor that this server did not write."""


class RangeNotSatisfiable(Exception):
    """A part of something is asked for that it does not have; ``size`` is how many bytes it has."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


STATUS: tuple[tuple[type[domain.DomainError], int], ...] = (
    (domain.Unauthenticated, 401),
    (domain.Forbidden, 403),
    (domain.NotFound, 404),
    (domain.Busy, 503),
    (money.PaymentsNotConfigured, 503),
    (money.PaymentsUnavailable, 503),
    (money.PaymentRefused, 502),
    (money.AlreadyChanged, 409),
    (money.AlreadySubscribed, 409),
)


# Refusals that say the same whatever it was about: status, detail, code.
ALWAYS: Mapping[type[BaseException | None], tuple[int, str, str]] = {
    UnknownHost: (400, "This server does not go by the name in the Host header.", "unknown_host"),
    InvalidCursor: (404, "Invalid cursor.", "not_found"),
    KeyReused: (422, "This Idempotency-Key was used for another request.", "idempotency_key_reused"),
}


def problem(
    status: int, detail: str, code: str, headers: Mapping[str, str] | None = None, **more: str
) -> Answer:
    return Answer(status, orjson.dumps({"detail": detail, "code": code, **more}), headers or {})


def answer_to(error: BaseException | None) -> Answer:
    """Give what the client is told about an error; anything unknown is a 500 without a word about why."""
    if isinstance(error, domain.Invalid):
        return Answer(400, orjson.dumps(error.fields))
    if (always := ALWAYS.get(type(error))) is not None:
        return problem(*always)
    if isinstance(error, domain.DomainError):
        return _domain(error)
    if isinstance(error, BadJson):
        return problem(error.status, error.detail, error.code)
    if isinstance(error, MethodNotAllowed):
        allowed = {"Allow": ", ".join(error.allowed)}
        return problem(405, f'Method "{error.method}" not allowed.', "method_not_allowed", allowed)
    if isinstance(error, TooManyRequests):
        return _throttled(error)
    if isinstance(error, RangeNotSatisfiable):
        headers = {"Content-Range": f"bytes */{error.size}"}
        return problem(416, "The range is beyond the end.", "range_not_satisfiable", headers)
    if isinstance(error, UnderWay):
        detail = "The first request with this Idempotency-Key is still under way."
        return problem(409, detail, "idempotency_key_in_use", {"Retry-After": "1"})
    if isinstance(error, StoreUnavailable):
        detail = "The service is temporarily unavailable. Try again shortly."
        return problem(503, detail, "service_unavailable", {"Retry-After": RETRY_SECONDS})
    if isinstance(error, HTTPError):
        return _protocol(error)
    return problem(500, "Internal server error.", "internal_error")


def _throttled(error: TooManyRequests) -> Answer:
    unit = "second" if error.seconds == 1 else "seconds"
    detail = f"Request was throttled. Expected available in {error.seconds} {unit}."
    return problem(429, detail, "throttled", {**error.headers, "Retry-After": str(error.seconds)})


def _domain(error: domain.DomainError) -> Answer:
    if isinstance(error, money.TotalChanged):
        return problem(409, error.detail, error.code, total_amount=amount_text(error.total_cents))
    status = next((status for kind, status in STATUS if isinstance(error, kind)), 400)
    headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "1"}}.get(status)
    return problem(status, error.detail, error.code, headers)


def _protocol(error: HTTPError) -> Answer:
    """What Tornado itself refused: an argument that is no UTF-8, a body that does not parse."""
    try:
        phrase = http.HTTPStatus(error.status_code).phrase
    except ValueError:
        phrase = "Error"
    return problem(error.status_code, f"{phrase}.", phrase.lower().replace(" ", "_"))
