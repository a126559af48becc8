"""The published contract: an OpenAPI 3.1 document made from the routes' declarations and the schemas that validate.

What a route does, and what its schemas hold, is said where they are; nothing here knows a single path.
"""

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.common import resolve_schema_instance
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from marshmallow import Schema
from marshmallow.fields import Decimal

from handlers.endpoint import ANY_USER, UNLIMITED, Endpoint, Route, declarations
from store.ids import MAX_ID

Json = dict[str, Any]

JSON_MEDIA, FORM_MEDIA = "application/json", "multipart/form-data"
DESCRIPTION = (
    "Coaching communities: a trainer's group and its live feed. Times are UTC in ISO 8601 with milliseconds, "
    "ids are positive integers below 2^53, the slash at the end of a path is optional."
)
SECURITY: Json = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}

FIELD_ERRORS: Json = {
    "type": "object",
    "description": "What is wrong with which field; `non_field_errors` for what concerns several.",
    "minProperties": 1,
    "additionalProperties": {"type": "array", "minItems": 1, "items": {"type": "string"}},
}
PROBLEM: Json = {
    "type": "object",
    "properties": {
        "detail": {"type": "string", "description": "For people."},
        "code": {"type": "string", "pattern": "^[a-z][a-z0-9_]*$", "description": "For programs."},
        "total_amount": {"type": "string", "description": "With `total_changed`: what would be paid now."},
    },
    "required": ["code", "detail"],
    "additionalProperties": False,
}


def _header(says: str, *, required: bool = True, kind: str = "string") -> Json:
    return {"description": says, "required": required, "schema": {"type": kind}}


