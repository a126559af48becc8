"""Requests made from the published document: mostly right ones, about things that earlier answers told of.

Whoever sends them decides who asks, and judges the answers; what spoils a request is in `request_mutations`.
"""

import json
import random
import re
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from tests.support.pictures import FORM_TYPE, File, encoded, form, picture

Json = dict[str, Any]

JSON = "application/json"
# How many of what was heard last are asked for again.
REMEMBERED = 64
# Few, so that all callers use the same ones: what was kept for one of them is never another's.
KEYS = [f"key-{number}" for number in range(20)]
TINY = File.of("PNG", encoded(picture(8, 8), "PNG"))
# Of forms: a picture costs the server as much as some dozen other requests.
WITH_PICTURE = 0.1
PLACEHOLDER = re.compile(r"\{(\w+)\}")
# Fields whose words are not in their schema.
WORDS: Mapping[str, tuple[str, ...]] = {
    "timezone": ("UTC", "Europe/Vienna", "America/New_York"),
    "commission_rate": ("0.10", "0.25"),
    "expected_total": ("0.00", "12.00"),
    "tier": ("pro", "team"),
    "month": ("2026-10", "2026-11"),
    "password": ("steep hills at dawn",),
    "w": ("96", "320", "640"),
}


@dataclass(frozen=True)
class Operation:
    """One method of one path, as the document has it."""

    method: str
    template: str
    parameters: tuple[Json, ...]
    bodies: Mapping[str, Json]
    roles: frozenset[str]


@dataclass(frozen=True)
class Asked:
    """A request. Headers do not tell who asks."""

    operation: Operation
    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None

    @property
    def target(self) -> str:
        return self.path + (f"?{self.query}" if self.query else "")

    def but(self, **changes: Any) -> "Asked":
        """The same with other parts."""
        return replace(self, **changes)


class Known:
    """What answers told: ids by the collection they are in, and cursors, codes and tags by their names."""

    def __init__(self, templates: list[str]) -> None:
        self._collections = {
            template[: found.start()]: found[1]
            for template in templates
            for found in PLACEHOLDER.finditer(template)
        }
        self._ids: dict[str, deque[str]] = defaultdict(lambda: deque(maxlen=REMEMBERED))
        self.words: dict[str, deque[str]] = defaultdict(lambda: deque(maxlen=REMEMBERED))

    def learn(self, asked: Asked, answer: Any) -> None:
        """Take ids and words out of the JSON of a good answer."""
        collection = asked.operation.template
        if collection in self._collections and isinstance(answer, dict):
            path = asked.path.rstrip("/") + "/"
            for item in answer.get("results", [answer]):
                if isinstance(item, dict) and isinstance(item.get("id"), int):
                    self._ids[collection].append(str(item["id"]))
                    if path != collection:
                        self._ids[path].append(str(item["id"]))
        for name, value in texts_in(answer):
            if "/media/" in value:
                folder, _, file = urlsplit(value).path.removeprefix("/media/").partition("/")
                self._ids["/media/"].append(folder)
                self._ids[f"/media/{folder}/"].append(file)
            elif name in {"next", "previous"}:
                self.words["cursor"].extend(parse_qs(urlsplit(value).query).get("cursor", []))
            elif name == "code":
                self.words["invite_code"].append(value)

    def one_of(self, path: str, template: str, chance: random.Random) -> str:
        """An id in this collection, or in another one of its kind; one that nobody has where none is known."""
        for found in (self._ids.get(path), self._ids.get(template)):
            if found and chance.random() < 0.9:
                return chance.choice(found)
        return str(chance.randrange(1, 2**53))


