"""What every route must say about itself, and the check that it does.

A handler's method without a declaration, or a declaration without a method, stops the server from starting.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from marshmallow import Schema

from store.records import ADMIN, AMBASSADOR, TRAINEE, TRAINER

PUBLIC: frozenset[str] = frozenset()
ANY_USER = frozenset({ADMIN, TRAINER, TRAINEE, AMBASSADOR})
GROUP = frozenset({TRAINER, TRAINEE})
TRAINERS = frozenset({TRAINER})
TRAINEES = frozenset({TRAINEE})
ADMINS, AMBASSADORS = frozenset({ADMIN}), frozenset({AMBASSADOR})

# Which limit a request counts for; UNLIMITED for none.
READS, WRITES, CREATES, AUTH, UNLIMITED = "reads", "writes", "creates", "auth", "unlimited"

METHODS = ("get", "post", "put", "patch", "delete")

Method = TypeVar("Method", bound=Callable[..., Awaitable[None]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One method of one route: who may call it, what goes in, what comes out."""

    summary: str
    roles: frozenset[str]  # empty: anyone
    tag: str
    answers: Mapping[int, Schema | None]  # success statuses; None: no body
    body: Schema | None = None
    form: Schema | None = (
        None  # multipart/form-data with an image, in place of the body: see handlers.uploads
    )
    query: Schema | None = None
    errors: tuple[int, ...] = ()  # beyond those that roles, body, query and path imply
    creates: bool = False  # takes Idempotency-Key
    cached: bool = False  # answers ETag, and 304 to it
    headers: Mapping[str, str] = field(default_factory=dict)  # of the answer: name -> what it says
    media: str = "application/json"  # of the answer; several with ", " between them
    other_media: str | None = None  # as which it answers, too, where that is asked for
    has_page: bool = False  # to a browser it answers HTML
    rate: str | None = None  # the limit it counts for; None: see `rate_of`
    any_host: bool = False  # for load balancers and monitors, who call this server by its address


@dataclass(frozen=True, slots=True)
class Answered:
    """What an operation gave, where that is not always 201. With 202 it is not over: the next try goes on."""

    status: int
    value: object

    @classmethod
    def of(cls, made: object) -> "Answered":
        return made if isinstance(made, cls) else cls(201, made)


@dataclass(frozen=True, slots=True)
class Route:
    """A path such as ``/api/community/feed/{post_id}/``, and who answers it."""

    template: str
    handler: type[Any]
    name: str

    @property
    def pattern(self) -> str:
        """The regular expression: the slash at the end is optional, ``{…_id}`` takes ASCII digits only."""
        found = re.escape(self.template.rstrip("/")).replace(r"\{", "{").replace(r"\}", "}")
        found = re.sub(r"\{(\w+_id)\}", r"(?P<\1>[0-9]+)", found)
        return re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", found) + "/?"


def endpoint(declared: Endpoint) -> Callable[[Method], Method]:
    """Attach a declaration to the handler's method below it."""

    def attach(method: Method) -> Method:
        method.endpoint = declared  # type: ignore[attr-defined]  # functions take attributes
        return method

    return attach


def rate_of(method: str, declared: Endpoint) -> str:
    """Give the limit that a method (in lower case) counts for: what is declared, else by what it does."""
    if declared.rate is not None:
        return declared.rate
    if method == "get":
        return READS
    return CREATES if declared.creates else WRITES


def declarations(handler: type[Any]) -> dict[str, Endpoint]:
    """Give the declarations of a handler's own methods by their lower-case names.

    Raises ``TypeError`` for a method that says nothing about itself: such a route must not be served.
    """
    found: dict[str, Endpoint] = {}
    for name in METHODS:
        method = vars(handler).get(name)
        if method is None:
            continue
        if not isinstance(getattr(method, "endpoint", None), Endpoint):
            raise TypeError(
                f"{handler.__name__}.{name} declares no roles: decorate it with @endpoint(Endpoint(…))"
            )
        found[name] = method.endpoint
    if not found:
        raise TypeError(f"{handler.__name__} answers no method")
    return found


def check(routes: Sequence[Route]) -> None:
    """Raise ``TypeError`` unless every method of every route is declared and every path is there once."""
    seen: set[str] = set()
    for route in routes:
        declarations(route.handler)
        if route.template in seen:
            raise TypeError(f"{route.template} is routed twice")
        seen.add(route.template)