REQUEST_ID = _header("The request's id, also in the server's log.")
ETAG = _header("Names this version of the answer; send it back in `If-None-Match`.")
REPLAYED = _header("`true` where this is the answer to an earlier request with that key.", required=False)
RETRY_AFTER = _header("Seconds to wait before another try.", kind="integer")
# draft-ietf-httpapi-ratelimit-headers-10; absent where no limit counts, or it is switched off.
RATE_LIMIT: Json = {
    "RateLimit": _header(
        "The limit it counted for, how many more it lets through (`r`) and when its window ends, in seconds (`t`).",
        required=False,
    ),
    "RateLimit-Policy": _header(
        "How many requests (`q`) that limit lets through in how many seconds (`w`).", required=False
    ),
}
IF_NONE_MATCH: Json = {
    "in": "header",
    "name": "If-None-Match",
    "description": "The `ETag` of the version at hand.",
    "schema": {"type": "string"},
}
IDEMPOTENCY_KEY: Json = {
    "in": "header",
    "name": "Idempotency-Key",
    "description": "With the same key and body, the first answer is given again for 24 h and nothing is made twice.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}


@dataclass(frozen=True, slots=True)
class _Refusal:
    """An error answer that many operations share, under one name."""

    name: str
    says: str
    schemas: tuple[str, ...] = ("Problem",)
    headers: Mapping[str, Json] = field(default_factory=dict)


BAD_REQUEST = _Refusal("BadRequest", "The request cannot be understood.")
INVALID_INPUT = _Refusal(
    "InvalidInput", "A field is wrong, or the request cannot be understood.", ("FieldErrors", "Problem")
)
REFUSALS: Mapping[int, _Refusal] = {
    401: _Refusal(
        "Unauthenticated",
        "Credentials are missing, wrong or expired.",
        headers={"WWW-Authenticate": _header("`Bearer`.")},
    ),
    403: _Refusal("Forbidden", "Not with this role, or somebody else's."),
    404: _Refusal("NotFound", "It does not exist, or its list has no such page."),
    405: _Refusal(
        "MethodNotAllowed",
        "The path has no such method.",
        headers={"Allow": _header("The methods it has.")},
    ),
    409: _Refusal("Conflict", "Not as things stand now, or the first such request is still under way."),
    413: _Refusal("TooLarge", "The body is too large."),
    415: _Refusal(
        "UnsupportedMediaType", "The body has a type that is not taken here; JSON must be in UTF-8."
    ),
    416: _Refusal(
        "RangeNotSatisfiable",
        "It has no such part.",
        headers={"Content-Range": _header("How many bytes it has.")},
    ),
    422: _Refusal("IdempotencyKeyReused", "The key was used for another request."),
    429: _Refusal("TooManyRequests", "A limit is reached.", headers={"Retry-After": RETRY_AFTER}),
    500: _Refusal("InternalError", "A fault of the server; the request's id finds it in the log."),
    502: _Refusal("BadGateway", "A service behind this one refused."),
    503: _Refusal(
        "Unavailable",
        "For the moment: the server is overloaded, going away or without its database.",
        headers={"Retry-After": {**RETRY_AFTER, "required": False}},
    ),
}


def build_document(routes: Sequence[Route], *, version: str) -> Json:
    """Give the document; the same routes give the same document, in the same order.

    Raises ``TypeError`` where two schemas would share a name, or a route declares an error nobody has described.
    """
    spec = APISpec(
        title="Cohort",
        version=version,
        openapi_version="3.1.0",
        plugins=[_Plugin(schema_name_resolver=_Names())],
        info={"description": DESCRIPTION},
        servers=[{"url": "/", "description": "This server."}],
        tags=[{"name": tag} for tag in _tags(routes)],
    )
    _add_shared(spec)
    for route in routes:
        declared = declarations(route.handler).items()
        operations = {method: _operation(route, method, endpoint) for method, endpoint in declared}
        spec.path(path=route.template, operations=operations)
    # A copy: the library keeps pieces of this module's constants, which must stay as they are.
    document = copy.deepcopy(spec.to_dict())
    _close(document)
    return {part: document[part] for part in ("openapi", "info", "servers", "tags", "paths", "components")}


def error_statuses(template: str, endpoint: Endpoint) -> list[int]:
    """Give the statuses of all refusals an operation may answer with, in order, without those in its answers."""
    found = {400, 405, 429, 500, 503, *endpoint.errors}
    if endpoint.roles:
        found |= {401, 403}
    if "{" in template or (endpoint.query and "cursor" in endpoint.query.fields):
        found.add(404)
    if endpoint.body or endpoint.form:
        found |= {413, 415}
    if endpoint.creates:
        found |= {409, 422}
    if endpoint.rate == UNLIMITED:
        found.remove(429)
    return sorted(found - set(endpoint.answers))


class _Converter(OpenAPIConverter):
    """Money and rates travel as text; the library would call them numbers."""

    field_mapping = {**OpenAPIConverter.field_mapping, Decimal: ("string", None)}  # noqa: RUF012 - its own way


class _Plugin(MarshmallowPlugin):
    Converter = _Converter


class _Names:
    """Names of component schemas: the class's own, so a name must mean one class in one form."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def __call__(self, schema: Any) -> str:
        instance = resolve_schema_instance(schema)
        name = ("Partial" if instance.partial is True else "") + type(instance).__name__
        if name in self._taken:
            raise TypeError(f"two schemas are called {name}: give one a class and a name of its own")
        self._taken.add(name)
        return name


def _tags(routes: Sequence[Route]) -> list[str]:
    found = [endpoint.tag for route in routes for endpoint in declarations(route.handler).values()]
    return list(dict.fromkeys(found))


def _add_shared(spec: APISpec) -> None:
    spec.components.schema("FieldErrors", FIELD_ERRORS)
    spec.components.schema("Problem", PROBLEM)
    spec.components.security_scheme("bearer", SECURITY)
    for refusal in (BAD_REQUEST, INVALID_INPUT, *REFUSALS.values()):
        refs = [{"$ref": f"#/components/schemas/{name}"} for name in refusal.schemas]
        schema = refs[0] if len(refs) == 1 else {"anyOf": refs}
        response = {
            "description": refusal.says,
            "headers": {"X-Request-ID": REQUEST_ID, **refusal.headers, **RATE_LIMIT},
            "content": {JSON_MEDIA: {"schema": schema}},
        }
        spec.components.response(refusal.name, response)


def _operation(route: Route, method: str, endpoint: Endpoint) -> Json:
    operation: Json = {
        "operationId": f"{route.name}_{method}",
        "tags": [endpoint.tag],
        "summary": endpoint.summary,
        "description": _who(endpoint.roles),
        "x-roles": sorted(endpoint.roles),
        "security": [{"bearer": []}] if endpoint.roles else [],
        "parameters": list(_parameters(route.template, endpoint)),
        "responses": _responses(route.template, endpoint),
    }
    bodies = {JSON_MEDIA: endpoint.body, FORM_MEDIA: endpoint.form}
    taken = {media: schema for media, schema in bodies.items() if schema is not None}
    if taken:
        operation["requestBody"] = {
            # No body is an empty object, which does where no field is required.
            "required": any(each.required for schema in taken.values() for each in schema.fields.values()),
            "content": {media: {"schema": schema} for media, schema in taken.items()},
        }
    return operation


def _who(roles: frozenset[str]) -> str:
    if not roles:
        return "For anyone."
    if roles == ANY_USER:
        return "For anyone who is logged in."
    return f"For {' and '.join(f'{role.lower()}s' for role in sorted(roles))}."


def _parameters(template: str, endpoint: Endpoint) -> Iterator[Json]:
    for name in re.findall(r"\{(\w+)\}", template):
        yield {"in": "path", "name": name, "required": True, "schema": _path_schema(name)}
    if endpoint.query is not None:
        yield {"in": "query", "schema": endpoint.query}
    if endpoint.creates:
        yield IDEMPOTENCY_KEY
    if endpoint.cached:
        yield IF_NONE_MATCH


def _path_schema(name: str) -> Json:
    if name.endswith("_id"):
        return {"type": "integer", "minimum": 1, "maximum": MAX_ID}
    return {"type": "string", "format": "date"} if name == "date" else {"type": "string"}


def _responses(template: str, endpoint: Endpoint) -> Json:
    found: dict[int, Any] = {
        status: _answer(endpoint, status, schema) for status, schema in endpoint.answers.items()
    }
    if endpoint.cached:
        headers = {"X-Request-ID": REQUEST_ID, "ETag": ETAG, **_limit_headers(endpoint)}
        found[304] = {"description": "What the client has is current.", "headers": headers}
    takes_input = endpoint.body or endpoint.form or endpoint.query or endpoint.creates
    known = {**REFUSALS, 400: INVALID_INPUT if takes_input else BAD_REQUEST}
    for status in error_statuses(template, endpoint):
        if status not in known:
            raise TypeError(f"{template}: nothing says what an error {status} means")
        found[status] = known[status].name
    return {str(status): found[status] for status in sorted(found)}


def _answer(endpoint: Endpoint, status: int, schema: Schema | None) -> Json:
    # An endpoint's own headers may depend on the case: without a group there is no position to name.
    own = {name: _header(says, required=False) for name, says in endpoint.headers.items()}
    headers = {"X-Request-ID": REQUEST_ID, **own, **_limit_headers(endpoint)}
    if endpoint.cached:
        headers["ETag"] = ETAG
    if endpoint.creates:
        headers["Idempotent-Replayed"] = REPLAYED
    answer: Json = {"description": _MEANING.get(status, "Done."), "headers": headers}
    if schema is not None:
        answer["content"] = {endpoint.media: {"schema": schema}}
    elif endpoint.media != JSON_MEDIA:
        answer["content"] = {media: {"schema": {"type": "string"}} for media in endpoint.media.split(", ")}
    if endpoint.other_media is not None:
        answer["content"][endpoint.other_media] = {"schema": {"type": "string"}}
    if endpoint.has_page:
        answer["content"]["text/html"] = {"schema": {"type": "string"}}
    return answer


def _limit_headers(endpoint: Endpoint) -> Mapping[str, Json]:
    return {} if endpoint.rate == UNLIMITED else RATE_LIMIT


_MEANING = {
    201: "Made.",
    202: "Accepted.",
    204: "Done; there is no body.",
    206: "The part that was asked for.",
    302: "It goes on elsewhere.",
    503: "Not now.",
}


def _close(document: Json) -> None:
    """Let nothing undeclared in or out: no stray field anywhere, and in answers every field present."""
    components = document["components"]
    schemas = components["schemas"] = dict(sorted(components["schemas"].items()))
    answers = [
        operation["responses"] for methods in document["paths"].values() for operation in methods.values()
    ]
    for name in _reachable(answers, schemas):
        if "properties" in schemas[name]:
            schemas[name]["required"] = list(schemas[name]["properties"])
    for schema in schemas.values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
        if not schema.get("required", True):
            del schema["required"]


def _reachable(start: object, schemas: Mapping[str, Json]) -> set[str]:
    """Give the names of the component schemas that something refers to, by itself or through others."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        match waiting.pop():
            case {"$ref": str(ref)} if ref.startswith("#/components/schemas/"):
                name = ref.rpartition("/")[2]
                if name not in found:
                    found.add(name)
                    waiting.append(schemas[name])
            case dict(branches):
                waiting.extend(branches.values())
            case list(branches):
                waiting.extend(branches)
    return found