def texts_in(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a JSON value and the name it stands under."""
    match value:
        case str():
            yield name, value
        case dict():
            for key, each in value.items():
                yield from texts_in(each, key)
        case list():
            for each in value:
                yield from texts_in(each, name)


class Requests:
    """Makes requests for every operation of a document; the same seed and answers make the same."""

    def __init__(self, document: Json, chance: random.Random) -> None:
        self._schemas = document["components"]["schemas"]
        self._chance = chance
        self.operations = [
            Operation(
                method.upper(),
                template,
                tuple(operation["parameters"]),
                {
                    media: each["schema"]
                    for media, each in operation.get("requestBody", {}).get("content", {}).items()
                },
                frozenset(operation["x-roles"]),
            )
            for template, methods in document["paths"].items()
            for method, operation in methods.items()
        ]
        self.known = Known(list(document["paths"]))

    def make(self, operation: Operation, text: Callable[[], str]) -> Asked:
        """A right request, as far as the document tells; ``text`` gives the words of whoever asks."""
        query: Json = {}
        headers: dict[str, str] = {}
        for parameter in operation.parameters:
            if parameter["in"] == "query" and self._chance.random() < 0.3:
                query[parameter["name"]] = self.value(parameter["schema"], parameter["name"], text)
            if parameter["in"] == "header" and self._chance.random() < 0.2:
                headers[parameter["name"]] = self._header(parameter["name"])
        body, media = self._body(operation, text)
        if media:
            headers["Content-Type"] = media
        path = self._path(operation)
        return Asked(operation, operation.method, path, urlencode(query), headers, body)

    def _path(self, operation: Operation) -> str:
        path, end = "", 0
        for found in PLACEHOLDER.finditer(operation.template):
            path += operation.template[end : found.start()]
            end = found.end()
            if found[1] == "date":
                path += self._day()
            else:
                path += quote(
                    self.known.one_of(path, operation.template[: found.start()], self._chance), safe=""
                )
        return path + operation.template[end:]

    def _header(self, name: str) -> str:
        known = self.known.words[name]
        if name == "If-None-Match" and known:
            return self._chance.choice(known)
        return self._chance.choice(KEYS)

    def _body(self, operation: Operation, text: Callable[[], str]) -> tuple[bytes | None, str]:
        if not operation.bodies:
            return None, ""
        media, schema = self._chance.choice(list(operation.bodies.items()))
        fields = self.value(schema, "", text)
        if media == JSON:
            return json.dumps(fields).encode(), JSON
        words = {name: value for name, value in fields.items() if isinstance(value, str) and name != "image"}
        return form(TINY if self._chance.random() < WITH_PICTURE else None, **words), FORM_TYPE

    def value(self, schema: Json, name: str, text: Callable[[], str]) -> Any:
        """A value that fits, for the field or parameter of this name."""
        chance = self._chance
        if "$ref" in schema:
            schema = self._schemas[schema["$ref"].rpartition("/")[2]]
        if "enum" in schema:
            return chance.choice(schema["enum"])
        kinds = schema.get("type", "null")
        kind = chance.choice(kinds) if isinstance(kinds, list) else kinds
        if kind == "object":
            required = schema.get("required", ())
            return {
                each: self.value(inner, each, text)
                for each, inner in schema.get("properties", {}).items()
                if each in required or chance.random() < 0.5
            } or (
                {text()[:20]: text()}
                if "additionalProperties" in schema and not schema.get("properties")
                else {}
            )
        if kind == "array":
            return [self.value(schema["items"], name, text) for _ in range(chance.randrange(3))]
        if kind == "integer":
            return chance.randint(schema.get("minimum", 0), min(schema.get("maximum", 100), 10**6))
        if kind == "number":
            return round(chance.uniform(schema.get("minimum", 0), schema.get("maximum", 100)), 1)
        if kind == "boolean":
            return chance.random() < 0.5
        return self._text(schema, name, text) if kind == "string" else None

    def _text(self, schema: Json, name: str, text: Callable[[], str]) -> str:
        chance = self._chance
        if name in WORDS:
            return chance.choice(WORDS[name])
        if (known := self.known.words.get(name)) and chance.random() < 0.7:
            return chance.choice(known)
        match schema.get("format"):
            case "date":
                return self._day()
            case "date-time":
                return (datetime.now(UTC) + timedelta(days=chance.randrange(1, 30))).isoformat()
            case "email":
                return f"{chance.randrange(10**9)}@example.org"
        return text()[: schema.get("maxLength", 200)]

    def _day(self) -> str:
        return str((datetime.now(UTC) - timedelta(days=self._chance.randrange(30))).date())
