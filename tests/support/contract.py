"""Holds every answer of the server against the published document.

It knows HTTP and OpenAPI; what an answer should say beyond its form is each test's own business.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import best_match

Json = dict[str, Any]

FORMATS = FormatChecker(formats=("email",))


@FORMATS.checks("date-time", raises=ValueError)
def is_contract_time(value: object) -> bool:
    """The contract's only form: UTC, milliseconds, `Z`; RFC 3339 would allow more."""
    if not isinstance(value, str):
        return True
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value, re.ASCII):
        return False
    datetime.fromisoformat(value)
    return True


@FORMATS.checks("date", raises=ValueError)
def is_date(value: object) -> bool:
    if isinstance(value, str):
        date.fromisoformat(value)
        return re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII) is not None
    return True


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `template` is the document's path, or the path itself where it has none."""

    method: str
    template: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def where(self) -> str:
        return f"{self.method} {self.template} {self.status}"

    def require(self, condition: object, complaint: str) -> None:
        if not condition:
            raise AssertionError(f"{self.where}: {complaint}")


class Contract:
    """One document, with each answer's schema compiled at its first use."""

    def __init__(self, document: Json) -> None:
        self.document = document
        self._components = document["components"]
        self._paths = document["paths"]
        self._patterns = [(re.compile(_pattern(template)), template) for template in self._paths]
        self._validators: dict[int, Draft202012Validator] = {}
        self.seen: set[tuple[str, str, int]] = set()

    def check(self, method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Raise `AssertionError`, naming method, template, status and place, where an answer is off the contract.

        `path` may have a query, and an origin before it. What the document does not describe must be a 404, and a
        method it does not describe a 405 (OPTIONS: 204; HEAD is GET without the body). `seen` collects what was
        checked.
        """
        path = urlsplit(path).path
        template = self.template_of(path)
        known = {name.lower(): value for name, value in headers.items()}
        answer = Answer(method, template or path, status, known, body)
        if template is None:
            answer.require(status == 404, "the document has no such path")
            self._check(answer, self._components["responses"]["NotFound"])
            return
        operation = self._paths[template].get("get" if method == "HEAD" else method.lower())
        if operation is None:
            self._check_other_method(answer)
            return
        response = operation["responses"].get(str(status))
        answer.require(response is not None, "the document has no such status")
        self.seen.add((method, template, status))
        self._check(answer, self._resolved(response))

    def template_of(self, path: str) -> str | None:
        """Give the document's template for a path; one without parameters wins over one with them."""
        matching = [template for pattern, template in self._patterns if pattern.fullmatch(path)]
        return min(matching, key=lambda template: template.count("{"), default=None)

    def unseen(self) -> list[tuple[str, str, int]]:
        """Give the successes that the document promises and `check` never saw, in the document's order."""
        promised = [
            (method.upper(), template, int(status))
            for template, operations in self._paths.items()
            for method, operation in operations.items()
            for status in operation["responses"]
        ]
        return [each for each in promised if each[2] < 400 and each not in self.seen]

    def _check_other_method(self, answer: Answer) -> None:
        if answer.method == "OPTIONS" and answer.status == 204:
            answer.require(not answer.body, "has a body")
            return
        allowed = {400: "BadRequest", 405: "MethodNotAllowed", 500: "InternalError", 503: "Unavailable"}
        answer.require(answer.status in allowed, "the document has no such method, so 405 was due")
        self._check(answer, self._components["responses"][allowed[answer.status]])

    def _check(self, answer: Answer, response: Json) -> None:
        for name, header in response.get("headers", {}).items():
            answer.require(
                name.lower() in answer.headers or not header.get("required"), f"header {name} is missing"
            )
        content = response.get("content", {})
        if not content or answer.method == "HEAD":
            answer.require(not answer.body, "has a body where none is documented")
            return
        media_type = answer.headers.get("content-type", "").partition(";")[0].strip()
        answer.require(media_type in content, f"content type is {media_type!r}, not {' or '.join(content)}")
        if media_type == "application/json":
            self._check_json(answer, content[media_type]["schema"])

    def _check_json(self, answer: Answer, schema: Json) -> None:
        validator = self._validator(schema)
        try:
            value = _DECODE(answer.body.decode("utf-8"))
        except ValueError as error:
            raise AssertionError(f"{answer.where}: the body is not JSON: {error}") from error
        if not validator.is_valid(value):
            error = best_match(validator.iter_errors(value))
            raise AssertionError(f"{answer.where} at {error.json_path}: {error.message}")

    def _validator(self, schema: Json) -> Draft202012Validator:
        """Compile a piece of the document once. References start at the root, so the components stand beside it."""
        found = self._validators.get(id(schema))
        if found is None:
            wrapped = {"allOf": [schema], "components": self._components}
            Draft202012Validator.check_schema(wrapped)
            found = self._validators[id(schema)] = Draft202012Validator(wrapped, format_checker=FORMATS)
        return found

    def _resolved(self, item: Json) -> Json:
        if "$ref" not in item:
            return item
        _, _, kind, name = item["$ref"].split("/")
        return self._components[kind][name]


def _pattern(template: str) -> str:
    """The paths a template stands for: ids are digits, the slash at the end is optional."""
    parts = re.split(r"(\{\w+\})", template.rstrip("/"))
    return "".join(map(_part, parts)) + "/?"


def _part(part: str) -> str:
    if part.startswith("{"):
        return "[0-9]+" if part.endswith("_id}") else "[^/]+"
    return re.escape(part)


def _no_repeats(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is repeated within an object")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DECODE = json.JSONDecoder(object_pairs_hook=_no_repeats, parse_constant=_no_constant).decode
